package exactlyonce.flink;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.typeutils.base.array.BytePrimitiveArraySerializer;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.flink.runtime.jobgraph.JobType;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.connector.sink2.CommittableMessage;
import org.apache.flink.streaming.api.connector.sink2.CommittableWithLineage;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.BoundedOneInput;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;

/**
 * Forwards parts and Flink's checkpoint events to one Python coordinator and keeps its bytes.
 *
 * <p>It decides nothing and emits nothing. {@code notifyCheckpointComplete} returns when Python
 * says so: soon in ordinary times, after the end of input only when all is committed, and the task
 * does not end before the final checkpoint's notification has returned. In a batch, to which no
 * checkpoints come, {@code endInput} returns when all is committed.
 */
final class CoordinatorOperator extends AbstractStreamOperator<CommittableMessage<byte[]>>
        implements OneInputStreamOperator<CommittableMessage<byte[]>, CommittableMessage<byte[]>>,
                BoundedOneInput {

    private static final long serialVersionUID = 1L;
    private static final String STATE_NAME = "coordinator";

    /** Where a checkpoint's number would stand: the end of a batch, to which none come. */
    private static final long BATCH = -1;

    private final WorkerSpec spec;
    private transient ListState<byte[]> state;
    private transient List<byte[]> restored;
    private transient long restoredCheckpoint;
    private transient WorkerProcess worker;

    CoordinatorOperator(WorkerSpec spec) {
        this.spec = spec;
    }

    @Override
    public void initializeState(StateInitializationContext context) throws Exception {
        super.initializeState(context);
        state =
                context.getOperatorStateStore()
                        .getListState(
                                new ListStateDescriptor<>(
                                        STATE_NAME, BytePrimitiveArraySerializer.INSTANCE));
        restored = new ArrayList<>();
        state.get().forEach(restored::add);
        restoredCheckpoint = context.getRestoredCheckpointId().orElse(-1);
    }

    @Override
    public void open() throws Exception {
        super.open();
        checkMode();
        byte[] hello =
                spec.hello(
                        "coordinator",
                        getRuntimeContext().getJobInfo().getJobId().toHexString(),
                        getOperatorID().toHexString(),
                        getRuntimeContext().getTaskInfo());
        worker =
                new WorkerProcess(
                        spec,
                        PythonHome.ofTask(spec, getRuntimeContext()),
                        hello,
                        "coordinator",
                        getMetricGroup(),
                        this::failTask);
        worker.send(Frames.RESTORE, Frames.restore(restoredCheckpoint, restored));
        worker.await(Frames.OPENED);
        restored = null;
    }

    /** What was decided at submission must hold: without checkpoints nothing would be committed. */
    private void checkMode() {
        boolean batch = getRuntimeContext().getJobType() == JobType.BATCH;
        if (batch != spec.batch()) {
            throw new SuppressRestartsException(
                    new IllegalStateException(
                            "the job runs in " + (batch ? "batch" : "streaming") + " mode, but was "
                                    + "translated for the other; set execution.runtime-mode "
                                    + "before the sink is made part of the job"));
        }
    }

    private void failTask(WorkerException cause) {
        getContainingTask()
                .getEnvironment()
                .failExternally(cause.restart ? cause : new SuppressRestartsException(cause));
    }

    @Override
    public void processElement(StreamRecord<CommittableMessage<byte[]>> element) throws Exception {
        if (element.getValue() instanceof CommittableWithLineage) {
            worker.send(
                    Frames.PART,
                    ((CommittableWithLineage<byte[]>) element.getValue()).getCommittable());
        }
    }

    @Override
    public void snapshotState(StateSnapshotContext context) throws Exception {
        super.snapshotState(context);
        worker.send(Frames.SNAPSHOT, Frames.number(context.getCheckpointId()));
        state.update(Collections.singletonList(worker.await(Frames.STATE)));
    }

    @Override
    public void notifyCheckpointComplete(long checkpoint) throws Exception {
        super.notifyCheckpointComplete(checkpoint);
        worker.send(Frames.COMPLETE, Frames.number(checkpoint));
        awaitCompleted(checkpoint);
    }

    private void awaitCompleted(long checkpoint) throws Exception {
        long completed = Frames.number(worker.await(Frames.COMPLETED));
        if (completed != checkpoint) {
            throw new WorkerException(
                    "the coordinator answered for checkpoint " + completed + ", asked was "
                            + checkpoint,
                    "",
                    true);
        }
    }

    @Override
    public void notifyCheckpointAborted(long checkpoint) throws Exception {
        super.notifyCheckpointAborted(checkpoint);
        worker.send(Frames.ABORTED, Frames.number(checkpoint));
    }

    @Override
    public void endInput() throws Exception {
        worker.send(Frames.END, new byte[0]);
        if (spec.batch()) {
            awaitCompleted(BATCH);
        }
    }

    @Override
    public void close() throws Exception {
        if (worker != null) {
            worker.close();
        }
        super.close();
    }
}
