package nervio.worker;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;

/**
 * One connection to a broker in MQTT 3.1.1, as far as a worker needs it: QoS 0 and 1, a clean session, a will. The one
 * client that Debian has for Java does not look whether a certificate is that of the host; this one does.
 */
final class MqttConnection implements Closeable {
  private static final int KEEP_ALIVE_SECONDS = 10;
  private static final int CONNECT_MILLIS = 5_000;
  private static final int SILENCE_MILLIS = 15_000;
  private static final int LARGEST_TEXT = 65_535;
  private static final int REFUSED = 0x80;
  private static final String[] REFUSALS = {
    "",
    "it does not speak MQTT 3.1.1",
    "it refuses the client id",
    "it is not ready",
    "wrong user or password",
    "not allowed"
  };

  private final Socket socket;
  private final DataInputStream in;
  private final DataOutputStream out;
  private final BiConsumer<String, byte[]> received;
  private final Map<Integer, CompletableFuture<byte[]>> answers = new HashMap<>();
  private final ScheduledFuture<?> pinging;
  private int lastId;
  private boolean isClosed;

  /**
   * Connects. {@code received} hears of messages in the thread of {@link #read}.
   *
   * @throws IOException that says why not
   */
  MqttConnection(
      Options options,
      String willTopic,
      byte[] will,
      BiConsumer<String, byte[]> received,
      ScheduledExecutorService timer)
      throws IOException {
    this.received = received;
    socket = open(options);
    try {
      in = new DataInputStream(new BufferedInputStream(socket.getInputStream()));
      out = new DataOutputStream(new BufferedOutputStream(socket.getOutputStream()));
      sayHello(options, willTopic, will);
    } catch (IOException | RuntimeException problem) {
      socket.close();
      throw problem;
    }
    pinging = timer.scheduleAtFixedRate(this::ping, KEEP_ALIVE_SECONDS, KEEP_ALIVE_SECONDS, TimeUnit.SECONDS);
  }

  private static Socket open(Options options) throws IOException {
    Broker broker = options.broker();
    Socket plain = new Socket();
    try {
      plain.connect(new InetSocketAddress(broker.host(), broker.port()), CONNECT_MILLIS);
      plain.setTcpNoDelay(true); // without it a task takes 44 ms to arrive in place of 0.4
      plain.setSoTimeout(SILENCE_MILLIS);
      if (!broker.isSecure()) {
        return plain;
      }
      SSLSocketFactory factory = options.tls().forMqtt().getSocketFactory();
      SSLSocket secure = (SSLSocket) factory.createSocket(plain, broker.host(), broker.port(), true);
      SSLParameters parameters = secure.getSSLParameters();
      parameters.setEndpointIdentificationAlgorithm("HTTPS"); // the certificate must be that of the host
      secure.setSSLParameters(parameters);
      secure.startHandshake();
      return secure;
    } catch (SSLException problem) {
      plain.close();
      throw new IOException("no TLS; check ca, certificate and key: " + problem.getMessage(), problem);
    } catch (IOException | RuntimeException problem) {
      plain.close();
      throw problem;
    }
  }

  private void sayHello(Options options, String willTopic, byte[] will) throws IOException {
    Broker broker = options.broker();
    ByteArrayOutputStream body = new ByteArrayOutputStream();
    DataOutputStream fields = new DataOutputStream(body);
    writeText(fields, "MQTT");
    fields.writeByte(4);
    boolean hasUser = broker.user() != null;
    boolean hasPassword = hasUser && broker.password() != null;
    // Clean session, and a will that is retained with QoS 1.
    fields.writeByte(0x02 | 0x04 | 0x08 | 0x20 | (hasUser ? 0x80 : 0) | (hasPassword ? 0x40 : 0));
    fields.writeShort(KEEP_ALIVE_SECONDS);
    writeText(fields, options.id());
    writeText(fields, willTopic);
    writeText(fields, will);
    if (hasUser) {
      writeText(fields, broker.user());
    }
    if (hasPassword) {
      writeText(fields, broker.password());
    }
    send(0x10, body.toByteArray());
    int type = in.readUnsignedByte();
    byte[] answer = in.readNBytes(readLength());
    if (type != 0x20 || answer.length != 2) {
      throw new IOException("what answers is no MQTT broker");
    }
    if (answer[1] != 0) {
      String why = answer[1] > 0 && answer[1] < REFUSALS.length ? REFUSALS[answer[1]] : "code " + answer[1];
      throw new IOException("the broker refuses us: " + why + "; check user, password and client id");
    }
  }

  /** Subscribes with QoS 1; the answer comes while another thread reads. */
  CompletableFuture<Void> subscribe(List<String> topics) throws IOException {
    ByteArrayOutputStream body = new ByteArrayOutputStream();
    DataOutputStream fields = new DataOutputStream(body);
    CompletableFuture<byte[]> answer = new CompletableFuture<>();
    fields.writeShort(remember(answer));
    for (String topic : topics) {
      writeText(fields, topic);
      fields.writeByte(1);
    }
    send(0x82, body.toByteArray());
    return answer.thenAccept(
        codes -> {
          for (int n = 0; n < topics.size() && n < codes.length; n++) {
            if ((codes[n] & REFUSED) != 0) {
              throw new IllegalStateException("the broker allows no subscription to " + topics.get(n));
            }
          }
        });
  }

