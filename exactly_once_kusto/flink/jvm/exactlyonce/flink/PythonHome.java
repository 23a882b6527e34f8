package exactlyonce.flink;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

import org.apache.flink.api.common.cache.DistributedCache;
import org.apache.flink.streaming.api.operators.StreamingRuntimeContext;
import org.apache.flink.util.CompressionUtils;
import org.apache.flink.util.FileUtils;

/**
 * Where a worker runs: its interpreter, its directory with what came from {@code python.archives},
 * and what {@code python.files} puts on its path.
 */
final class PythonHome implements AutoCloseable {

    /** The interpreter, or null: whatever PATH calls python3 or python. */
    final String python;

    /** The working directory, or null: the task's own. */
    final File directory;

    private final List<String> path;

    private PythonHome(String python, File directory, List<String> path) {
        this.python = python;
        this.directory = directory;
        this.path = path;
    }

    /** On the client: files are where the user has them, archives are not looked into. */
    static PythonHome ofClient(WorkerSpec spec) {
        List<String> path = new ArrayList<>();
        for (PythonFiles.Entry file : spec.pythonFiles.files()) {
            path.add(onPath(new File(file.path)));
        }
        return new PythonHome(
                spec.clientPython != null ? spec.clientPython : spec.python, null, path);
    }

    /** On a TaskManager: a directory of this worker's own, which {@link #close} removes. */
    static PythonHome ofTask(WorkerSpec spec, StreamingRuntimeContext context) throws IOException {
        if (spec.pythonFiles.isEmpty()) {
            return new PythonHome(spec.python, null, List.of());
        }
        String[] temporary = context.getTaskManagerRuntimeInfo().getTmpDirectories();
        File directory =
                Files.createTempDirectory(new File(temporary[0]).toPath(), "exactly-once-kusto-")
                        .toFile();
        DistributedCache cache = context.getDistributedCache();
        try {
            List<String> path = new ArrayList<>();
            for (PythonFiles.Entry file : spec.pythonFiles.files()) {
                // Flink keeps it under another name, without which a module can't be found.
                Path place = Files.createDirectories(directory.toPath().resolve(file.key));
                Path link = place.resolve(file.name);
                Files.createSymbolicLink(link, cache.getFile(file.key).toPath());
                path.add(onPath(link.toFile()));
            }
            for (PythonFiles.Entry archive : spec.pythonFiles.archives()) {
                File place = new File(directory, archive.name);
                String source = cache.getFile(archive.key).getPath();
                String original = archive.path.substring(archive.path.lastIndexOf('/') + 1);
                CompressionUtils.extractFile(source, place.getPath(), original);
            }
            return new PythonHome(within(directory, spec.python), directory, path);
        } catch (IOException | RuntimeException e) {
            FileUtils.deleteDirectoryQuietly(directory);
            throw e;
        }
    }

    /** A module is found in its folder; folders, wheels and zip files are searched themselves. */
    private static String onPath(File file) {
        return file.getName().endsWith(".py") ? file.getParent() : file.getPath();
    }

    /** An interpreter may lie in an archive: {@code venv.zip/venv/bin/python}. */
    private static String within(File directory, String python) {
        File inside = python == null ? null : new File(directory, python);
        return inside != null && !new File(python).isAbsolute() && inside.exists()
                ? inside.getPath()
                : python;
    }

    /** Prepares a process that is to run here. */
    void prepare(ProcessBuilder builder) {
        builder.directory(directory);
        if (!path.isEmpty()) {
            String before = String.join(File.pathSeparator, path);
            String own = System.getenv("PYTHONPATH");
            builder.environment()
                    .put(
                            "PYTHONPATH",
                            own == null || own.isEmpty()
                                    ? before
                                    : before + File.pathSeparator + own);
        }
    }

    @Override
    public void close() {
        if (directory != null) {
            FileUtils.deleteDirectoryQuietly(directory);
        }
    }
}
