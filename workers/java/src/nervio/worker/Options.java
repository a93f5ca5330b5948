package nervio.worker;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** How a worker reaches its master, and what it offers. */
record Options(
    Broker broker,
    String id,
    String prefix,
    String token,
    Tls tls,
    int slots,
    int credit,
    List<String> models,
    Duration drain,
    boolean hasCheck) {

  static final String HELP =
      """
      Usage: nervio-worker [options]

      A worker for Nervio's fleet. What has a variable is taken from it where the option is not given.

        --broker URL          mqtt://user:password@host:1883, or mqtts:// (better as NERVIO_WORKER_BROKER)
        --id NAME             name that stays over restarts; default: the machine's (NERVIO_WORKER_ID)
        --prefix PREFIX       the installation's topic prefix; default: upb (NERVIO_WORKER_PREFIX)
        --token TOKEN         the master's worker token (better as NERVIO_WORKER_TOKEN)
        --ca FILE             PEM: who signed certificates of broker and master; gRPC over TLS then (NERVIO_WORKER_CA)
        --certificate FILE    PEM: this worker's certificate, for mutual TLS (NERVIO_WORKER_CERTIFICATE)
        --key FILE            PEM (PKCS 8): its key (NERVIO_WORKER_KEY)
        --slots N             tasks that are worked on at once; default: 1
        --credit N            tasks that are held at most; default: twice the slots
        --model NAME          a model that it has; may be given again
        --drain-seconds S     how long tasks may still take after SIGTERM; default: 30
        --check               add the kind check, which `nervio worker-check` asks for
        --help                this text
      """;

  private static final Pattern ID = Pattern.compile("[A-Za-z0-9._-]{1,64}");
  private static final List<String> NAMES =
      List.of("broker", "id", "prefix", "token", "ca", "certificate", "key", "slots", "credit", "drain-seconds");
  private static final int MOST = 100_000;

  /** Reads a command line. An IllegalArgumentException names the option that cannot be. */
  static Options read(List<String> arguments, Map<String, String> environment) {
    Map<String, String> given = new HashMap<>();
    List<String> models = new ArrayList<>();
    boolean hasCheck = false;
    for (int at = 0; at < arguments.size(); at++) {
      String[] word = arguments.get(at).split("=", 2);
      String name = word[0].startsWith("--") ? word[0].substring(2) : "";
      if (name.equals("check") && word.length == 1) {
        hasCheck = true;
        continue;
      }
      if (!NAMES.contains(name) && !name.equals("model")) {
        throw new IllegalArgumentException(arguments.get(at) + " is no option; see --help");
      }
      if (word.length == 1 && ++at == arguments.size()) {
        throw new IllegalArgumentException("--" + name + " wants a value");
      }
      String value = word.length == 2 ? word[1] : arguments.get(at);
      if (name.equals("model")) {
        models.add(value);
      } else {
        given.put(name, value);
      }
    }
    for (String name : List.of("broker", "id", "prefix", "token", "ca", "certificate", "key")) {
      String value = environment.getOrDefault("NERVIO_WORKER_" + name.toUpperCase(java.util.Locale.ROOT), "");
      if (!value.isEmpty()) {
        given.putIfAbsent(name, value);
      }
    }
    return make(given, List.copyOf(models), hasCheck);
  }

  private static Options make(Map<String, String> given, List<String> models, boolean hasCheck) {
    int slots = (int) number(given, "slots", 1, 1, MOST);
    int credit = (int) number(given, "credit", 2.0 * slots, slots, 2.0 * MOST);
    double drain = number(given, "drain-seconds", 30, 0, 86_400);
    String id = given.getOrDefault("id", "");
    return new Options(
        Broker.read(given.getOrDefault("broker", "mqtt://127.0.0.1:1883")),
        checkId(id.isEmpty() ? hostName() : id),
        given.getOrDefault("prefix", "upb"),
        given.getOrDefault("token", ""),
        Tls.read(file(given, "ca"), file(given, "certificate"), file(given, "key")),
        slots,
        credit,
        models,
        Duration.ofMillis((long) (1000 * drain)),
        hasCheck);
  }

  private static String checkId(String id) {
    if (!ID.matcher(id).matches()) {
      throw new IllegalArgumentException("id: '" + id + "' is none: 1 to 64 of A-Z a-z 0-9 . _ -");
    }
    return id;
  }

  private static String hostName() {
    try {
      return InetAddress.getLocalHost().getHostName();
    } catch (UnknownHostException problem) {
      throw new IllegalArgumentException("id: the machine has no name, give one with --id", problem);
    }
  }

  private static Path file(Map<String, String> given, String name) {
    try {
      return given.getOrDefault(name, "").isEmpty() ? null : Path.of(given.get(name));
    } catch (InvalidPathException problem) {
      throw new IllegalArgumentException(name + ": " + problem.getMessage(), problem);
    }
  }

  private static double number(Map<String, String> given, String name, double without, double least, double most) {
    try {
      double value = given.containsKey(name) ? Double.parseDouble(given.get(name)) : without;
      if (value >= least && value <= most) {
        return value;
      }
    } catch (NumberFormatException problem) {
      // the same as one that is out of range
    }
    throw new IllegalArgumentException(
        String.format("%s: '%s' is no number from %.0f to %.0f", name, given.get(name), least, most));
  }
}
