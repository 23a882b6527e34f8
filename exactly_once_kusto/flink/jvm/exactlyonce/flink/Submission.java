package exactlyonce.flink;

import java.io.IOException;
import java.util.Collection;

import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.api.connector.source.Boundedness;
import org.apache.flink.api.dag.Transformation;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.ExecutionOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.transformations.PartitionTransformation;
import org.apache.flink.streaming.api.transformations.WithBoundedness;
import org.apache.flink.table.api.ValidationException;

/** What can be known to be wrong before a job runs, is said where the job is submitted. */
final class Submission {

    private static final int CHECK_S_MAX = 120;

    private Submission() {}

    static void check(
            WorkerSpec spec, StreamExecutionEnvironment environment, Transformation<?> parts) {
        ReadableConfig config = environment.getConfiguration();
        boolean batch = isBatch(config.get(ExecutionOptions.RUNTIME_MODE), environment, parts);
        if (!batch) {
            checkCheckpoints(environment);
        }
        spec.runsIn(batch, environment.getCheckpointConfig().getCheckpointTimeout());
        spec.pythonFiles.register(environment);
        askPython(spec);
    }

    private static void checkCheckpoints(StreamExecutionEnvironment environment) {
        if (!environment.getCheckpointConfig().isCheckpointingEnabled()) {
            throw new ValidationException(
                    "checkpointing is off: nothing would ever be committed; set "
                            + "execution.checkpointing.interval, e.g. '10 s'");
        }
        if (environment.getCheckpointConfig().getCheckpointingConsistencyMode()
                != CheckpointingMode.EXACTLY_ONCE) {
            throw new ValidationException(
                    "execution.checkpointing.mode is AT_LEAST_ONCE: rows would be written twice "
                            + "after a restart; set it to EXACTLY_ONCE");
        }
        if (!environment.getConfiguration().get(CheckpointingOptions.ENABLE_CHECKPOINTS_AFTER_TASKS_FINISH)) {
            throw new ValidationException(
                    "execution.checkpointing.checkpoints-after-tasks-finish is false: the last "
                            + "rows of a bounded job would never be committed; set it to true");
        }
    }

    private static boolean isBatch(
            RuntimeExecutionMode mode,
            StreamExecutionEnvironment environment,
            Transformation<?> parts) {
        return mode == RuntimeExecutionMode.AUTOMATIC
                ? allBounded(environment.getTransformations())
                        && allBounded(parts.getTransitivePredecessors())
                : mode == RuntimeExecutionMode.BATCH;
    }

    /** As Flink's StreamGraphGenerator resolves AUTOMATIC. */
    private static boolean allBounded(Collection<? extends Transformation<?>> transformations) {
        return transformations.stream()
                .flatMap(t -> t.getTransitivePredecessors().stream())
                .filter(t -> t instanceof WithBoundedness)
                .allMatch(t -> ((WithBoundedness) t).getBoundedness() == Boundedness.BOUNDED);
    }

    /** The writer behind the exchanges that Flink puts after it. */
    static Transformation<?> writerOf(Transformation<?> parts) {
        Transformation<?> writer = parts;
        while (writer instanceof PartitionTransformation) {
            writer = writer.getInputs().get(0);
        }
        return writer;
    }

    /** Lets Python judge options and types once, by a worker that checks and ends. */
    private static void askPython(WorkerSpec spec) {
        try (WorkerProcess worker =
                new WorkerProcess(
                        spec, PythonHome.ofClient(spec), spec.hello("check", "", "", 0, 1, 0), "check", null, cause -> {})) {
            worker.await(Frames.CHECKED, CHECK_S_MAX);
        } catch (WorkerException e) {
            throw new ValidationException(e.getMessage());
        } catch (SuppressRestartsException e) { // meant for the user: no traceback
            throw new ValidationException(((WorkerException) e.getCause()).reason);
        } catch (IOException e) {
            throw new ValidationException("the sink could not be checked: " + e, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ValidationException("interrupted while the sink was checked", e);
        }
    }
}
