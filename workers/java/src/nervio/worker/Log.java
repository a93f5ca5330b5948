package nervio.worker;

import java.time.OffsetDateTime;
import java.time.format.DateTimeFormatter;

/** Lines for people on standard error, also while a program ends, when java.util.logging says nothing any more. */
final class Log {
  private static final DateTimeFormatter WHEN = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss.SSSxxx");

  private Log() {}

  static void say(String format, Object... arguments) {
    System.err.println(WHEN.format(OffsetDateTime.now()) + " " + String.format(format, arguments));
  }

  /** What went wrong, in one line. */
  static String why(Throwable problem) {
    String message = problem.getMessage();
    return problem.getClass().getSimpleName() + (message == null ? "" : ": " + message);
  }

  /** What is at the bottom of it, in words. */
  static String root(Throwable problem) {
    Throwable bottom = problem;
    while (bottom.getCause() != null && bottom.getCause() != bottom) {
      bottom = bottom.getCause();
    }
    return bottom.getMessage();
  }
}
