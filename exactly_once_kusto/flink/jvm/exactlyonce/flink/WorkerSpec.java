package exactlyonce.flink;

import java.io.IOException;
import java.io.Serializable;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import org.apache.flink.api.common.TaskInfo;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.VarBinaryType;
import org.apache.flink.table.types.logical.VarCharType;

/** What a worker must know to find its Python sink; travels in the job graph, holds no secret. */
final class WorkerSpec implements Serializable {

    private static final long serialVersionUID = 1L;
    static final ObjectMapper JSON = new ObjectMapper();

    final String factory;
    final TreeMap<String, String> options;
    final RowType rowType;

    /** After so long without a sign of life a worker is killed. */
    final Duration heartbeatTimeout;

    /** The interpreter on the TaskManagers, or null: whatever its PATH calls python3 or python. */
    final String python;

    /** The interpreter where the job is submitted, or null: the same as on the TaskManagers. */
    final String clientPython;

    final PythonFiles pythonFiles;

    /** No checkpoints come; known once the sink is part of a job. */
    private boolean batch;

    private long checkpointTimeoutMs;

    WorkerSpec(
            String factory,
            Map<String, String> options,
            RowType rowType,
            Duration heartbeatTimeout,
            String python,
            String clientPython,
            PythonFiles pythonFiles) {
        this.factory = factory;
        this.options = new TreeMap<>(options);
        this.rowType = rowType;
        this.heartbeatTimeout = heartbeatTimeout;
        this.python = python;
        this.clientPython = clientPython;
        this.pythonFiles = pythonFiles;
    }

    /** Tells what is known of the job only when it is translated, before it is submitted. */
    void runsIn(boolean batch, long checkpointTimeoutMs) {
        this.batch = batch;
        this.checkpointTimeoutMs = checkpointTimeoutMs;
    }

    boolean batch() {
        return batch;
    }

    /** The payload of HELLO for a task. */
    byte[] hello(String role, String job, String operator, TaskInfo task) throws IOException {
        return hello(
                role,
                job,
                operator,
                task.getIndexOfThisSubtask(),
                task.getNumberOfParallelSubtasks(),
                task.getAttemptNumber());
    }

    byte[] hello(
            String role, String job, String operator, int subtask, int parallelism, int attempt)
            throws IOException {
        Map<String, Object> hello = new LinkedHashMap<>();
        hello.put("frames", Frames.VERSION);
        hello.put("role", role);
        hello.put("factory", factory);
        hello.put("options", options);
        hello.put("columns", columns());
        hello.put("job", job);
        hello.put("operator", operator);
        hello.put("subtask", subtask);
        hello.put("parallelism", parallelism);
        hello.put("attempt", attempt);
        hello.put("host", host());
        hello.put("batch", batch);
        hello.put("checkpoint_timeout_s", checkpointTimeoutMs / 1000.0);
        hello.put("heartbeat_timeout_s", heartbeatTimeout.toMillis() / 1000.0);
        return JSON.writeValueAsBytes(hello);
    }

    private List<Map<String, Object>> columns() {
        List<Map<String, Object>> columns = new ArrayList<>();
        for (RowType.RowField field : rowType.getFields()) {
            Map<String, Object> column = new LinkedHashMap<>();
            column.put("name", field.getName());
            column.put("type", sql(field.getType()));
            column.put("nullable", field.getType().isNullable());
            columns.add(column);
        }
        return columns;
    }

    private static String sql(LogicalType type) {
        LogicalType bare = type.copy(true);
        try {
            return bare.asSerializableString() // unlike the summary, it tells no time attribute
                    .replace("VARCHAR(" + VarCharType.MAX_LENGTH + ")", "STRING")
                    .replace("VARBINARY(" + VarBinaryType.MAX_LENGTH + ")", "BYTES");
        } catch (RuntimeException e) { // some types have no SQL text; they are refused by name
            return bare.asSummaryString();
        }
    }

    private static String host() {
        try {
            return InetAddress.getLocalHost().getHostName();
        } catch (UnknownHostException e) {
            return "unknown";
        }
    }
}
