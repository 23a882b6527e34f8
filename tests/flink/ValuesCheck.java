package exactlyonce.flink;

import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.Time;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;

import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericMapData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.Row;

/** Prints, a line each, what becomes of values: their JSON, 'exact', or why they are refused. */
final class ValuesCheck {

    private static final DataType TEXTS = DataTypes.MAP(DataTypes.STRING(), DataTypes.INT());
    private static final DataType TICKS = DataTypes.ARRAY(DataTypes.TIMESTAMP(9));

    public static void main(String[] arguments) throws Exception {
        json(
                "text",
                DataTypes.ARRAY(DataTypes.STRING()),
                list(text("ä\"\\\n\0😀"), null, text("")));
        json("not utf-8", DataTypes.ARRAY(DataTypes.STRING()), list(bytes("a", 0xff)));
        json("keys", TEXTS, new GenericMapData(Map.of(text("ä\"\n"), 1)));
        json("null key", TEXTS, new GenericMapData(Collections.singletonMap(null, 1)));
        json("key not utf-8", TEXTS, new GenericMapData(Map.of(bytes("a", 0xff), 1)));
        json("no entries", TEXTS, new GenericMapData(Map.of()));
        json("integers", DataTypes.ARRAY(DataTypes.BIGINT()), list(Long.MIN_VALUE, Long.MAX_VALUE));
        json("doubles", DataTypes.ARRAY(DataTypes.DOUBLE()), list(-0.0, 1e300, 0.1, 5e-324));
        json("infinity", DataTypes.ARRAY(DataTypes.FLOAT()), list(Float.NEGATIVE_INFINITY));
        json(
                "decimals",
                DataTypes.ARRAY(DataTypes.DECIMAL(38, 18)),
                list(decimal("0.000000000000000001"), decimal("-12345678901234567890"), null));
        json("bytes", DataTypes.ARRAY(DataTypes.BYTES()), list(new byte[] {0, -1}, new byte[0]));
        json("dates", DataTypes.ARRAY(DataTypes.DATE()), list(-719_162, 0, 2_932_896));
        json("year 0", DataTypes.ARRAY(DataTypes.DATE()), list(-719_163));
        json("times", DataTypes.ARRAY(DataTypes.TIME(3)), list(0, 86_399_999));
        json("ticks", TICKS, list(at("0001-01-01T00:00:00"), at("9999-12-31T23:59:59.9999999")));
        json("nanoseconds", TICKS, list(at("2024-01-02T03:04:05.123456789")));
        json("year 10000", TICKS, list(at("+10000-01-01T00:00:00")));
        json(
                "rows",
                DataTypes.ROW(
                        DataTypes.FIELD("a b", DataTypes.INT()),
                        DataTypes.FIELD("r", DataTypes.ROW(DataTypes.FIELD("x", TEXTS)))),
                GenericRowData.of(null, GenericRowData.of((Object) null)));

        DataType money = DataTypes.DECIMAL(6, 2);
        exact("fits", money, new BigDecimal("-9999.990"));
        exact("zero", DataTypes.DECIMAL(2, 2), new BigDecimal("0.000"));
        exact("hundreds", DataTypes.DECIMAL(3, 0), new BigDecimal("9E2"));
        exact("too wide", money, new BigDecimal("1E4"));
        exact("too fine", money, new BigDecimal("0.001"));
        exact("in a list", DataTypes.ARRAY(money), List.of(BigDecimal.ONE, new BigDecimal("1E4")));
        BigDecimal much = new BigDecimal("1E4");
        exact("in a value", DataTypes.MAP(DataTypes.INT(), money), Map.of(1, much));
        exact("in a key", DataTypes.MAP(money, DataTypes.INT()), Map.of(much, 1));
        exact("in a row", DataTypes.ROW(DataTypes.FIELD("m", money)), Row.of(much));
        Row named = Row.withNames();
        named.setField("m", much);
        exact("in a named row", DataTypes.ROW(DataTypes.FIELD("m", money)), named);
        DataType milli = DataTypes.TIMESTAMP(3);
        exact("whole", milli, LocalDateTime.parse("1969-12-31T23:59:59.999"));
        exact("cut", milli, LocalDateTime.parse("1969-12-31T23:59:59.9991"));
        exact("cut sql", milli, Timestamp.valueOf("1969-12-31 23:59:59.999999"));
        exact("cut instant", DataTypes.TIMESTAMP_LTZ(0), Instant.ofEpochMilli(-1));
        exact("cut milliseconds", DataTypes.TIMESTAMP_LTZ(0), -1L);
        exact("seconds", DataTypes.TIMESTAMP_LTZ(0), -1);
        exact("cut time", DataTypes.TIME(9), LocalTime.parse("01:02:03.0000001"));
        exact("cut sql time", DataTypes.TIME(0), new Time(1));
        exact("time", DataTypes.TIME(3), new Time(1));

        BatchEncoder encoder = new BatchEncoder((RowType) DataTypes.ROW(
                DataTypes.FIELD("c", DataTypes.STRING())).getLogicalType());
        print("huge", () -> {
            encoder.add(GenericRowData.of(StringData.fromBytes(new byte[64 << 20])));
            return "" + encoder.take(null).end;
        });
    }

    private interface Attempt {
        String make() throws Exception;
    }

    private static void print(String name, Attempt attempt) throws Exception {
        String made;
        try {
            made = attempt.make();
        } catch (SuppressRestartsException e) {
            made = "refused: " + e.getCause().getMessage();
        }
        byte[] line = (name + "\t" + made + "\n").getBytes(StandardCharsets.ISO_8859_1);
        System.out.write(line);
        System.out.flush();
    }

    private static void json(String name, DataType type, Object value) throws Exception {
        NestedJson json = new NestedJson("c", type.getLogicalType());
        // Latin 1 carries every byte as it is.
        print(name, () -> new String(json.encode(value), StandardCharsets.ISO_8859_1));
    }

    private static void exact(String name, DataType type, Object value) throws Exception {
        ExactValues.Check check = ExactValues.of("c", type.getLogicalType());
        print(name, () -> {
            check.check(value);
            check.check(null);
            return "exact";
        });
    }

    private static GenericArrayData list(Object... items) {
        return new GenericArrayData(items);
    }

    private static StringData text(String text) {
        return StringData.fromString(text);
    }

    private static StringData bytes(String text, int last) {
        byte[] bytes = Arrays.copyOf(text.getBytes(StandardCharsets.UTF_8), text.length() + 1);
        bytes[text.length()] = (byte) last;
        return StringData.fromBytes(bytes);
    }

    private static DecimalData decimal(String text) {
        return DecimalData.fromBigDecimal(new BigDecimal(text), 38, 18);
    }

    private static TimestampData at(String text) {
        return TimestampData.fromLocalDateTime(LocalDateTime.parse(text));
    }
}
