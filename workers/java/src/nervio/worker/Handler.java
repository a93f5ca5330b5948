package nervio.worker;

/** Does tasks of one kind, several at once where the worker has several slots. */
@FunctionalInterface
public interface Handler {
  /**
   * Does one attempt. The thread is interrupted when nobody wants the result any more.
   *
   * @return anything that Gson can write, or an {@link Answer}
   * @throws TaskFailed where the attempt came to nothing; any other exception is a bug, said on standard error
   *     and reported as a failure
   */
  Object work(Job job) throws Exception;
}
