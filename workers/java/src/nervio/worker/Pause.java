package nervio.worker;

import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** Times to wait before something is tried again: each twice as long as the one before, up to a longest. */
final class Pause {
  private static final long FIRST_MILLIS = 100;
  private static final long LONGEST_MILLIS = 5_000;

  private long millis = FIRST_MILLIS;

  /** The next, without chance. */
  long next() {
    long now = millis;
    millis = Math.min(2 * millis, LONGEST_MILLIS);
    return now;
  }

  /** The next, a little different for everybody, so that workers do not all come at once. */
  long nextWithJitter() {
    return (long) (next() * ThreadLocalRandom.current().nextDouble(0.5, 1.0));
  }

  /** From the beginning. */
  void reset() {
    millis = FIRST_MILLIS;
  }

  /** From the beginning, where what began at that {@link System#nanoTime} has lasted. */
  void resetIfLasted(long began) {
    if (System.nanoTime() - began > TimeUnit.MILLISECONDS.toNanos(LONGEST_MILLIS)) {
      reset();
    }
  }
}
