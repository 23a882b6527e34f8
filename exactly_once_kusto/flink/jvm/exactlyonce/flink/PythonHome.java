package exactlyonce.flink;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;

import org.apache.flink.api.common.cache.DistributedCache;
import org.apache.flink.streaming.api.operators.StreamingRuntimeContext;
import org.apache.flink.util.CompressionUtils;
import org.apache.flink.util.FileUtils;

/**
 * Where a worker runs: its interpreter, its directory with what came from {@code python.archives},
 * and what {@code python.files} puts on its path.
 *
 * <p>The directory is made once for all workers of a job in one TaskManager, by the first of them,
 * and removed with the last: an archive may hold a whole Python.
 */
final class PythonHome implements AutoCloseable {

    private static final Map<String, Shared> SHARED = new HashMap<>();
    private static final ReentrantLock LOCK = new ReentrantLock();

    /** The interpreter, or null: whatever PATH calls python3 or python. */
    final String python;

    /** The working directory, or null: the task's own. */
    private final File directory;

    private final List<String> path;

    /** Ends the use of the directory; once only. */
    private Runnable release;

    private PythonHome(String python, File directory, List<String> path, Runnable release) {
        this.python = python;
        this.directory = directory;
        this.path = path;
        this.release = release;
    }

    /** A directory and how many workers use it. */
    private static final class Shared {
        final File directory;
        final List<String> path;
        int users;

        Shared(File directory, List<String> path) {
            this.directory = directory;
            this.path = path;
        }
    }

    /** On the client: files are where the user has them, archives are not looked into. */
    static PythonHome ofClient(WorkerSpec spec) throws IOException {
        File fetched = null;
        List<String> path = new ArrayList<>();
        for (PythonFiles.Entry file : spec.pythonFiles.files()) {
            if (file.isLocal()) {
                path.add(onPath(new File(file.path)));
                continue;
            }
            if (fetched == null) {
                fetched = Files.createTempDirectory("exactly-once-kusto-").toFile();
            }
            File copy = new File(new File(fetched, file.key()), file.name);
            FileUtils.copy(
                    new org.apache.flink.core.fs.Path(file.path),
                    org.apache.flink.core.fs.Path.fromLocalFile(copy),
                    false);
            path.add(onPath(copy));
        }
        path.addAll(spec.pythonFiles.nodePath());
        File made = fetched;
        return new PythonHome(
                spec.clientPython != null ? spec.clientPython : spec.python,
                null,
                path,
                made == null ? null : () -> FileUtils.deleteDirectoryQuietly(made));
    }

    /** On a TaskManager. */
    static PythonHome ofTask(WorkerSpec spec, StreamingRuntimeContext context)
            throws IOException, InterruptedException {
        if (spec.pythonFiles.isEmpty()) {
            return new PythonHome(spec.python, null, spec.pythonFiles.nodePath(), null);
        }
        String key = context.getJobInfo().getJobId() + " " + spec.pythonFiles.keys();
        LOCK.lockInterruptibly();
        try {
            Shared shared = SHARED.get(key);
            if (shared == null) {
                shared = make(spec.pythonFiles, context);
                SHARED.put(key, shared);
            }
            shared.users++;
            List<String> path = new ArrayList<>(shared.path);
            path.addAll(spec.pythonFiles.nodePath());
            return new PythonHome(
                    within(shared.directory, spec.python),
                    shared.directory,
                    path,
                    () -> release(key));
        } finally {
            LOCK.unlock();
        }
    }

    private static Shared make(PythonFiles files, StreamingRuntimeContext context)
            throws IOException {
        String[] temporary = context.getTaskManagerRuntimeInfo().getTmpDirectories();
        File directory =
                Files.createTempDirectory(new File(temporary[0]).toPath(), "exactly-once-kusto-")
                        .toFile();
        DistributedCache cache = context.getDistributedCache();
        try {
            List<String> path = new ArrayList<>();
            for (PythonFiles.Entry file : files.files()) {
                // Flink keeps it under another name, without which a module can't be found.
                Path place = Files.createDirectories(directory.toPath().resolve(file.key()));
                Path link = place.resolve(file.name);
                Files.createSymbolicLink(link, cache.getFile(file.key()).toPath());
                path.add(onPath(link.toFile()));
            }
            for (PythonFiles.Entry archive : files.archives()) {
                File place = new File(directory, archive.name);
                String source = cache.getFile(archive.key()).getPath();
                String original = archive.path.substring(archive.path.lastIndexOf('/') + 1);
                CompressionUtils.extractFile(source, place.getPath(), original);
            }
            return new Shared(directory, path);
        } catch (IOException | RuntimeException e) {
            FileUtils.deleteDirectoryQuietly(directory);
            throw e;
        }
    }

    private static void release(String key) {
        LOCK.lock();
        try {
            Shared shared = SHARED.get(key);
            if (--shared.users == 0) {
                SHARED.remove(key);
                FileUtils.deleteDirectoryQuietly(shared.directory);
            }
        } finally {
            LOCK.unlock();
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
    public synchronized void close() {
        if (release != null) {
            release.run();
            release = null;
        }
    }
}
