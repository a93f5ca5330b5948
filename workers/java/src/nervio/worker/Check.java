package nervio.worker;

import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import java.time.Duration;
import java.util.Map;
import java.util.Set;

/** The kind {@code check}, which {@code nervio worker-check} asks for (docs/workers.md). */
final class Check implements Handler {
  private static final Set<String> KNOWN = Set.of("echo", "chunks", "sleep_seconds", "fail", "repeat");
  private static final double LONGEST_SLEEP = 86_400;

  @Override
  public Object work(Job job) throws TaskFailed, InterruptedException {
    JsonElement given = job.payload();
    if (!given.isJsonObject() || !KNOWN.containsAll(given.getAsJsonObject().keySet())) {
      throw refused("an object of chunks, echo, fail, repeat, sleep_seconds is expected");
    }
    JsonObject payload = given.getAsJsonObject();
    int chunks = (int) number(payload, "chunks", Integer.MAX_VALUE);
    for (int n = 0; n < chunks; n++) {
      job.emit("part " + n);
    }
    Thread.sleep((long) (1000 * number(payload, "sleep_seconds", LONGEST_SLEEP)));
    if (payload.has("fail")) {
      throw new TaskFailed(Json.text(payload, "fail"), false, Duration.ZERO);
    }
    if (payload.has("repeat")) {
      return "x".repeat((int) number(payload, "repeat", 1 << 30));
    }
    JsonElement echo = payload.has("echo") ? payload.get("echo") : JsonNull.INSTANCE;
    return new Answer(echo, Map.of("input_tokens", 1, "output_tokens", chunks));
  }

  private static double number(JsonObject payload, String field, double most) throws TaskFailed {
    if (!payload.has(field)) {
      return 0;
    }
    JsonElement value = payload.get(field);
    if (!value.isJsonPrimitive() || !value.getAsJsonPrimitive().isNumber()) {
      throw refused(field + " must be a number");
    }
    double number = value.getAsDouble();
    if (!(number >= 0 && number <= most)) {
      throw refused(field + " must be from 0 to " + (long) most);
    }
    return number;
  }

  private static TaskFailed refused(String why) {
    return new TaskFailed("payload: " + why, false, Duration.ZERO);
  }
}
