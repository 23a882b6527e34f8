package exactlyonce.flink;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonGenerator;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.RowType;

/**
 * Nested values as JSON text. Nothing is lost on the way: decimals, times and binary values, for
 * which JSON has no type, become texts; what JSON can't hold, or what readers of ISO 8601 would cut
 * (they have years of four digits and seven digits of a second), is refused.
 */
final class NestedJson {

    private static final DateTimeFormatter TIMESTAMP =
            DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss");
    private static final int YEAR_MAX = 9999;
    private static final int TICK_NANOS = 100;

    private final String column;
    private final Writer writer;
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

    NestedJson(String column, LogicalType type) {
        this.column = column;
        this.writer = writer(type);
    }

    /** Returns the value as JSON in UTF-8. */
    byte[] encode(Object value) throws IOException {
        bytes.reset();
        try (JsonGenerator out = WorkerSpec.JSON.getFactory().createGenerator(bytes)) {
            writer.write(out, value);
        }
        return bytes.toByteArray();
    }

    private interface Writer {
        void write(JsonGenerator out, Object value) throws IOException;
    }

    private Writer writer(LogicalType type) {
        switch (type.getTypeRoot()) {
            case BOOLEAN:
                return (out, value) -> out.writeBoolean((Boolean) value);
            case TINYINT:
            case SMALLINT:
            case INTEGER:
            case BIGINT:
                return (out, value) -> out.writeNumber(((Number) value).longValue());
            case FLOAT:
                return (out, value) -> {
                    checkFinite((Float) value);
                    out.writeNumber((Float) value);
                };
            case DOUBLE:
                return (out, value) -> {
                    checkFinite((Double) value);
                    out.writeNumber((Double) value);
                };
            case BINARY:
            case VARBINARY:
                return (out, value) ->
                        out.writeString(Base64.getEncoder().encodeToString((byte[]) value));
            case CHAR:
            case VARCHAR:
                return (out, value) -> {
                    // As they are: whoever reads the text says if they are no UTF-8.
                    byte[] text = ((StringData) value).toBytes();
                    out.writeUTF8String(text, 0, text.length);
                };
            case DECIMAL:
                return (out, value) ->
                        out.writeString(((DecimalData) value).toBigDecimal().toPlainString());
            case DATE:
                return (out, value) -> out.writeString(date(LocalDate.ofEpochDay((Integer) value)));
            case TIME_WITHOUT_TIME_ZONE:
                return (out, value) ->
                        out.writeString(
                                LocalTime.ofNanoOfDay((Integer) value * 1_000_000L)
                                        .format(DateTimeFormatter.ISO_LOCAL_TIME));
            case TIMESTAMP_WITHOUT_TIME_ZONE:
            case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
                return (out, value) -> out.writeString(instant((TimestampData) value));
            case ARRAY:
                return array(((ArrayType) type).getElementType());
            case MAP:
                return map(((MapType) type).getKeyType(), ((MapType) type).getValueType());
            case ROW:
                return row((RowType) type);
            default:
                throw new IllegalArgumentException(type + " was to be refused at submission");
        }
    }

    private Writer array(LogicalType type) {
        ArrayData.ElementGetter getter = ArrayData.createElementGetter(type);
        Writer element = orNull(writer(type));
        return (out, value) -> {
            ArrayData array = (ArrayData) value;
            out.writeStartArray();
            for (int i = 0; i < array.size(); i++) {
                element.write(out, getter.getElementOrNull(array, i));
            }
            out.writeEndArray();
        };
    }

    private Writer map(LogicalType keyType, LogicalType valueType) {
        ArrayData.ElementGetter keyGetter = ArrayData.createElementGetter(keyType);
        ArrayData.ElementGetter valueGetter = ArrayData.createElementGetter(valueType);
        Writer element = orNull(writer(valueType));
        return (out, value) -> {
            ArrayData keys = ((MapData) value).keyArray();
            ArrayData values = ((MapData) value).valueArray();
            Set<String> names = new HashSet<>();
            out.writeStartObject();
            for (int i = 0; i < keys.size(); i++) {
                String name = name(keyGetter.getElementOrNull(keys, i));
                if (!names.add(name)) {
                    throw refused("a MAP with the key '" + name + "' twice, of which one would "
                            + "be dropped in silence");
                }
                out.writeFieldName(name);
                element.write(out, valueGetter.getElementOrNull(values, i));
            }
            out.writeEndObject();
        };
    }

    private String name(Object key) throws WorkerException {
        if (key == null) {
            throw refused("a MAP with a null key, which JSON does not have");
        }
        String name = key.toString();
        if (!Arrays.equals(name.getBytes(UTF_8), ((StringData) key).toBytes())) {
            throw refused("a MAP with the key '" + name + "', which is no UTF-8");
        }
        return name;
    }

    private Writer row(RowType type) {
        List<String> names = type.getFieldNames();
        Writer[] writers = new Writer[names.size()];
        RowData.FieldGetter[] getters = new RowData.FieldGetter[names.size()];
        for (int i = 0; i < writers.length; i++) {
            writers[i] = orNull(writer(type.getTypeAt(i)));
            getters[i] = RowData.createFieldGetter(type.getTypeAt(i), i);
        }
        return (out, value) -> {
            out.writeStartObject();
            for (int i = 0; i < writers.length; i++) {
                out.writeFieldName(names.get(i));
                writers[i].write(out, getters[i].getFieldOrNull((RowData) value));
            }
            out.writeEndObject();
        };
    }

    private static Writer orNull(Writer writer) {
        return (out, value) -> {
            if (value == null) {
                out.writeNull();
            } else {
                writer.write(out, value);
            }
        };
    }

    /** ISO 8601 with all digits that are not zero; a time without a zone is taken for UTC. */
    private String instant(TimestampData data) throws WorkerException {
        LocalDateTime time = data.toLocalDateTime();
        date(time.toLocalDate());
        int nanos = time.getNano();
        if (nanos % TICK_NANOS != 0) {
            throw refused(time + " inside it, with nanoseconds below " + TICK_NANOS
                    + ", which would be cut in silence");
        }
        String whole = time.format(TIMESTAMP);
        if (nanos == 0) {
            return whole + "Z";
        }
        String digits = Integer.toString(1_000_000_000 + nanos); // a 1, then nine digits
        int end = digits.length();
        while (digits.charAt(end - 1) == '0') {
            end--;
        }
        return whole + "." + digits.substring(1, end) + "Z";
    }

    private String date(LocalDate date) throws WorkerException {
        if (date.getYear() < 1 || date.getYear() > YEAR_MAX) {
            throw refused(date + " inside it, a time outside the years 1 to " + YEAR_MAX);
        }
        return date.toString();
    }

    private void checkFinite(double value) throws IOException {
        if (Double.isNaN(value) || Double.isInfinite(value)) {
            throw refused(value + " inside it, which JSON does not have");
        }
    }

    private WorkerException refused(String what) throws WorkerException {
        WorkerException refusal =
                new WorkerException(
                        "column '" + column + "': " + what + "; mend or filter such rows upstream",
                        "",
                        false);
        refusal.raise();
        return refusal;
    }
}
