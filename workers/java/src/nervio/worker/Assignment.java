package nervio.worker;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.time.Instant;
import java.time.OffsetDateTime;

/** An attempt as the master sends it. */
record Assignment(
    AttemptKey key, String kind, String model, JsonElement payload, int attempt, long size, Instant deadlineAt) {

  /** Reads one. Any RuntimeException says which part of the contract it does not keep. */
  static Assignment read(JsonElement given) {
    JsonObject body = given.getAsJsonObject();
    JsonElement deadline = body.get("deadline_at");
    return new Assignment(
        readKey(body),
        Json.wanted(body, "kind").getAsString(),
        Json.text(body, "model"),
        Json.wanted(body, "payload"),
        body.has("attempt") ? body.get("attempt").getAsInt() : 1,
        body.has("size") ? body.get("size").getAsLong() : 0,
        deadline == null || deadline.isJsonNull() ? null : OffsetDateTime.parse(deadline.getAsString()).toInstant());
  }

  /** The name of an attempt; see {@link #read}. */
  static AttemptKey readKey(JsonObject body) {
    return new AttemptKey(
        Json.wanted(body, "tenant_id").getAsString(),
        Json.wanted(body, "task_id").getAsString(),
        Json.wanted(body, "token").getAsLong());
  }
}
