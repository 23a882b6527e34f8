package exactlyonce.flink;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;

import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;

/**
 * One Python worker and the four threads that serve it.
 *
 * <p>Only {@link #send} and {@link #await} wait, both interruptibly and no longer than the worker
 * lives; pipes, which can't be interrupted, are read and written by threads of their own. {@link
 * #close} kills the process first, so that nothing ever waits for Python.
 */
final class WorkerProcess implements AutoCloseable {

    static final String MODULE = "exactly_once_kusto.flink.worker";
    private static final int TICK_MS = 500;

    /** An interpreter on a cold disk may take long before it can give its first sign of life. */
    private static final long START_MS_MAX = 60_000;

    private static final int OUTBOX_FRAMES = 8;
    private static final int REPLIES_MAX = 16;
    private static final int METRICS_MAX = 100;

    private final String label;
    private final long silenceMsMax;
    private final PythonHome home;
    private final Process process;
    private final Consumer<WorkerException> onFailure;
    private final MetricGroup metrics;
    private final StderrRelay relay;
    private final BlockingQueue<Frames.Outgoing> outbox = new ArrayBlockingQueue<>(OUTBOX_FRAMES);
    private final BlockingQueue<byte[]> spare = new ArrayBlockingQueue<>(OUTBOX_FRAMES + 1);
    private final BlockingQueue<Frames.Frame> replies = new LinkedBlockingQueue<>(REPLIES_MAX);
    private final Map<String, Double> gauges = new ConcurrentHashMap<>();
    private final AtomicReference<WorkerException> failure = new AtomicReference<>();
    private final List<Thread> threads = new ArrayList<>();
    private volatile boolean heard;
    private volatile boolean closed;

    /**
     * Starts a worker and says HELLO.
     *
     * @param label what logs and errors call it
     * @param onFailure called once, from another thread, when the worker fails before close
     */
    WorkerProcess(
            WorkerSpec spec,
            PythonHome home,
            byte[] hello,
            String label,
            MetricGroup metrics,
            Consumer<WorkerException> onFailure)
            throws IOException, InterruptedException {
        this.label = label;
        this.silenceMsMax = spec.heartbeatTimeout.toMillis();
        this.metrics = metrics;
        this.onFailure = onFailure;
        this.home = home;
        try {
            this.process = launch(home, label);
        } catch (WorkerException | RuntimeException | Error e) {
            home.close();
            throw e;
        }
        this.relay = new StderrRelay(label, process.getErrorStream());
        spawn("stderr", relay);
        Thread reader = spawn("reader", this::read);
        spawn("sender", this::write);
        spawn("watch", () -> watch(reader));
        try {
            send(Frames.HELLO, hello);
        } catch (IOException | InterruptedException | RuntimeException e) {
            close();
            throw e;
        }
    }

    private static Process launch(PythonHome home, String label) throws WorkerException {
        List<String> candidates =
                home.python == null ? List.of("python3", "python") : List.of(home.python);
        IOException last = null;
        for (String candidate : candidates) {
            try {
                // The label is for people who read a list of processes; the worker ignores it.
                ProcessBuilder builder =
                        new ProcessBuilder(candidate, "-u", "-m", MODULE, label);
                home.prepare(builder);
                return builder.start();
            } catch (IOException e) {
                last = e;
            }
        }
        throw new WorkerException(
                "no Python could be started as " + String.join(" or ", candidates) + " ("
                        + last.getMessage() + "); name an interpreter that has exactly-once-kusto "
                        + "with the table option 'python' or with Flink's python.executable (where "
                        + "the job is submitted: python.client.executable)",
                "",
                true);
    }

    /** Hands a frame to the sender; waits while its queue is full. */
    void send(byte kind, byte[] payload) throws IOException, InterruptedException {
        byte[] frame = Frames.frame(kind, payload);
        send(new Frames.Outgoing(frame, frame.length, false));
    }

    /**
     * A buffer that an earlier frame has left, or null. A batch is large enough to be a burden for
     * the garbage collector, so its buffer goes round.
     */
    byte[] spareBuffer() {
        return spare.poll();
    }

    /** As {@link #send(byte, byte[])}, for a frame that has its head already. */
    void send(Frames.Outgoing frame) throws IOException, InterruptedException {
        check();
        while (!outbox.offer(frame, 100, TimeUnit.MILLISECONDS)) {
            check();
        }
    }

    /** Waits for the reply of a kind, as long as the worker lives. */
    byte[] await(byte kind) throws IOException, InterruptedException {
        return await(kind, Long.MAX_VALUE / 1_000_000_000L);
    }

