package nervio.worker;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A worker for Nervio's fleet, in Java: a function and a kind of task.
 *
 * <pre>{@code
 * public static void main(String[] arguments) throws InterruptedException {
 *   Worker.run(arguments, Map.of("chat", job -> {
 *     job.emit("Hel");
 *     return Map.of("text", "Hello");
 *   }));
 * }
 * }</pre>
 *
 * It registers whichever starts first, holds no more tasks than it said, keeps each result until the master has said
 * what became of it, and on SIGTERM finishes or hands back what it has. The contract is proto/asyncapi.yaml and
 * proto/worker.proto.
 */
public final class Worker {
  private Worker() {}

  /** The command nervio-worker, for the conformance check: {@code nervio worker-check -- nervio-worker --check}. */
  public static void main(String[] arguments) throws InterruptedException {
    run(arguments, Map.of());
  }

  /**
   * Reads options and NERVIO_WORKER_… variables, does tasks of these kinds until SIGTERM or SIGINT, and leaves in
   * order. The program ends with it.
   */
  public static void run(String[] arguments, Map<String, Handler> kinds) throws InterruptedException {
    if (List.of(arguments).contains("--help")) {
      System.out.print(Options.HELP);
      return;
    }
    Presence presence;
    try {
      Options options = Options.read(List.of(arguments), System.getenv());
      Map<String, Handler> all = new HashMap<>(kinds);
      if (options.hasCheck()) {
        all.put("check", new Check());
      }
      if (all.isEmpty()) {
        throw new IllegalArgumentException("no kinds: add --check, or give Worker.run kinds of your own");
      }
      presence = new Presence(options, Map.copyOf(all));
    } catch (IllegalArgumentException problem) {
      System.err.println("nervio-worker: " + problem.getMessage());
      System.exit(2);
      return;
    }
    Runtime.getRuntime().addShutdownHook(new Thread(() -> leave(presence), "nervio-leave"));
    presence.start();
    Thread.currentThread().join(); // until the signal
  }

  /** The machine shuts down: whoever was told to leave and did so has ended well. */
  private static void leave(Presence presence) {
    int code = 0;
    try {
      presence.leave();
    } catch (InterruptedException | RuntimeException problem) {
      Log.say("left in disorder: %s", Log.why(problem));
      code = 1;
    }
    Runtime.getRuntime().halt(code);
  }
}
