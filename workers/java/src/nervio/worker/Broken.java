package nervio.worker;

/** A stream broke, and why. */
final class Broken extends Exception {
  private static final long serialVersionUID = 1L;

  Broken(String why) {
    super(why);
  }
}
