package nervio.worker;

import java.time.Duration;

/** An attempt that came to nothing. */
public final class TaskFailed extends Exception {
  private static final long serialVersionUID = 1L;

  private final boolean mayHelp;
  private final Duration retryAfter;

  /** A failure after which trying again may help. */
  public TaskFailed(String message) {
    this(message, true, Duration.ZERO);
  }

  /**
   * A failure.
   *
   * @param mayHelp whether trying again may help
   * @param retryAfter how long to wait before it is tried again; zero: as the master likes
   */
  public TaskFailed(String message, boolean mayHelp, Duration retryAfter) {
    super(message);
    this.mayHelp = mayHelp;
    this.retryAfter = retryAfter;
  }

  /** Whether trying again may help. */
  public boolean mayHelp() {
    return mayHelp;
  }

  /** How long to wait before it is tried again. */
  public Duration retryAfter() {
    return retryAfter;
  }
}
