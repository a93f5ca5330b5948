package nervio.worker;

import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import nervio.worker.v1.Worker.Chunk;
import nervio.worker.v1.Worker.Chunks;
import nervio.worker.v1.Worker.Ending;
import nervio.worker.v1.Worker.FromWorker;
import nervio.worker.v1.Worker.Heartbeat;
import nervio.worker.v1.Worker.Hello;
import nervio.worker.v1.Worker.Outcome;
import nervio.worker.v1.Worker.Report;
import nervio.worker.v1.Worker.Reports;
import nervio.worker.v1.Worker.ToWorker;
import nervio.worker.v1.Worker.Verdict;

/**
 * The way back to the master: one gRPC stream for parts of answers and reports. A report is kept until its verdict, and
 * sent again on every new stream. Parts are shown and never kept: what cannot be sent while there is no stream is
 * dropped.
 */
final class Results {
  private static final int LARGEST_MESSAGE_BYTES = 64 << 20;

  /** What a message has besides its results, at most. */
  private static final int MARGIN_BYTES = 64 << 10;

  private static final int AT_ONCE = 64;
  private static final int AT_ONCE_BYTES = 4 << 20;

  /** Parts that wait to be sent; whoever makes more waits as well. */
  private static final int MOST_PARTS = 256;

  private static final long IDLE_NANOS = TimeUnit.SECONDS.toNanos(60);
  private static final long BEAT_MILLIS = 2_000;
  private static final int ANSWER_SECONDS = 10;

  private final Options options;
  private final String boot;
  private final ScheduledExecutorService timer;
  private final Consumer<AttemptKey> settled;
  private final Channel channel;
  private final Thread thread = Daemons.named("nervio-results").newThread(this::run);

  // All of it is looked at with the lock of this object only.
  private final Map<AttemptKey, Report> reports = new LinkedHashMap<>();
  private final Set<AttemptKey> unsent = new LinkedHashSet<>();
  private final Deque<Chunk> parts = new ArrayDeque<>();
  private final Pause pause = new Pause();
  private String endpoint = "";
  private boolean mayShow = true;
  private boolean isClosed;
  private int largest = LARGEST_MESSAGE_BYTES;

  /** {@code settled} hears of every attempt that got its verdict. */
  Results(Options options, String boot, ScheduledExecutorService timer, Consumer<AttemptKey> settled) {
    this.options = options;
    this.boot = boot;
    this.channel = new Channel(options);
    this.timer = timer;
    this.settled = settled;
  }

  /** Begins; nothing is connected before there is something to say. */
  void start() {
    thread.start();
  }

  /** Lets go. */
  void close() throws InterruptedException {
    synchronized (this) {
      isClosed = true;
      notifyAll();
    }
    thread.join(TimeUnit.SECONDS.toMillis(ANSWER_SECONDS));
  }

  /** Where results go from now on. */
  synchronized void leadTo(String where) {
    if (!where.isEmpty()) {
      endpoint = where;
      notifyAll();
    }
  }

  /** Keeps a report until its verdict. */
  synchronized void report(AttemptKey key, Report report) {
    reports.put(key, report);
    unsent.add(key);
    notifyAll();
  }

  /** Nobody wants that report any more. */
  synchronized void forget(AttemptKey key) {
    reports.remove(key);
    unsent.remove(key);
  }

  /** A part of an answer; waits until there is room for it. */
  synchronized void show(AttemptKey key, int n, String text) throws InterruptedException {
    while (mayShow && parts.size() >= MOST_PARTS) {
      wait();
    }
    if (mayShow) {
      parts.add(
          Chunk.newBuilder()
              .setTenantId(key.tenantId())
              .setTaskId(key.taskId())
              .setToken(key.token())
              .setN(n)
              .setText(text)
              .build());
      notifyAll();
    }
  }

  // -- one stream after the other -------------------------------------------------------------------------------------

