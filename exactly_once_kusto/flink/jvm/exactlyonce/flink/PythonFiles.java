package exactlyonce.flink;

import java.io.File;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

import org.apache.flink.api.common.cache.DistributedCache;
import org.apache.flink.api.common.cache.DistributedCache.DistributedCacheEntry;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * What {@code python.files} and {@code python.archives} name, on its way from the client to the
 * workers through Flink's distributed cache. The forms are PyFlink's: paths with commas between
 * them, {@code path#name} for an archive that is to be extracted under another name.
 */
final class PythonFiles implements Serializable {

    private static final long serialVersionUID = 1L;
    private static final Pattern SCHEME = Pattern.compile("[a-zA-Z][a-zA-Z0-9+.-]+:.*");

    private final List<Entry> files;
    private final List<Entry> archives;
    private final String nodePath;

    private PythonFiles(List<Entry> files, List<Entry> archives, String nodePath) {
        this.files = files;
        this.archives = archives;
        this.nodePath = nodePath;
    }

    /** One path, the name that it has on the workers, and its key in Flink's cache. */
    static final class Entry implements Serializable {
        private static final long serialVersionUID = 1L;

        final String path;
        final String name;
        private String key;

        Entry(String path, String name, String key) {
            this.path = path;
            this.name = name;
            this.key = key;
        }

        String key() {
            return key;
        }

        private void find(Map<String, DistributedCacheEntry> cached) {
            key =
                    cached.entrySet().stream()
                            .filter(known -> whole(known.getValue().filePath).equals(path))
                            .map(Map.Entry::getKey)
                            .findFirst()
                            .orElse(key);
            cached.putIfAbsent(key, new DistributedCacheEntry(path, false));
        }

        boolean isLocal() {
            return !SCHEME.matcher(path).matches();
        }
    }

    /**
     * What Flink's options say.
     *
     * @param files {@code python.files}, or null
     * @param archives {@code python.archives}, or null
     * @param nodePath {@code python.pythonpath}, a path of the TaskManagers' own, or null
     */
    static PythonFiles parse(String files, String archives, String nodePath) {
        return new PythonFiles(split(files, "file"), split(archives, "archive"), nodePath);
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
            String whole = whole(path);
            // Two sinks of one job may have got different files of one name.
            String digest = Integer.toHexString(whole.hashCode());
            String key = "exactly-once-kusto-" + kind + "-" + entries.size() + "-" + digest;
            entries.add(new Entry(whole, name, key));
        }
        return entries;
    }

    private static String whole(String path) {
        return SCHEME.matcher(path).matches() ? path : new File(path).getAbsolutePath();
    }

    List<Entry> files() {
        return files;
    }

    List<Entry> archives() {
        return archives;
    }

    /** Of the TaskManagers' own file system, behind what the job brings. */
    List<String> nodePath() {
        return nodePath == null || nodePath.isBlank() ? List.of() : List.of(nodePath);
    }

    /** The same for two sinks that got the same. */
    List<String> keys() {
        return Stream.concat(files.stream(), archives.stream())
                .map(entry -> entry.key() + "#" + entry.name)
                .collect(Collectors.toList());
    }

    boolean isEmpty() {
        return files.isEmpty() && archives.isEmpty();
    }

    /**
     * Puts all of them into the distributed cache of a job that is being translated.
     *
     * <p>Not earlier: Flink reads {@code pipeline.cached-files} when all sinks are translated, and
     * PyFlink makes the list anew before ({@code PythonConfigUtil}). What PyFlink brings for its own
     * operators is shared; Flink can't take a folder twice.
     */
    void register(StreamExecutionEnvironment environment) {
        if (isEmpty()) {
            return;
        }
        Configuration config = (Configuration) environment.getConfiguration();
        List<String> listed = config.get(PipelineOptions.CACHED_FILES);
        Map<String, DistributedCacheEntry> cached = new LinkedHashMap<>();
        DistributedCache.parseCachedFilesFromString(listed == null ? List.of() : listed)
                .forEach(known -> cached.put(known.f0, known.f1));
        for (List<Entry> entries : List.of(files, archives)) {
            entries.forEach(entry -> entry.find(cached));
        }
        config.set(
                PipelineOptions.CACHED_FILES,
                DistributedCache.parseStringFromCachedFiles(
                        cached.entrySet().stream()
                                .map(known -> Tuple2.of(known.getKey(), known.getValue()))
                                .collect(Collectors.toList())));
    }
}
