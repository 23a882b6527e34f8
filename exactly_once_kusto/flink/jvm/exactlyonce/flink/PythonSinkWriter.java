package exactlyonce.flink;

import java.io.IOException;
import java.util.Collection;
import java.util.concurrent.RejectedExecutionException;

import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.api.connector.sink2.CommittingSinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.metrics.Counter;
import org.apache.flink.streaming.api.operators.StreamingRuntimeContext;
import org.apache.flink.streaming.runtime.operators.sink.InitContextBase;
import org.apache.flink.table.data.RowData;
import org.apache.flink.types.RowKind;

/** One writer subtask: rows go to its Python worker in Arrow batches, parts come back. */
final class PythonSinkWriter implements CommittingSinkWriter<RowData, byte[]> {

    private final BatchEncoder encoder;
    private final WorkerProcess worker;
    private final Counter sentRows;
    private final Counter sentBytes;

    private PythonSinkWriter(BatchEncoder encoder, WorkerProcess worker, WriterInitContext context) {
        this.encoder = encoder;
        this.worker = worker;
        this.sentRows = context.metricGroup().getNumRecordsSendCounter();
        this.sentBytes = context.metricGroup().getNumBytesSendCounter();
    }

    static PythonSinkWriter open(WorkerSpec spec, WriterInitContext context) throws IOException {
        MailboxExecutor mailbox = context.getMailboxExecutor();
        byte[] hello =
                spec.hello(
                        "writer",
                        context.getJobInfo().getJobId().toHexString(),
                        "",
                        context.getTaskInfo());
        String label = "writer " + (context.getTaskInfo().getIndexOfThisSubtask() + 1) + "/"
                + context.getTaskInfo().getNumberOfParallelSubtasks();
        BatchEncoder encoder = new BatchEncoder(spec.rowType);
        try {
            WorkerProcess worker =
                    new WorkerProcess(
                            spec,
                            home(spec, context),
                            hello,
                            label,
                            context.metricGroup(),
                            cause -> failTask(mailbox, cause));
            return new PythonSinkWriter(encoder, worker, context);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException(label + ": cancelled while it was opened", e);
        }
    }

    /** Flink 2.3 has no other way from a writer to the distributed cache. */
    private static PythonHome home(WorkerSpec spec, WriterInitContext context)
            throws IOException, InterruptedException {
        return PythonHome.ofTask(
                spec, (StreamingRuntimeContext) ((InitContextBase) context).getRuntimeContext());
    }

    /** Fails the task also while it is idle; where it waits for the worker, it sees it itself. */
    private static void failTask(MailboxExecutor mailbox, WorkerException cause) {
        try {
            mailbox.execute(cause::raise, "Python worker failed");
        } catch (RejectedExecutionException e) {
            return; // the task is ending already
        }
    }

    @Override
    public void write(RowData row, Context context) throws IOException, InterruptedException {
        if (row.getRowKind() != RowKind.INSERT) {
            new WorkerException(
                            "a row of kind " + row.getRowKind() + " arrived, this sink takes "
                                    + "INSERT rows only: rows once written can't be changed",
                            "",
                            false)
                    .raise();
        }
        if (encoder.add(row)) {
            sendBatch();
        }
    }

    private void sendBatch() throws IOException, InterruptedException {
        int rows = encoder.rows();
        Frames.Outgoing frame = encoder.take(worker.spareBuffer());
        int bytes = frame.end;
        worker.send(frame);
        sentRows.inc(rows);
        sentBytes.inc(bytes);
    }

    @Override
    public void flush(boolean endOfInput) throws IOException, InterruptedException {
        if (encoder.rows() > 0) {
            sendBatch();
        }
    }

    @Override
    public Collection<byte[]> prepareCommit() throws IOException, InterruptedException {
        worker.send(Frames.PREPARE, new byte[0]);
        return Frames.list(worker.await(Frames.PARTS));
    }

    @Override
    public void close() {
        worker.close();
    }
}
