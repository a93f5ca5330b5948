package nervio.worker;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import nervio.worker.MqttSession.Message;

/** One boot of a worker: registers, takes tasks, gives signs of life, and leaves in order. */
final class Presence {
  private static final String VERSION = "0.1.0";
  private static final long STATUS_MILLIS = 1_000;

  /** A task that is done before anybody looks was never busy to anyone. */
  private static final long CHANGE_MILLIS = 50;

  /** What was on its way when the master heard that we leave arrives within it. */
  private static final long ON_ITS_WAY_MILLIS = 300;

  /** How long a worker that leaves waits for verdicts on what it brought last. */
  private static final long LAST_VERDICTS_MILLIS = 5_000;

  private final Options options;
  private final String boot;
  private final String top;
  private final ScheduledExecutorService timer = Executors.newScheduledThreadPool(1, Daemons.named("nervio-timer"));
  private final Results results;
  private final Desk desk;
  private final MqttSession session;
  private final AtomicBoolean isChanging = new AtomicBoolean();
  private volatile String told = "idle";

  /** Once it has said that it is gone, it says nothing more: a registration after it would be that of a ghost. */
  private boolean isGone;

  Presence(Options options, Map<String, Handler> kinds) {
    this.options = options;
    byte[] random = new byte[8];
    new SecureRandom().nextBytes(random);
    boot = HexFormat.of().formatHex(random);
    top = options.prefix() + "/workers/" + options.id();
    results = new Results(options, boot, timer, this::settled);
    desk = new Desk(kinds, options, results, this::changed);
    List<String> topics = List.of(top + "/tasks", top + "/control");
    session = new MqttSession(options, topics, gone("The worker's line broke."), this::received, this::register, timer);
  }

  /** Begins. */
  void start() {
    Log.say("worker %s does %s", options.id(), String.join(", ", desk.kindNames()));
    results.start();
    session.start();
    timer.scheduleAtFixedRate(this::sayStatus, STATUS_MILLIS, STATUS_MILLIS, TimeUnit.MILLISECONDS);
  }

  /** Finishes what it works on or hands it back, says that it is gone, and lets go. */
  void leave() throws InterruptedException {
    Log.say("leaving: %d tasks are not finished", desk.unfinished());
    desk.drain();
    try {
      synchronized (this) {
        session.publishAndWait(registration());
      }
    } catch (IOException problem) {
      Log.say("the master was not told that this worker leaves: %s", problem.getMessage());
    }
    desk.handBackWaiting();
    Thread.sleep(ON_ITS_WAY_MILLIS);
    if (!desk.awaitEmpty(options.drain().toMillis())) {
      desk.handBackRest();
      desk.awaitEmpty(LAST_VERDICTS_MILLIS);
    }
    synchronized (this) {
      isGone = true;
    }
    try {
      session.publishAndWait(gone("The worker was told to leave."));
    } catch (IOException problem) {
      Log.say("left without a word: %s", problem.getMessage());
    }
    results.close();
    session.close();
  }

  private void settled(AttemptKey key) {
    desk.settle(key);
  }

  // -- presence -------------------------------------------------------------------------------------------------------

  private void changed() {
    if (isChanging.compareAndSet(false, true)) {
      timer.schedule(
          () -> {
            isChanging.set(false);
            if (!state().equals(told)) {
              sayStatus();
            }
          },
          CHANGE_MILLIS,
          TimeUnit.MILLISECONDS);
    }
  }

  private String state() {
    return desk.isDraining() ? "draining" : desk.unfinished() > 0 ? "busy" : "idle";
  }

  private synchronized void sayStatus() {
    told = state();
    Map<String, Object> status = Map.of("boot", boot, "state", told, "in_flight", desk.holding().size());
    if (session.isOpen() && !isGone) {
      publish(new Message(top + "/status", Json.bytes(status), 0, false));
    }
  }

  /** One after the other, so that the newest registration is the last that the broker has. */
  private synchronized void register() {
    if (!isGone) {
      publish(registration());
    }
  }

  private void publish(Message message) {
    try {
      session.publish(message);
    } catch (IOException away) {
      Log.say("%s was not said: %s", message.topic(), away.getMessage()); // it is said anew on the next connection
    }
  }

  private Message registration() {
    Map<String, Object> profile = new TreeMap<>();
    profile.put("id", options.id());
    profile.put("boot", boot);
    profile.put("kinds", desk.kindNames());
    profile.put("models", options.models());
    profile.put("slots", options.slots());
    profile.put("credit", desk.isDraining() ? 0 : options.credit());
    profile.put("batch", 1);
    profile.put("version", VERSION);
    profile.put("language", "java");
    profile.put("holding", desk.holding().stream().map(Presence::name).toList());
    return new Message(top + "/register", Json.bytes(profile), 1, true);
  }

  private static Map<String, Object> name(AttemptKey key) {
    return Map.of("tenant_id", key.tenantId(), "task_id", key.taskId(), "token", key.token());
  }

  private Message gone(String reason) {
    return new Message(top + "/register", Json.bytes(Map.of("boot", boot, "gone", true, "reason", reason)), 1, true);
  }

  // -- what the master says -------------------------------------------------------------------------------------------

  private void received(String topic, byte[] payload) {
    try {
      JsonObject body = Json.read(payload).getAsJsonObject();
      if (topic.endsWith("/control")) {
        obey(body);
      } else {
        takeTasks(body);
      }
    } catch (RuntimeException | StackOverflowError problem) {
      Log.say("a message on %s keeps no contract: %s", topic, Log.why(problem));
    }
  }

  private void takeTasks(JsonObject body) {
    String endpoint = Json.wanted(body, "grpc_endpoint").getAsString();
    JsonArray tasks = Json.wanted(body, "tasks").getAsJsonArray();
    results.leadTo(endpoint);
    for (JsonElement task : tasks) {
      try {
        desk.take(Assignment.read(task));
      } catch (RuntimeException problem) {
        Log.say("a task keeps no contract: %s", Log.why(problem));
      }
    }
  }

  private void obey(JsonObject body) {
    results.leadTo(Json.text(body, "grpc_endpoint"));
    switch (Json.text(body, "do")) {
      // Not here: who reads from the line must not wait for room to write to it.
      case "register" -> timer.execute(this::register);
      case "cancel" -> {
        for (JsonElement one : Json.wanted(body, "attempts").getAsJsonArray()) {
          desk.forget(Assignment.readKey(one.getAsJsonObject()));
        }
      }
      default -> Log.say("the master asks for something that this worker does not know");
    }
  }
}
