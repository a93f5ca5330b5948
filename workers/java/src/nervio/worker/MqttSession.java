package nervio.worker;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BiConsumer;

/**
 * A line to the broker that comes back by itself. Every connection is a new session: nothing that was not acknowledged
 * is sent again, since both sides agree anew on what a worker has when it registers.
 */
final class MqttSession {
  private static final long ANSWER_SECONDS = 10;
  private static final long SAY_AGAIN_NANOS = TimeUnit.SECONDS.toNanos(60);

  /** What is published. */
  record Message(String topic, byte[] payload, int qos, boolean isRetained) {}

  private final Options options;
  private final List<String> topics;
  private final Message will;
  private final BiConsumer<String, byte[]> received;
  private final Runnable opened;
  private final ScheduledExecutorService timer;
  private final Thread thread = Daemons.named("nervio-mqtt").newThread(this::run);

  private volatile MqttConnection current;
  private volatile boolean isClosed;

  /** {@code opened} is run on every new connection, once the broker has agreed to the subscriptions. */
  MqttSession(
      Options options,
      List<String> topics,
      Message will,
      BiConsumer<String, byte[]> received,
      Runnable opened,
      ScheduledExecutorService timer) {
    this.options = options;
    this.topics = topics;
    this.will = will;
    this.received = received;
    this.opened = opened;
    this.timer = timer;
  }

  /** Begins to connect, in the background. */
  void start() {
    thread.start();
  }

  /** Says good-bye to the broker, which then publishes no will. */
  void close() {
    isClosed = true;
    thread.interrupt();
    MqttConnection connection = current;
    if (connection != null) {
      connection.leave();
    }
  }

  boolean isOpen() {
    return current != null;
  }

  /** Publishes. The future is done once the broker has it. */
  CompletableFuture<Void> publish(Message message) throws IOException {
    MqttConnection connection = current;
    if (connection == null) {
      throw new IOException("the broker is away");
    }
    return connection.publish(message.topic(), message.payload(), message.qos(), message.isRetained());
  }

  /** Publishes, and waits until the broker has it. */
  void publishAndWait(Message message) throws IOException, InterruptedException {
    await(publish(message));
  }

  private void run() {
    Pause pause = new Pause();
    String said = "";
    long saidAt = 0;
    while (!isClosed) {
      long began = System.nanoTime();
      String why;
      try {
        why = connection();
      } catch (InterruptedException interrupted) {
        return;
      }
      if (isClosed) {
        return;
      }
      pause.resetIfLasted(began);
      if (!why.equals(said) || System.nanoTime() - saidAt > SAY_AGAIN_NANOS) {
        Log.say("broker_away: %s, waiting for it: %s", options.broker(), why);
        said = why;
        saidAt = System.nanoTime();
      }
      try {
        Thread.sleep(pause.nextWithJitter());
      } catch (InterruptedException interrupted) {
        return;
      }
    }
  }

  /** One connection, from its first to its last moment; how it ended. */
  private String connection() throws InterruptedException {
    try (MqttConnection connection = new MqttConnection(options, will.topic(), will.payload(), received, timer)) {
      CompletableFuture<String> broken = new CompletableFuture<>();
      Thread reading =
          Daemons.named("nervio-mqtt-read").newThread(() -> broken.complete(readUntilBroken(connection)));
      reading.start();
      await(connection.subscribe(topics));
      current = connection;
      Log.say("broker_connected: %s", options.broker());
      opened.run();
      return broken.get();
    } catch (IOException | ExecutionException | RuntimeException problem) {
      return Log.why(problem);
    } finally {
      current = null;
    }
  }

  private static String readUntilBroken(MqttConnection connection) {
    try {
      connection.read();
      return "the line broke";
    } catch (IOException | RuntimeException | StackOverflowError problem) {
      return Log.why(problem);
    }
  }

  private static void await(CompletableFuture<Void> answer) throws IOException, InterruptedException {
    try {
      answer.get(ANSWER_SECONDS, TimeUnit.SECONDS);
    } catch (ExecutionException problem) {
      throw new IOException(problem.getCause().getMessage(), problem);
    } catch (TimeoutException silence) {
      throw new IOException("the broker did not acknowledge", silence);
    }
  }
}