  private void run() {
    Pause between = new Pause();
    try {
      for (String to = awaitSomething(); to != null; to = awaitSomething()) {
        long began = System.nanoTime();
        try {
          stream(to);
        } catch (Broken | RuntimeException problem) {
          String why = problem instanceof Broken ? problem.getMessage() : Log.why(problem);
          Log.say("results_not_taken at %s: %s; trying again", to, why);
          showNothing();
          between.resetIfLasted(began);
          Thread.sleep(between.nextWithJitter());
        }
      }
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    } finally {
      channel.hangUp();
    }
  }

  /** The place where something has to be said; null once this is closed. */
  private synchronized String awaitSomething() throws InterruptedException {
    while (!isClosed && (endpoint.isEmpty() || (reports.isEmpty() && parts.isEmpty()))) {
      wait();
    }
    return isClosed ? null : endpoint;
  }

  private synchronized void showNothing() {
    mayShow = false;
    parts.clear();
    notifyAll();
  }

  /** From hello until there is nothing more to say, or another place to say it. */
  private void stream(String to) throws Broken, InterruptedException {
    Line line = new Line();
    channel.to(to).work(line);
    try {
      Hello hello = Hello.newBuilder().setWorkerId(options.id()).setBoot(boot).build();
      line.call.onNext(FromWorker.newBuilder().setHello(hello).build());
      long welcomed = line.awaitWelcome();
      begin(welcomed);
      write(line, to);
    } finally {
      line.call.cancel("left", null);
    }
  }

  private synchronized void begin(long welcomed) {
    largest = welcomed > 0 ? (int) Math.min(welcomed, LARGEST_MESSAGE_BYTES) : LARGEST_MESSAGE_BYTES;
    mayShow = true;
    unsent.clear();
    unsent.addAll(reports.keySet());
  }

  private void write(Line line, String to) throws Broken, InterruptedException {
    long quietSince = System.nanoTime();
    while (true) {
      // The parts that are there now go before the reports that are there now: a report never overtakes its own parts,
      // and whoever emits without end holds up no report of another.
      List<Report> some;
      int shown;
      synchronized (this) {
        some = takeReports();
        shown = parts.size();
      }
      for (int left = shown; left > 0; ) {
        Chunks chunks = takeParts(left);
        left -= chunks.getChunksCount();
        line.send(FromWorker.newBuilder().setChunks(chunks).build());
      }
      if (!some.isEmpty()) {
        line.send(FromWorker.newBuilder().setReports(Reports.newBuilder().addAllReports(some)).build());
      }
      if (shown > 0 || !some.isEmpty()) {
        quietSince = System.nanoTime();
      }
      boolean isSilent;
      synchronized (this) {
        if (isClosed || !endpoint.equals(to)) {
          return;
        }
        if (reports.isEmpty() && parts.isEmpty() && System.nanoTime() - quietSince > IDLE_NANOS) {
          line.call.onCompleted();
          return;
        }
        isSilent = unsent.isEmpty() && parts.isEmpty() && !line.awaitNews(to);
      }
      if (isSilent) {
        line.send(FromWorker.newBuilder().setHeartbeat(Heartbeat.getDefaultInstance()).build());
      }
    }
  }

  private List<Report> takeReports() {
    List<Report> some = new ArrayList<>();
    long size = 0;
    for (Iterator<AttemptKey> keys = unsent.iterator(); keys.hasNext() && some.size() < AT_ONCE; ) {
      AttemptKey key = keys.next();
      Report report = reports.get(key);
      long large = report.getSerializedSize();
      if (large > largest - MARGIN_BYTES) {
        report = tooLarge(report, large, largest);
        reports.put(key, report);
        large = report.getSerializedSize();
      }
      if (size > 0 && size + large > AT_ONCE_BYTES) {
        break;
      }
      some.add(report);
      size += large;
      keys.remove();
    }
    return some;
  }

  private synchronized Chunks takeParts(int most) {
    Chunks.Builder chunks = Chunks.newBuilder();
    int size = 0;
    while (chunks.getChunksCount() < Math.min(most, AT_ONCE) && size < AT_ONCE_BYTES && !parts.isEmpty()) {
      Chunk part = parts.remove();
      size += part.getText().length();
      chunks.addChunks(part);
    }
    notifyAll(); // there is room
    return chunks.build();
  }

