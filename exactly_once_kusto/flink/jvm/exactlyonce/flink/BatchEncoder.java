package exactlyonce.flink;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;

/**
 * Rows to batches of Arrow's buffers, with bounded memory. Must match {@code batches.py}.
 *
 * <p>A batch is full at {@link #ROWS_MAX} rows or about {@link #BYTES_MAX} bytes, whichever comes
 * first; one row may go over. Values are copied at once, so objects may be reused. Arrow's own
 * library is not used: a job would load it anew, which takes longer than a million rows.
 */
final class BatchEncoder {

    static final int ROWS_MAX = 16_384;
    static final int BYTES_MAX = 2 << 20;

    /** Beyond these (years 1677 and 2262) nanoseconds since the epoch don't fit 64 bits. */
    private static final long NANOS_MILLIS_MAX = Long.MAX_VALUE / 1_000_000 - 1;

    private static final int ALIGNMENT = 8;

    private final RowType rowType;
    private final ColumnBuffer[] columns;
    private final ColumnBuffer.Varying[] texts;
    private final int[] nanos;
    private final int buffers;
    private final int rowsMax;
    private int rows;

    BatchEncoder(RowType rowType) {
        this.rowType = rowType;
        int rowBytes = 1;
        for (LogicalType type : rowType.getChildren()) {
            rowBytes += ColumnBuffer.width(type);
        }
        rowsMax = Math.max(1, Math.min(ROWS_MAX, BYTES_MAX / rowBytes));
        columns = new ColumnBuffer[rowType.getFieldCount()];
        List<ColumnBuffer.Varying> strings = new ArrayList<>();
        List<Integer> nanoseconds = new ArrayList<>();
        for (int i = 0; i < columns.length; i++) {
            columns[i] =
                    ColumnBuffer.of(rowType.getFieldNames().get(i), rowType.getTypeAt(i), rowsMax);
            if (columns[i] instanceof ColumnBuffer.Varying) {
                strings.add((ColumnBuffer.Varying) columns[i]);
            } else if (hasNanoseconds(rowType.getTypeAt(i))) {
                nanoseconds.add(i);
            }
        }
        texts = strings.toArray(new ColumnBuffer.Varying[0]);
        nanos = nanoseconds.stream().mapToInt(Integer::intValue).toArray();
        buffers = 2 * columns.length + texts.length;
    }

    private static boolean hasNanoseconds(LogicalType type) {
        switch (type.getTypeRoot()) {
            case TIMESTAMP_WITHOUT_TIME_ZONE:
            case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
                return LogicalTypeChecks.getPrecision(type) > 6;
            default:
                return false;
        }
    }

    int rows() {
        return rows;
    }

    /** Adds a row; true if the batch is full and must be taken. */
    boolean add(RowData row) throws IOException {
        for (int column : nanos) {
            checkNanos(row, column);
        }
        for (int i = 0; i < columns.length; i++) {
            columns[i].add(row, i, rows);
        }
        rows++;
        return rows >= rowsMax || textBytes() >= BYTES_MAX;
    }

    private int textBytes() {
        int sum = 0;
        for (ColumnBuffer.Varying text : texts) {
            sum += text.bytes();
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

    /** Returns the batch as a whole BATCH frame, in {@code spare} if that is large enough. */
    Frames.Outgoing take(byte[] spare) throws IOException {
        Sizes sizes = new Sizes(buffers);
        for (ColumnBuffer column : columns) {
            column.give(rows, sizes);
        }
        int head = padded((2 + buffers) * Integer.BYTES);
        long payload = head + sizes.sum;
        if (payload > Frames.PAYLOAD_BYTES_MAX) {
            // A batch is far smaller but for its last row; read again, it would be as large.
            new WorkerException(
                            "a row of about " + payload + " bytes; no more than "
                                    + Frames.PAYLOAD_BYTES_MAX
                                    + " can be carried at once; split or filter such rows upstream",
                            "",
                            false)
                    .raise();
        }
        int end = Frames.HEAD_BYTES + (int) payload;
        byte[] frame = spare != null && spare.length >= end ? spare : new byte[end + end / 16];
        Frames.writeHead(frame, Frames.BATCH, (int) payload);
        ByteBuffer out = ByteBuffer.wrap(frame).position(Frames.HEAD_BYTES);
        out.putInt(rows).putInt(buffers);
        for (int length : sizes.lengths) {
            out.putInt(length);
        }
        out.position(Frames.HEAD_BYTES + head);
        for (ColumnBuffer column : columns) {
            column.give(
                    rows,
                    (buffer, length) -> {
                        int next = out.position() + padded(length);
                        out.put(buffer, 0, length).position(next);
                    });
            column.clear();
        }
        rows = 0;
        return new Frames.Outgoing(frame, end, frame.length <= 2 * BYTES_MAX);
    }

    private static int padded(int length) {
        return (length + ALIGNMENT - 1) & -ALIGNMENT;
    }

    private static final class Sizes implements ColumnBuffer.Taker {
        final int[] lengths;
        long sum;
        private int next;

        Sizes(int buffers) {
            lengths = new int[buffers];
        }

        @Override
        public void take(byte[] buffer, int length) {
            lengths[next++] = length;
            sum += (length + ALIGNMENT - 1L) & -ALIGNMENT;
        }
    }
}
