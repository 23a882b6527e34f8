package exactlyonce.flink;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.data.binary.BinarySegmentUtils;
import org.apache.flink.table.data.binary.BinaryStringData;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;

/** A column of a batch in the buffers that the Arrow columnar format has for it. */
abstract class ColumnBuffer {

    private static final int DECIMAL_BYTES = 16;

    private final byte[] validity;
    private boolean nulls;

    private ColumnBuffer(int rowsMax) {
        validity = new byte[(rowsMax + 7) / 8];
    }

    /** Adds the value of row number {@code at}. */
    final void add(RowData row, int ordinal, int at) throws IOException {
        boolean there = !row.isNullAt(ordinal);
        if (there) {
            validity[at >> 3] |= (byte) (1 << (at & 7));
        } else {
            nulls = true;
        }
        put(row, ordinal, at, there);
    }

    /** Hands over the buffers of the first {@code rows} values: validity first. */
    final void give(int rows, Taker taker) {
        taker.take(validity, nulls ? (rows + 7) / 8 : 0);
        giveValues(rows, taker);
    }

    /** Forgets all values. */
    void clear() {
        Arrays.fill(validity, (byte) 0);
        nulls = false;
    }

    abstract void put(RowData row, int ordinal, int at, boolean there) throws IOException;

    abstract void giveValues(int rows, Taker taker);

    /** Takes the first bytes of a buffer. */
    interface Taker {
        void take(byte[] buffer, int length);
    }

    /** Bytes that one value takes in the fixed buffers of a column of this type. */
    static int width(LogicalType type) {
        switch (type.getTypeRoot()) {
            case BOOLEAN:
            case TINYINT:
                return Byte.BYTES;
            case SMALLINT:
                return Short.BYTES;
            case DECIMAL:
                return DECIMAL_BYTES;
            case INTEGER:
            case FLOAT:
            case DATE:
            case CHAR:
            case VARCHAR:
            case BINARY:
            case VARBINARY:
            case ARRAY:
            case MAP:
            case ROW:
                return Integer.BYTES;
            case TIME_WITHOUT_TIME_ZONE:
                return LogicalTypeChecks.getPrecision(type) <= 3 ? Integer.BYTES : Long.BYTES;
            default:
                return Long.BYTES;
        }
    }

    static ColumnBuffer of(String name, LogicalType type, int rowsMax) {
        switch (type.getTypeRoot()) {
            case CHAR:
            case VARCHAR:
                return new Strings(rowsMax);
            case BINARY:
            case VARBINARY:
                return new Encoded(rowsMax, RowData::getBinary);
            case ARRAY:
            case MAP:
            case ROW:
                NestedJson json = new NestedJson(name, type);
                RowData.FieldGetter[] getters = new RowData.FieldGetter[1];
                return new Encoded(
                        rowsMax,
                        (row, i) -> {
                            if (getters[0] == null) {
                                getters[0] = RowData.createFieldGetter(type, i);
                            }
                            return json.encode(getters[0].getFieldOrNull(row));
                        });
            case BOOLEAN:
                return new Bits(rowsMax);
            default:
                return new Fixed(rowsMax, width(type), putter(type));
        }
    }

    private static Putter putter(LogicalType type) {
        switch (type.getTypeRoot()) {
            case TINYINT:
                return (row, i, out, at) -> out.put(at, row.getByte(i));
            case SMALLINT:
                return (row, i, out, at) -> out.putShort(at, row.getShort(i));
            case INTEGER:
            case DATE:
                return (row, i, out, at) -> out.putInt(at, row.getInt(i));
            case BIGINT:
                return (row, i, out, at) -> out.putLong(at, row.getLong(i));
            case FLOAT:
                return (row, i, out, at) -> out.putFloat(at, row.getFloat(i));
            case DOUBLE:
                return (row, i, out, at) -> out.putDouble(at, row.getDouble(i));
            case DECIMAL:
                DecimalType decimal = (DecimalType) type;
                return (row, i, out, at) ->
                        putDecimal(
                                row.getDecimal(i, decimal.getPrecision(), decimal.getScale()),
                                out,
                                at);
            case TIME_WITHOUT_TIME_ZONE:
                return time(LogicalTypeChecks.getPrecision(type));
            case TIMESTAMP_WITHOUT_TIME_ZONE:
            case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
                return timestamp(LogicalTypeChecks.getPrecision(type));
            default:
                throw new IllegalArgumentException(type + " was to be refused at submission");
        }
    }

    /** Flink keeps milliseconds of the day, whatever the precision. */
    private static Putter time(int precision) {
        if (precision == 0) {
            return (row, i, out, at) -> out.putInt(at, row.getInt(i) / 1000);
        } else if (precision <= 3) {
            return (row, i, out, at) -> out.putInt(at, row.getInt(i));
        }
        long perMilli = precision <= 6 ? 1_000L : 1_000_000L;
        return (row, i, out, at) -> out.putLong(at, row.getInt(i) * perMilli);
    }