  /** What is reported in place of a report that no message can carry. */
  private static Report tooLarge(Report report, long size, long largest) {
    String error =
        String.format(
            "The result has %d bytes; a message carries %d at most. Store it as a file and give its name.",
            size,
            largest);
    return report.toBuilder()
        .setEnding(Ending.ENDING_FAILED)
        .clearResult()
        .clearUsage()
        .setHopeless(true)
        .setError(error)
        .build();
  }

  private synchronized void sendAgain(List<AttemptKey> keys) {
    keys.stream().filter(reports::containsKey).forEach(unsent::add);
    notifyAll();
  }

  /** One stream. */
  private final class Line implements ClientResponseObserver<FromWorker, ToWorker> {
    ClientCallStreamObserver<FromWorker> call;
    private long welcome = -1;
    private String why;

    @Override
    public void beforeStart(ClientCallStreamObserver<FromWorker> started) {
      call = started;
      started.setOnReadyHandler(this::wake);
    }

    @Override
    public void onNext(ToWorker message) {
      if (message.hasWelcome()) {
        synchronized (Results.this) {
          welcome = message.getWelcome().getLargestMessageBytes();
          Results.this.notifyAll();
        }
      } else {
        take(message.getVerdicts().getVerdictsList());
      }
    }

    @Override
    public void onError(Throwable problem) {
      Status status = Status.fromThrowable(problem);
      String cause = status.getCause() == null ? "" : " (" + Log.root(status.getCause()) + ")";
      end(status.getCode() + ": " + status.getDescription() + cause);
    }

    @Override
    public void onCompleted() {
      end("the master ended the stream");
    }

    private void end(String reason) {
      synchronized (Results.this) {
        why = reason;
        Results.this.notifyAll();
      }
    }

    private void wake() {
      synchronized (Results.this) {
        Results.this.notifyAll();
      }
    }

    private void take(List<Verdict> verdicts) {
      List<AttemptKey> again = new ArrayList<>();
      for (Verdict verdict : verdicts) {
        AttemptKey key = new AttemptKey(verdict.getTenantId(), verdict.getTaskId(), verdict.getToken());
        if (verdict.getOutcome() == Outcome.OUTCOME_RETRY) {
          again.add(key);
        } else {
          forget(key);
          settled.accept(key); // without our lock: who holds attempts comes to us with its own
        }
      }
      synchronized (Results.this) {
        if (again.isEmpty()) {
          pause.reset();
        } else {
          timer.schedule(() -> sendAgain(again), pause.next(), TimeUnit.MILLISECONDS);
        }
      }
    }

    long awaitWelcome() throws Broken, InterruptedException {
      synchronized (Results.this) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(ANSWER_SECONDS);
        while (welcome < 0 && why == null && !isClosed) {
          long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
          if (left <= 0) {
            throw new Broken("the master did not answer within " + ANSWER_SECONDS + " s");
          }
          Results.this.wait(left);
        }
        throwIfBroken();
        return welcome;
      }
    }

    /** Sends, once gRPC has room: whoever reads slowly slows us. */
    void send(FromWorker message) throws Broken, InterruptedException {
      synchronized (Results.this) {
        while (!call.isReady() && why == null && !isClosed) {
          Results.this.wait();
        }
        throwIfBroken();
      }
      call.onNext(message);
    }

    /** Whether there was something new before it is time for a sign of life. The caller has the lock. */
    boolean awaitNews(String to) throws Broken, InterruptedException {
      long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(BEAT_MILLIS);
      while (unsent.isEmpty() && parts.isEmpty() && why == null && !isClosed && endpoint.equals(to)) {
        long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
        if (left <= 0) {
          return false;
        }
        Results.this.wait(left);
      }
      throwIfBroken();
      return true;
    }

    private void throwIfBroken() throws Broken {
      if (why != null) {
        throw new Broken(why);
      }
    }
  }
}
