package nervio.worker;

import com.google.gson.JsonElement;
import java.time.Instant;

/**
 * One attempt at a task. Execution is at least once: give {@link #tenantId} and {@link #taskId} as an idempotency key
 * to whoever is paid for the work.
 */
public final class Job {
  /** A longer part of an answer is shown as several. */
  private static final int LONGEST_PART = 1 << 20;

  private final Assignment assignment;
  private final Results results;
  private volatile boolean isCancelled;
  private int n;

  Job(Assignment assignment, Results results) {
    this.assignment = assignment;
    this.results = results;
  }

  public String tenantId() {
    return assignment.key().tenantId();
  }

  public String taskId() {
    return assignment.key().taskId();
  }

  /** Grows with every attempt at a task. */
  public long token() {
    return assignment.key().token();
  }

  public String kind() {
    return assignment.kind();
  }

  /** Empty where the worker may choose. */
  public String model() {
    return assignment.model();
  }

  /** Files in it are named by reference. */
  public JsonElement payload() {
    return assignment.payload();
  }

  /** 1 for the first. */
  public int attempt() {
    return assignment.attempt();
  }

  /** How much work it is likely to be, in the unit of its kind; 0: not known. */
  public long size() {
    return assignment.size();
  }

  /** Null where there is none. */
  public Instant deadlineAt() {
    return assignment.deadlineAt();
  }

  /** Whether nobody wants the result any more. */
  public boolean isCancelled() {
    return isCancelled;
  }

  /**
   * Shows a part of the answer while it is being made. Waits where whoever reads is slow, so that a long answer slows
   * its handler and not the memory.
   */
  public synchronized void emit(String text) throws InterruptedException {
    int start = 0;
    do {
      int end = Math.min(start + LONGEST_PART, text.length());
      if (end < text.length() && Character.isHighSurrogate(text.charAt(end - 1))) {
        end--;
      }
      if (isCancelled) {
        return;
      }
      results.show(key(), n++, text.substring(start, end));
      start = end;
    } while (start < text.length());
  }

  AttemptKey key() {
    return assignment.key();
  }

  void cancel() {
    isCancelled = true;
  }
}
