package exactlyonce.flink;

import java.io.IOException;
import java.util.Collection;

import org.apache.flink.api.connector.sink2.Committer;
import org.apache.flink.api.connector.sink2.CommitterInitContext;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.SupportsCommitter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.streaming.api.connector.sink2.CommittableMessage;
import org.apache.flink.streaming.api.connector.sink2.CommittableMessageTypeInfo;
import org.apache.flink.streaming.api.connector.sink2.SupportsPreCommitTopology;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.table.data.RowData;

/**
 * A sink whose writer and coordinator are Python.
 *
 * <pre>
 *   rows --> Writer (parallelism p) --parts--> Coordinator (parallelism 1) --nothing--> Committer
 *              | Arrow batches                    | parts, checkpoints
 *            Python worker                      Python worker, which commits in the background
 * </pre>
 */
public final class PythonSink
        implements Sink<RowData>,
                SupportsCommitter<byte[]>,
                SupportsPreCommitTopology<byte[], byte[]> {

    private static final long serialVersionUID = 1L;

    private final WorkerSpec spec;

    PythonSink(WorkerSpec spec) {
        this.spec = spec;
    }

    @Override
    public SinkWriter<RowData> createWriter(WriterInitContext context) throws IOException {
        return PythonSinkWriter.open(spec, context);
    }

    @Override
    public DataStream<CommittableMessage<byte[]>> addPreCommitTopology(
            DataStream<CommittableMessage<byte[]>> parts) {
        Submission.check(spec, parts.getExecutionEnvironment(), parts.getTransformation());
        SingleOutputStreamOperator<CommittableMessage<byte[]>> coordinator =
                parts.global()
                        .transform(
                                "Coordinator",
                                CommittableMessageTypeInfo.of(OpaqueBytes::new),
                                new CoordinatorOperator(spec))
                        .setParallelism(1)
                        .setMaxParallelism(1)
                        // Or in a job of parallelism 1 Flink's committer is chained to it, its
                        // state gets this maximum too, and the job can't be rescaled any more.
                        .disableChaining();
        // The input is an exchange behind the writer, which bears the sink's uid if there is one.
        // Flink puts that uid before ours, and refuses ours where the user has set none.
        if (Submission.writerOf(parts.getTransformation()).getUid() != null) {
            coordinator.uid("coordinator");
        }
        return coordinator;
    }

    @Override
    public Committer<byte[]> createCommitter(CommitterInitContext context) {
        return new NothingToCommit();
    }

    @Override
    public SimpleVersionedSerializer<byte[]> getCommittableSerializer() {
        return new OpaqueBytes();
    }

    @Override
    public SimpleVersionedSerializer<byte[]> getWriteResultSerializer() {
        return new OpaqueBytes();
    }

    /** Bytes that only Python opens; they carry their own version. */
    private static final class OpaqueBytes implements SimpleVersionedSerializer<byte[]> {
        @Override
        public int getVersion() {
            return 1;
        }

        @Override
        public byte[] serialize(byte[] bytes) {
            return bytes;
        }

        @Override
        public byte[] deserialize(int version, byte[] bytes) throws IOException {
            if (version != 1) {
                throw new IOException("parts of version " + version + ", this build reads 1");
            }
            return bytes;
        }
    }

    /** Flink's committer stays in the graph and gets nothing: the coordinator commits. */
    private static final class NothingToCommit implements Committer<byte[]> {
        @Override
        public void commit(Collection<CommitRequest<byte[]>> requests) {
            throw new IllegalStateException(
                    requests.size() + " committables reached Flink's committer; only the "
                            + "coordinator may commit. This is a bug in exactly-once-kusto");
        }

        @Override
        public void close() {}
    }
}
