package nervio.worker;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import nervio.worker.v1.Worker.Ending;
import nervio.worker.v1.Worker.Report;

/** What this worker holds: attempts that wait, that are worked on, and that wait for their verdict. */
final class Desk {
  /** Attempts that have ended, so that a message that comes twice is not worked on twice. */
  private static final int REMEMBERED = 10_000;

  /** An attempt on the desk. */
  private static final class Entry {
    final Job job;
    Thread thread;
    boolean isReported;

    Entry(Job job) {
      this.job = job;
    }

    void cancel() {
      job.cancel();
      if (thread != null) {
        thread.interrupt();
      }
    }
  }

  private final Map<String, Handler> kinds;
  private final int slots;
  private final int credit;
  private final Results results;
  private final Runnable changed;
  private final ExecutorService threads;

  private final Map<AttemptKey, Entry> held = new LinkedHashMap<>();
  private final Deque<Entry> waiting = new ArrayDeque<>();
  private final Map<AttemptKey, Entry> working = new HashMap<>();
  private final Map<AttemptKey, Boolean> ended = new LinkedHashMap<>();
  private int running;
  private boolean isDraining;

  /** {@code changed} is told that the desk may have become idle, busy or empty; it must not wait. */
  Desk(Map<String, Handler> kinds, Options options, Results results, Runnable changed) {
    this.kinds = kinds;
    this.slots = options.slots();
    this.credit = options.credit();
    this.results = results;
    this.changed = changed;
    this.threads = Executors.newFixedThreadPool(slots, Daemons.named("nervio-kind"));
  }

  List<String> kindNames() {
    return List.copyOf(new TreeSet<>(kinds.keySet()));
  }

  /** An attempt has come. */
  synchronized void take(Assignment assignment) {
    AttemptKey key = assignment.key();
    if (held.containsKey(key) || ended.containsKey(key)) {
      return; // the same message twice: it is done once
    }
    Entry one = new Entry(new Job(assignment, results));
    boolean isTooMuch = unfinished() >= credit;
    held.put(key, one);
    if (isTooMuch || isDraining) {
      report(one, Report.newBuilder().setEnding(Ending.ENDING_HANDED_BACK));
    } else if (!kinds.containsKey(assignment.kind())) {
      String error =
          String.format("This worker does not do '%s'; it does %s.", assignment.kind(), String.join(", ", kindNames()));
      report(one, Report.newBuilder().setEnding(Ending.ENDING_FAILED).setError(error));
    } else {
      waiting.add(one);
      startSome();
    }
    changed.run();
  }

  /** Nobody wants that attempt any more: nothing is reported of it. */
  synchronized void forget(AttemptKey key) {
    Entry one = held.get(key);
    if (one == null) {
      return;
    }
    let(key);
    results.forget(key);
    one.cancel();
    waiting.remove(one);
    working.remove(key);
    changed.run();
  }

  /** The master has said what became of it. */
  synchronized void settle(AttemptKey key) {
    if (held.containsKey(key)) {
      let(key);
      changed.run();
    }
  }

  /** Takes nothing more. */
  synchronized void drain() {
    isDraining = true;
  }

  /** Gives back what was not begun. */
  synchronized void handBackWaiting() {
    for (Entry one : waiting) {
      report(one, Report.newBuilder().setEnding(Ending.ENDING_HANDED_BACK));
    }
    waiting.clear();
    changed.run();
  }

  /** Gives back what is being worked on, and interrupts it. */
  synchronized void handBackRest() {
    for (Entry one : working.values()) {
      one.cancel();
      report(one, Report.newBuilder().setEnding(Ending.ENDING_HANDED_BACK));
    }
    working.clear();
  }

  /** Waits until nothing is held any more; whether that came about in time. */
  synchronized boolean awaitEmpty(long millis) throws InterruptedException {
    long end = System.nanoTime() + millis * 1_000_000;
    while (!held.isEmpty()) {
      long left = (end - System.nanoTime()) / 1_000_000;
      if (left <= 0) {
        return false;
      }
      wait(left);
    }
    return true;
  }

  /** Attempts that were received and have no final verdict. */
  synchronized List<AttemptKey> holding() {
    return new ArrayList<>(held.keySet());
  }

  /** Attempts that are worked on or wait for it. */
  synchronized int unfinished() {
    return waiting.size() + working.size();
  }

  synchronized boolean isDraining() {
    return isDraining;
  }

  private void let(AttemptKey key) {
    held.remove(key);
    ended.put(key, Boolean.TRUE);
    if (ended.size() > REMEMBERED) {
      ended.remove(ended.keySet().iterator().next());
    }
    notifyAll();
  }

  private void startSome() {
    while (!waiting.isEmpty() && running < slots) {
      Entry one = waiting.remove();
      working.put(one.job.key(), one);
      running++;
      threads.execute(() -> work(one));
    }
  }

  private void report(Entry one, Report.Builder report) {
    one.isReported = true;
    AttemptKey key = one.job.key();
    results.report(
        key, report.setTenantId(key.tenantId()).setTaskId(key.taskId()).setToken(key.token()).build());
  }

  /** Runs one attempt. A handler that does not mind being interrupted keeps its slot until it returns. */
  private void work(Entry one) {
    long began = System.nanoTime();
    synchronized (this) {
      one.thread = Thread.currentThread();
    }
    Report.Builder report =
        one.job.isCancelled() ? Report.newBuilder() : doIt(one.job).setSeconds((System.nanoTime() - began) / 1e9);
    synchronized (this) {
      one.thread = null;
      Thread.interrupted(); // it was meant for this attempt, not for the next
      working.remove(one.job.key(), one);
      if (held.get(one.job.key()) == one && !one.isReported) {
        report(one, report);
      }
      running--;
      startSome();
      changed.run();
    }
  }

  private Report.Builder doIt(Job job) {
    Report.Builder report = Report.newBuilder();
    try {
      Object came = kinds.get(job.kind()).work(job);
      Answer answer = came instanceof Answer whole ? whole : new Answer(came, null);
      return write(report, answer);
    } catch (TaskFailed failed) {
      String message = failed.getMessage();
      return report
          .setEnding(Ending.ENDING_FAILED)
          .setError(message == null || message.isEmpty() ? "failed" : message)
          .setHopeless(!failed.mayHelp())
          .setRetryAfterSeconds(failed.retryAfter().toMillis() / 1e3);
    } catch (InterruptedException interrupted) {
      return report.setEnding(Ending.ENDING_FAILED).setError("It was interrupted.");
    } catch (Exception | LinkageError | StackOverflowError | OutOfMemoryError bug) {
      Log.say("a task of kind %s crashed", job.kind());
      bug.printStackTrace();
      return report.setEnding(Ending.ENDING_FAILED).setError(Log.why(bug));
    }
  }

  private static Report.Builder write(Report.Builder report, Answer answer) {
    try {
      report.setResult(Json.write(answer.result()));
      if (answer.usage() != null) {
        report.setUsage(Json.write(answer.usage()));
      }
      return report.setEnding(Ending.ENDING_DONE);
    } catch (RuntimeException | StackOverflowError problem) {
      return report
          .clear()
          .setEnding(Ending.ENDING_FAILED)
          .setError("The result is nothing that JSON can say: " + Log.why(problem))
          .setHopeless(true);
    }
  }
}