    byte[] await(byte kind, long timeoutS) throws IOException, InterruptedException {
        long start = System.nanoTime();
        while (System.nanoTime() - start < TimeUnit.SECONDS.toNanos(timeoutS)) {
            Frames.Frame reply = replies.poll(100, TimeUnit.MILLISECONDS);
            if (reply == null) {
                check();
            } else if (reply.kind != kind) {
                throw new WorkerException(
                        label + ": frame " + reply.kind + " came where " + kind + " was expected",
                        "",
                        true);
            } else {
                return reply.payload;
            }
        }
        throw new WorkerException(label + ": no answer within " + timeoutS + " s", "", true);
    }

    private void check() throws WorkerException {
        WorkerException known = failure.get();
        if (known != null) {
            known.raise();
        }
        if (closed) {
            throw new WorkerException(label + ": already closed", "", true);
        }
    }

    private void fail(WorkerException cause) {
        if (!closed && failure.compareAndSet(null, cause)) {
            process.destroyForcibly();
            onFailure.accept(cause);
        }
    }

    // ---- threads

    private void read() {
        try {
            DataInputStream in =
                    new DataInputStream(new BufferedInputStream(process.getInputStream(), 1 << 16));
            Frames.Frame frame;
            while ((frame = Frames.read(in)) != null) {
                heard = true;
                take(frame);
            }
        } catch (IOException | InterruptedException e) {
            if (process.isAlive()) {
                fail(new WorkerException(label + ": " + e, "", true));
            }
        }
    }

    private void take(Frames.Frame frame) throws IOException, InterruptedException {
        switch (frame.kind) {
            case Frames.READY: // nobody waits for it: frames may be sent before Python is up
            case Frames.HEARTBEAT:
                break;
            case Frames.ERROR:
                JsonNode error = WorkerSpec.JSON.readTree(frame.payload);
                fail(
                        new WorkerException(
                                error.path("message").asText("no message"),
                                error.path("traceback").asText(""),
                                error.path("restart").asBoolean(true)));
                break;
            case Frames.METRICS:
                WorkerSpec.JSON.readTree(frame.payload).properties().forEach(
                        entry -> measure(entry.getKey(), entry.getValue().asDouble()));
                break;
            default:
                replies.put(frame);
        }
    }

    private void measure(String name, double value) {
        boolean known = gauges.containsKey(name);
        if (metrics == null || !known && gauges.size() == METRICS_MAX) {
            return;
        }
        gauges.put(name, value);
        if (!known) {
            metrics.gauge(name, (Gauge<Double>) () -> gauges.get(name));
        }
    }

    private void write() {
        try (OutputStream out = process.getOutputStream()) {
            while (true) {
                Frames.Outgoing frame = outbox.take();
                out.write(frame.bytes, 0, frame.end);
                if (frame.reusable) {
                    spare.offer(frame.bytes); // one too many is left to the collector
                }
                if (outbox.isEmpty()) {
                    out.flush();
                }
            }
        } catch (InterruptedException e) {
            return; // closed
        } catch (IOException e) {
            // The worker's own words, or its exit, say more than a broken pipe.
            try {
                if (!process.waitFor(2, TimeUnit.SECONDS)) {
                    fail(new WorkerException(label + ": no longer reads: " + e, "", true));
                }
            } catch (InterruptedException closing) {
                return;
            }
        }
    }

    /** Counts ticks, not time: a JVM that was paused must not think its worker silent. */
    private void watch(Thread reader) {
        int silentTicks = 0;
        long msMax = Math.max(START_MS_MAX, silenceMsMax);
        try {
            while (!process.waitFor(TICK_MS, TimeUnit.MILLISECONDS)) {
                silentTicks++;
                if (heard) {
                    silentTicks = 0;
                    msMax = silenceMsMax;
                }
                heard = false;
                if (silentTicks * TICK_MS >= msMax) {
                    fail(
                            new WorkerException(
                                    label + ": sent nothing for " + msMax / 1000.0
                                            + " s ('heartbeat-timeout') and was killed",
                                    "",
                                    true));
                }
            }
            reader.join(2_000); // an ERROR frame may still be in the pipe
            relay.settle();
            fail(
                    new WorkerException(
                            label + ": the worker process ended by itself with code "
                                    + process.exitValue() + relay.lastWords(),
                            "",
                            true));
        } catch (InterruptedException e) {
            return; // closed
        }
    }

    private Thread spawn(String purpose, Runnable body) {
        Thread thread = new Thread(body, label + " " + purpose);
        thread.setDaemon(true);
        threads.add(thread);
        thread.start();
        return thread;
    }

    /** Kills the process at once; when it returns, its threads have ended. */
    @Override
    public void close() {
        closed = true;
        process.destroyForcibly();
        threads.forEach(Thread::interrupt);
        boolean interrupted = Thread.interrupted();
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(2);
        for (Thread thread : threads) {
            try {
                thread.join(Math.max(1, TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime())));
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        closeQuietly(process.getInputStream());
        closeQuietly(process.getErrorStream());
        home.close();
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static void closeQuietly(InputStream stream) {
        try {
            stream.close();
        } catch (IOException e) {
            return; // the process is dead; nothing is lost
        }
    }
}
