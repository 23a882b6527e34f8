package exactlyonce.flink;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.time.LocalDate;
import java.time.LocalTime;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.List;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonGenerator;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.RowType;

/**
 * Nested values as JSON text. Nothing is lost on the way: decimals and binary values, for which
 * JSON has no type, become texts; a number that JSON can't hold is refused.
 */
final class NestedJson {

    private static final DateTimeFormatter TIMESTAMP =
            DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss");

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
            case DECIMAL:
            case CHAR:
            case VARCHAR:
                return (out, value) -> out.writeString(value.toString());
            case DATE:
                return (out, value) ->
                        out.writeString(LocalDate.ofEpochDay((Integer) value).toString());
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
            out.writeStartObject();
            for (int i = 0; i < keys.size(); i++) {
                Object key = keyGetter.getElementOrNull(keys, i);
                if (key == null) {
                    throw refused("a MAP with a null key, which JSON does not have");
                }
                out.writeFieldName(key.toString());
                element.write(out, valueGetter.getElementOrNull(values, i));
            }
            out.writeEndObject();
        };
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
    private static String instant(TimestampData time) {
        String whole = time.toLocalDateTime().format(TIMESTAMP);
        int nanos = time.toLocalDateTime().getNano();
        if (nanos == 0) {
            return whole + "Z";
        }
        return whole + "." + String.format("%09d", nanos).replaceFirst("0+$", "") + "Z";
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
