package exactlyonce.flink;

import java.io.File;
import java.io.Serializable;
import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.ValidationException;

/**
 * What {@code python.files} and {@code python.archives} name, on its way from the client to the
 * workers through Flink's distributed cache. The forms are PyFlink's: paths with commas between
 * them, {@code path#name} for an archive that is to be extracted under another name.
 */
final class PythonFiles implements Serializable {

    private static final long serialVersionUID = 1L;
    private static final String DUMMY = "DummyStreamExecutionEnvironment";
    private static final Pattern SCHEME = Pattern.compile("[a-zA-Z][a-zA-Z0-9+.-]+:.*");

    private final List<Entry> files;
    private final List<Entry> archives;

    private PythonFiles(List<Entry> files, List<Entry> archives) {
        this.files = files;
        this.archives = archives;
    }

    /** One path, the name that it has on the workers, and its key in Flink's cache. */
    static final class Entry implements Serializable {
        private static final long serialVersionUID = 1L;

        final String path;
        final String name;
        final String key;

        Entry(String path, String name, String key) {
            this.path = path;
            this.name = name;
            this.key = key;
        }
    }

    /** @param files {@code python.files}, or null @param archives {@code python.archives}, or null */
    static PythonFiles parse(String files, String archives) {
        return new PythonFiles(split(files, "file"), split(archives, "archive"));
    }

    private static List<Entry> split(String listed, String kind) {
        List<Entry> entries = new ArrayList<>();
        if (listed == null) {
            return entries;
        }
        for (String item : listed.split(",")) {
            if (item.isBlank()) {
                continue;
            }
            int mark = kind.equals("archive") ? item.lastIndexOf('#') : -1;
            String path = (mark < 0 ? item : item.substring(0, mark)).trim();
            String own = path.substring(path.replaceAll("/+$", "").lastIndexOf('/') + 1);
            String name = mark < 0 ? own.replaceAll("/+$", "") : item.substring(mark + 1).trim();
            entries.add(
                    new Entry(
                            SCHEME.matcher(path).matches()
                                    ? path
                                    : new File(path).getAbsolutePath(),
                            name,
                            "exactly-once-kusto-" + kind + "-" + entries.size() + "-" + name));
        }
        return entries;
    }

    List<Entry> files() {
        return files;
    }

    List<Entry> archives() {
        return archives;
    }

    boolean isEmpty() {
        return files.isEmpty() && archives.isEmpty();
    }

    /** Puts all of them into the job's distributed cache; twice is harmless. */
    void register(StreamExecutionEnvironment given) {
        if (isEmpty()) {
            return;
        }
        StreamExecutionEnvironment environment = real(given);
        List<String> known =
                environment.getCachedFiles().stream().map(c -> c.f0).collect(Collectors.toList());
        for (List<Entry> entries : List.of(files, archives)) {
            for (Entry entry : entries) {
                if (!known.contains(entry.key)) {
                    environment.registerCachedFile(entry.path, entry.key);
                }
            }
        }
    }

    /**
     * The environment behind the one that the SQL planner shows, which takes no files. Flink finds
     * it for its own Python operators in the same way ({@code CommonPythonUtil}).
     */
    private static StreamExecutionEnvironment real(StreamExecutionEnvironment given) {
        StreamExecutionEnvironment environment = given;
        try {
            while (environment.getClass().getSimpleName().equals(DUMMY)) {
                Field field = environment.getClass().getDeclaredField("realExecEnv");
                field.setAccessible(true);
                environment = (StreamExecutionEnvironment) field.get(environment);
            }
            return environment;
        } catch (ReflectiveOperationException | RuntimeException e) {
            throw new ValidationException(
                    "python.files and python.archives can't be sent with a SQL job of this version "
                            + "of Flink; install what they hold where the TaskManagers run",
                    e);
        }
    }
}
