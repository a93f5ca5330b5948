package nervio.worker;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.nio.charset.StandardCharsets;

/** What master and worker write to each other over MQTT, and results. */
final class Json {
  private static final Gson GSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();

  private Json() {}

  static String write(Object what) {
    return GSON.toJson(what);
  }

  static byte[] bytes(Object what) {
    return write(what).getBytes(StandardCharsets.UTF_8);
  }

  static JsonElement read(byte[] text) {
    return JsonParser.parseString(new String(text, StandardCharsets.UTF_8));
  }

  /** A field that must be there. */
  static JsonElement wanted(JsonObject body, String field) {
    JsonElement value = body.get(field);
    if (value == null) {
      throw new IllegalArgumentException(field + " is wanted");
    }
    return value;
  }

  /** A field that may be missing, or null. */
  static String text(JsonObject body, String field) {
    JsonElement value = body.get(field);
    return value == null || value.isJsonNull() ? "" : value.getAsString();
  }
}
