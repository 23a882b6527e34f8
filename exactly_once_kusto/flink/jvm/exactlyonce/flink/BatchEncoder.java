package exactlyonce.flink;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.WritableByteChannel;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

import org.apache.flink.api.python.shaded.org.apache.arrow.memory.BufferAllocator;
import org.apache.flink.api.python.shaded.org.apache.arrow.vector.BaseFixedWidthVector;
import org.apache.flink.api.python.shaded.org.apache.arrow.vector.BaseVariableWidthVector;
import org.apache.flink.api.python.shaded.org.apache.arrow.vector.FieldVector;
import org.apache.flink.api.python.shaded.org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.flink.api.python.shaded.org.apache.arrow.vector.VectorUnloader;
import org.apache.flink.api.python.shaded.org.apache.arrow.vector.ipc.WriteChannel;
import org.apache.flink.api.python.shaded.org.apache.arrow.vector.ipc.message.ArrowRecordBatch;
import org.apache.flink.api.python.shaded.org.apache.arrow.vector.ipc.message.MessageSerializer;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.runtime.arrow.ArrowUtils;
import org.apache.flink.table.runtime.arrow.ArrowWriter;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;

/**
 * Rows to Arrow record batches, one column vector a column, with bounded memory.
 *
 * <p>A batch is full at {@link #ROWS_MAX} rows or about {@link #BYTES_MAX} bytes, whichever comes
 * first; one row may go over. Rows are copied at once, so objects may be reused.
 */
final class BatchEncoder implements AutoCloseable {

    static final int ROWS_MAX = 16_384;
    static final int BYTES_MAX = 4 << 20;

    /** Beyond these (years 1677 and 2262) nanoseconds since the epoch don't fit 64 bits. */
    private static final long NANOS_MILLIS_MAX = Long.MAX_VALUE / 1_000_000 - 1;

    private final RowType rowType;
    private final BufferAllocator allocator;
    private final VectorSchemaRoot root;
    private final ArrowWriter<RowData> writer;
    private final VectorUnloader unloader;
    private final BaseVariableWidthVector[] texts;
    private final int[] textBytes;
    private final int[] nanos;
    private final int rowsMax;
    private int rows;
    private int frameBytes = 1 << 16;

    BatchEncoder(RowType rowType) {
        this.rowType = rowType;
        allocator = ArrowUtils.getRootAllocator().newChildAllocator("sink", 0, Long.MAX_VALUE);
        try {
            root = VectorSchemaRoot.create(ArrowUtils.toArrowSchema(rowType), allocator);
            writer = ArrowUtils.createRowDataArrowWriter(root, rowType);
        } catch (RuntimeException e) {
            allocator.close();
            throw e;
        }
        unloader = new VectorUnloader(root);
        List<BaseVariableWidthVector> found = new ArrayList<>();
        int rowBytes = 1;
        for (FieldVector vector : root.getFieldVectors()) {
            if (vector instanceof BaseVariableWidthVector) {
                found.add((BaseVariableWidthVector) vector);
                rowBytes += Integer.BYTES;
            } else if (vector instanceof BaseFixedWidthVector) {
                rowBytes += ((BaseFixedWidthVector) vector).getTypeWidth();
            }
        }
        texts = found.toArray(new BaseVariableWidthVector[0]);
        textBytes = new int[texts.length];
        rowsMax = Math.max(1, Math.min(ROWS_MAX, BYTES_MAX / rowBytes));
        nanos = nanosecondColumns();
    }

    private int[] nanosecondColumns() {
        List<Integer> found = new ArrayList<>();
        for (int i = 0; i < rowType.getFieldCount(); i++) {
            switch (rowType.getTypeAt(i).getTypeRoot()) {
                case TIMESTAMP_WITHOUT_TIME_ZONE:
                case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
                    if (LogicalTypeChecks.getPrecision(rowType.getTypeAt(i)) > 6) {
                        found.add(i);
                    }
                    break;
                default:
            }
        }
        return found.stream().mapToInt(Integer::intValue).toArray();
    }

    /** The payload of SCHEMA. */
    byte[] schema() throws IOException {
        FrameChannel out = new FrameChannel(1 << 12);
        MessageSerializer.serialize(new WriteChannel(out), root.getSchema());
        return Arrays.copyOfRange(out.bytes, Frames.HEAD_BYTES, out.end);
    }

    int rows() {
        return rows;
    }

    /** Adds a row; true if the batch is full and must be taken. */
    boolean add(RowData row) throws IOException {
        for (int column : nanos) {
            checkNanos(row, column);
        }
        writer.write(row);
        rows++;
        return rows >= rowsMax || textBytes() >= BYTES_MAX;
    }

    private int textBytes() {
        int sum = 0;
        for (int i = 0; i < texts.length; i++) {
            // The offset after the last value; 0 while the last value is null.
            int end = texts[i].getOffsetBuffer().getInt((long) rows * Integer.BYTES);
            textBytes[i] = Math.max(textBytes[i], end);
            sum += textBytes[i];
        }
        return sum;
    }

    private void checkNanos(RowData row, int column) throws IOException {
        if (row.isNullAt(column)) {
            return;
        }
        int precision = LogicalTypeChecks.getPrecision(rowType.getTypeAt(column));
        TimestampData at = row.getTimestamp(column, precision);
        if (Math.abs(at.getMillisecond()) > NANOS_MILLIS_MAX) {
            new WorkerException(
                            "column '" + rowType.getFieldNames().get(column) + "': " + at
                                    + " can't be carried in nanoseconds (years 1678 to 2261); "
                                    + "CAST the column to a precision of 6 or less",
                            "",
                            false)
                    .raise();
        }
    }

    /** Returns the batch as a whole BATCH frame and begins the next. */
    byte[] take() throws IOException {
        writer.finish();
        FrameChannel out = new FrameChannel(frameBytes);
        try (ArrowRecordBatch batch = unloader.getRecordBatch()) {
            MessageSerializer.serialize(new WriteChannel(out), batch);
        }
        frameBytes = out.end;
        writer.reset();
        rows = 0;
        Arrays.fill(textBytes, 0);
        for (BaseVariableWidthVector text : texts) {
            if (text.getDataBuffer().capacity() > 4L * BYTES_MAX) {
                text.clear(); // or one huge value would be paid for in every later batch
                text.allocateNew();
            }
        }
        byte[] frame = out.end == out.bytes.length ? out.bytes : Arrays.copyOf(out.bytes, out.end);
        Frames.writeHead(frame, Frames.BATCH, out.end - Frames.HEAD_BYTES);
        return frame;
    }

    @Override
    public void close() {
        root.close();
        allocator.close();
    }

    /** Collects what Arrow writes, behind the room for a frame's head. */
    private static final class FrameChannel implements WritableByteChannel {
        byte[] bytes;
        int end = Frames.HEAD_BYTES;

        FrameChannel(int size) {
            bytes = new byte[size];
        }

        @Override
        public int write(ByteBuffer from) {
            int length = from.remaining();
            if (length > bytes.length - end) {
                bytes = Arrays.copyOf(bytes, Math.max(end + length, 2 * bytes.length));
            }
            from.get(bytes, end, length);
            end += length;
            return length;
        }

        @Override
        public boolean isOpen() {
            return true;
        }

        @Override
        public void close() {}
    }
}