    private static Putter timestamp(int precision) {
        if (precision == 0) {
            return (row, i, out, at) ->
                    out.putLong(
                            at, Math.floorDiv(row.getTimestamp(i, 0).getMillisecond(), 1000L));
        } else if (precision <= 3) {
            return (row, i, out, at) ->
                    out.putLong(at, row.getTimestamp(i, precision).getMillisecond());
        } else if (precision <= 6) {
            return (row, i, out, at) -> {
                TimestampData time = row.getTimestamp(i, precision);
                out.putLong(at, time.getMillisecond() * 1000 + time.getNanoOfMillisecond() / 1000);
            };
        }
        return (row, i, out, at) -> {
            TimestampData time = row.getTimestamp(i, precision);
            out.putLong(at, time.getMillisecond() * 1_000_000 + time.getNanoOfMillisecond());
        };
    }

    private static void putDecimal(DecimalData value, ByteBuffer out, int at) {
        if (value.isCompact()) {
            long unscaled = value.toUnscaledLong();
            out.putLong(at, unscaled).putLong(at + Long.BYTES, unscaled >> 63);
            return;
        }
        byte[] bigEndian = value.toUnscaledBytes();
        byte sign = (byte) (bigEndian[0] >> 7);
        for (int i = 0; i < DECIMAL_BYTES; i++) {
            int from = bigEndian.length - 1 - i;
            out.put(at + i, from >= 0 ? bigEndian[from] : sign);
        }
    }

    private static ByteBuffer littleEndian(int bytes) {
        return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Writes one value that is there. */
    private interface Putter {
        void put(RowData row, int ordinal, ByteBuffer out, int at);
    }

    private static final class Fixed extends ColumnBuffer {
        private final ByteBuffer values;
        private final int width;
        private final Putter putter;

        Fixed(int rowsMax, int width, Putter putter) {
            super(rowsMax);
            this.width = width;
            this.putter = putter;
            values = littleEndian(rowsMax * width);
        }

        @Override
        void put(RowData row, int ordinal, int at, boolean there) {
            if (there) {
                putter.put(row, ordinal, values, at * width);
            }
        }

        @Override
        void giveValues(int rows, Taker taker) {
            taker.take(values.array(), rows * width);
        }
    }

    private static final class Bits extends ColumnBuffer {
        private final byte[] bits;

        Bits(int rowsMax) {
            super(rowsMax);
            bits = new byte[(rowsMax + 7) / 8];
        }

        @Override
        void put(RowData row, int ordinal, int at, boolean there) {
            if (there && row.getBoolean(ordinal)) {
                bits[at >> 3] |= (byte) (1 << (at & 7));
            }
        }

        @Override
        void giveValues(int rows, Taker taker) {
            taker.take(bits, (rows + 7) / 8);
        }

        @Override
        void clear() {
            super.clear();
            Arrays.fill(bits, (byte) 0);
        }
    }

    /** Values of any length behind offsets. */
    abstract static class Varying extends ColumnBuffer {
        private static final int START_BYTES = 1 << 16;
        private static final int KEEP_BYTES_MAX = 4 * BatchEncoder.BYTES_MAX;

        private final ByteBuffer offsets;
        private byte[] values = new byte[START_BYTES];
        private int end;

        private Varying(int rowsMax) {
            super(rowsMax);
            offsets = littleEndian((rowsMax + 1) * Integer.BYTES);
        }

        /** Bytes of all values since the last batch. */
        final int bytes() {
            return end;
        }

        @Override
        final void put(RowData row, int ordinal, int at, boolean there) throws IOException {
            if (there) {
                append(row, ordinal);
            }
            offsets.putInt((at + 1) * Integer.BYTES, end);
        }

        /** Takes a value that is there, with {@link #room} and {@link #values}. */
        abstract void append(RowData row, int ordinal) throws IOException;

        /** Makes room for a value; returns where it begins. */
        final int room(int length) {
            if (length > values.length - end) {
                int needed = Math.addExact(end, length);
                values = Arrays.copyOf(values, Math.max(needed, Math.multiplyExact(2, end)));
            }
            end += length;
            return end - length;
        }

        final byte[] values() {
            return values;
        }

        @Override
        final void giveValues(int rows, Taker taker) {
            taker.take(offsets.array(), (rows + 1) * Integer.BYTES);
            taker.take(values, end);
        }

        @Override
        final void clear() {
            super.clear();
            end = 0;
            if (values.length > KEEP_BYTES_MAX) {
                values = new byte[START_BYTES]; // or one huge value would be paid for ever after
            }
        }
    }

    /** Text in UTF-8. */
    private static final class Strings extends Varying {
        Strings(int rowsMax) {
            super(rowsMax);
        }

        @Override
        void append(RowData row, int ordinal) {
            BinaryStringData value = (BinaryStringData) row.getString(ordinal);
            value.ensureMaterialized();
            int length = value.getSizeInBytes();
            int at = room(length);
            BinarySegmentUtils.copyToBytes(
                    value.getSegments(), value.getOffset(), values(), at, length);
        }
    }

    /** Binary values as they are, nested ones as JSON text. */
    private static final class Encoded extends Varying {
        private final Encoder encoder;

        Encoded(int rowsMax, Encoder encoder) {
            super(rowsMax);
            this.encoder = encoder;
        }

        @Override
        void append(RowData row, int ordinal) throws IOException {
            byte[] value = encoder.encode(row, ordinal);
            int at = room(value.length);
            System.arraycopy(value, 0, values(), at, value.length);
        }
    }

    /** The bytes of one value that is there. */
    private interface Encoder {
        byte[] encode(RowData row, int ordinal) throws IOException;
    }
}
