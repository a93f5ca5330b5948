package nervio.worker;

import java.net.URI;
import java.net.URISyntaxException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;

/** Where the broker is, and who asks; user and password are null where there is none. */
record Broker(String host, int port, String user, String password, boolean isSecure) {

  /** Reads {@code mqtt://user:password@host:1883}. An IllegalArgumentException never says the password again. */
  static Broker read(String address) {
    URI parts = null;
    try {
      parts = new URI(address);
    } catch (URISyntaxException problem) {
      parts = URI.create("");
    }
    boolean isSecure = "mqtts".equals(parts.getScheme());
    if (parts.getHost() == null || !(isSecure || "mqtt".equals(parts.getScheme()))) {
      throw new IllegalArgumentException("broker must be mqtt://user:password@host:1883, or mqtts:// for TLS");
    }
    String[] who = parts.getRawUserInfo() == null ? new String[0] : parts.getRawUserInfo().split(":", 2);
    String host = parts.getHost().startsWith("[") ? parts.getHost().replaceAll("[\\[\\]]", "") : parts.getHost();
    int port = parts.getPort() > 0 ? parts.getPort() : isSecure ? 8883 : 1883;
    String user = who.length > 0 ? decode(who[0]) : null;
    return new Broker(host, port, user, who.length > 1 ? decode(who[1]) : null, isSecure);
  }

  private static String decode(String text) {
    return URLDecoder.decode(text.replace("+", "%2B"), StandardCharsets.UTF_8);
  }

  /** Its address, without the password. */
  @Override
  public String toString() {
    return (isSecure ? "mqtts://" : "mqtt://") + host + ":" + port;
  }
}