  /** Publishes; the answer of QoS 1 comes once the broker has it. */
  CompletableFuture<Void> publish(String topic, byte[] payload, int qos, boolean isRetained) throws IOException {
    ByteArrayOutputStream body = new ByteArrayOutputStream(payload.length + topic.length() + 8);
    DataOutputStream fields = new DataOutputStream(body);
    writeText(fields, topic);
    CompletableFuture<byte[]> answer = new CompletableFuture<>();
    if (qos > 0) {
      fields.writeShort(remember(answer));
    } else {
      answer.complete(new byte[0]);
    }
    fields.write(payload);
    send(0x30 | qos << 1 | (isRetained ? 1 : 0), body.toByteArray());
    return answer.thenAccept(done -> {});
  }

  /** Reads until the line breaks, and says how by its exception. */
  void read() throws IOException {
    try {
      while (true) {
        int type = in.readUnsignedByte();
        int length = readLength();
        byte[] body = in.readNBytes(length);
        if (body.length < length) {
          throw new EOFException("the broker hung up");
        }
        ByteBuffer fields = ByteBuffer.wrap(body);
        switch (type >> 4) {
          case 3 -> take(type, fields);
          case 4, 9 -> answer(fields);
          case 13 -> {} // it lives; that something came is all that counts
          default -> throw new IOException("a message of type " + (type >> 4) + " was not to be expected");
        }
      }
    } catch (EOFException end) {
      throw new IOException("the broker hung up", end);
    } catch (java.nio.BufferUnderflowException problem) {
      throw new IOException("a message of the broker is cut short", problem);
    } finally {
      close();
    }
  }

  private void take(int type, ByteBuffer fields) throws IOException {
    byte[] topic = new byte[Short.toUnsignedInt(fields.getShort())];
    fields.get(topic);
    int qos = type >> 1 & 3;
    short id = qos > 0 ? fields.getShort() : 0;
    byte[] payload = new byte[fields.remaining()];
    fields.get(payload);
    received.accept(new String(topic, StandardCharsets.UTF_8), payload);
    if (qos > 0) {
      send(0x40, ByteBuffer.allocate(2).putShort(id).array());
    }
  }

  private void answer(ByteBuffer fields) {
    CompletableFuture<byte[]> answer;
    synchronized (answers) {
      answer = answers.remove(Short.toUnsignedInt(fields.getShort()));
    }
    if (answer != null) {
      byte[] codes = new byte[fields.remaining()];
      fields.get(codes);
      answer.complete(codes);
    }
  }

  private int remember(CompletableFuture<byte[]> answer) throws IOException {
    synchronized (answers) {
      if (isClosed || answers.size() >= LARGEST_TEXT) {
        throw new IOException("the broker is away");
      }
      do {
        lastId = lastId % LARGEST_TEXT + 1;
      } while (answers.containsKey(lastId));
      answers.put(lastId, answer);
      return lastId;
    }
  }

  private void ping() {
    try {
      send(0xC0, new byte[0]);
    } catch (IOException broken) {
      close();
    }
  }

  /** Says good-bye, so that the broker publishes no will. */
  void leave() {
    try {
      send(0xE0, new byte[0]);
    } catch (IOException broken) {
      Log.say("left without a word: %s", Log.why(broken));
    }
    close();
  }

  @Override
  public void close() {
    if (pinging != null) {
      pinging.cancel(false);
    }
    try {
      socket.close();
    } catch (IOException nothing) {
      // it is closed, as far as we are concerned
    }
    List<CompletableFuture<byte[]>> left;
    synchronized (answers) {
      isClosed = true;
      left = List.copyOf(answers.values());
      answers.clear();
    }
    left.forEach(answer -> answer.completeExceptionally(new IOException("the broker hung up")));
  }

  private int readLength() throws IOException {
    int length = 0;
    for (int shift = 0; shift < 28; shift += 7) {
      int part = in.readUnsignedByte();
      length |= (part & 0x7F) << shift;
      if ((part & 0x80) == 0) {
        return length;
      }
    }
    throw new IOException("what answers is no MQTT broker");
  }

  private void send(int type, byte[] body) throws IOException {
    synchronized (out) {
      out.writeByte(type);
      int left = body.length;
      do {
        out.writeByte(left > 0x7F ? left & 0x7F | 0x80 : left);
        left >>= 7;
      } while (left > 0);
      out.write(body);
      out.flush();
    }
  }

  private static void writeText(DataOutputStream fields, String text) throws IOException {
    writeText(fields, text.getBytes(StandardCharsets.UTF_8));
  }

  private static void writeText(DataOutputStream fields, byte[] text) throws IOException {
    if (text.length > LARGEST_TEXT) {
      throw new IOException("a field of MQTT has " + LARGEST_TEXT + " bytes at most, not " + text.length);
    }
    fields.writeShort(text.length);
    fields.write(text);
  }
}
