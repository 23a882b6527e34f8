package exactlyonce.flink;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Puts a worker's standard error into the TaskManager's log, at the levels it names.
 *
 * <p>A record begins with {@code LEVEL logger message}; lines that begin with a tab belong to it.
 * Anything else was printed past logging: INFO, or ERROR where an interpreter reports its death.
 */
final class StderrRelay implements Runnable {

    private static final Logger LOG = LoggerFactory.getLogger("exactlyonce.worker");
    private static final Pattern HEAD =
            Pattern.compile("(DEBUG|INFO|WARNING|ERROR|CRITICAL) (\\S+ .*)", Pattern.DOTALL);
    private static final int LAST_LINES = 20;
    private static final int LINE_CHARS_MAX = 16_384;

    private final String label;
    private final BufferedReader lines;
    private final ArrayDeque<String> last = new ArrayDeque<>();
    private final StringBuilder record = new StringBuilder();
    private String level = "INFO";

    StderrRelay(String label, InputStream stream) {
        this.label = label;
        this.lines = new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8));
    }

    @Override
    public void run() {
        try {
            String line;
            while ((line = lines.readLine()) != null) {
                line = line.length() > LINE_CHARS_MAX ? line.substring(0, LINE_CHARS_MAX) : line;
                remember(line);
                take(line);
                if (!lines.ready()) {
                    flush(); // a record is written in one piece, so this one is whole
                }
            }
        } catch (IOException e) {
            LOG.debug("{}: stderr: {}", label, e.toString());
        } finally {
            flush();
            synchronized (last) {
                last.notifyAll();
            }
        }
    }

    private void take(String line) {
        Matcher head = HEAD.matcher(line);
        if (head.matches()) {
            flush();
            level = head.group(1);
            record.append(head.group(2));
            return;
        }
        boolean dying = line.startsWith("Traceback") || line.startsWith("Fatal Python error");
        if (dying) {
            flush();
            level = "ERROR";
        } else if (record.length() == 0 && !line.startsWith("\t")) {
            level = "INFO";
        }
        record.append(record.length() == 0 ? "" : "\n").append(line);
        if (record.length() > LINE_CHARS_MAX) {
            flush();
        }
    }

    private void flush() {
        if (record.length() == 0) {
            return;
        }
        String text = record.toString();
        record.setLength(0);
        switch (level) {
            case "DEBUG":
                LOG.debug("{}: {}", label, text);
                break;
            case "INFO":
                LOG.info("{}: {}", label, text);
                break;
            case "WARNING":
                LOG.warn("{}: {}", label, text);
                break;
            default:
                LOG.error("{}: {}", label, text);
        }
    }

    private void remember(String line) {
        synchronized (last) {
            if (last.size() == LAST_LINES) {
                last.removeFirst();
            }
            last.addLast(line);
        }
    }

    /** Gives the lines of a worker that has just died a moment to arrive. */
    void settle() throws InterruptedException {
        synchronized (last) {
            if (last.isEmpty()) {
                last.wait(200);
            }
        }
    }

    /** What the worker wrote last, for the error that tells of its death. */
    String lastWords() {
        synchronized (last) {
            String words = String.join("\n", last);
            if (words.contains("No module named")) {
                words += "\n(install exactly-once-kusto into this interpreter, or name another "
                        + "with the table option 'python' or Flink's python.executable)";
            }
            return last.isEmpty() ? "; it wrote nothing" : "; its last words:\n" + words;
        }
    }
}
