package exactlyonce.flink;

import java.lang.reflect.Array;
import java.math.BigDecimal;
import java.sql.Time;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.util.List;
import java.util.Map;

import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;
import org.apache.flink.types.Row;

/**
 * Refuses what Flink's converters from external values would round, cut or make null in silence
 * ({@code DecimalBigDecimalConverter}, {@code TimestampTimestampConverter} and their like), also
 * inside arrays, maps and rows.
 */
final class ExactValues {

    private static final int[] NANOS_OF_UNIT = {
        1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1
    };
    private static final int NANOS_OF_MILLI = 1_000_000;

    private final String column;

    private ExactValues(String column) {
        this.column = column;
    }

    /** Checks one external value, which may be null. */
    interface Check {
        void check(Object value) throws WorkerException;
    }

    /** Returns the check of a column's values; null if no conversion changes any. */
    static Check of(String column, LogicalType type) {
        return new ExactValues(column).check(type);
    }

    private Check check(LogicalType type) {
        switch (type.getTypeRoot()) {
            case DECIMAL:
                return whereThere(value -> decimal(value, type));
            case TIMESTAMP_WITHOUT_TIME_ZONE:
            case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
                int precision = LogicalTypeChecks.getPrecision(type);
                return whereThere(
                        value -> whole(value, nanos(value), NANOS_OF_UNIT[precision], precision));
            case TIME_WITHOUT_TIME_ZONE:
                // Flink keeps milliseconds of the day, whatever the precision.
                int kept = Math.min(LogicalTypeChecks.getPrecision(type), 3);
                return whereThere(
                        value -> whole(value, nanosOfDay(value), NANOS_OF_UNIT[kept], kept));
            case ARRAY:
                return array(check(((ArrayType) type).getElementType()));
            case MAP:
                return map(
                        check(((MapType) type).getKeyType()),
                        check(((MapType) type).getValueType()));
            case ROW:
                return row((RowType) type);
            default:
                return null;
        }
    }

    private static Check whereThere(Check check) {
        return value -> {
            if (value != null) {
                check.check(value);
            }
        };
    }

    private static Check array(Check element) {
        return element == null
                ? null
                : whereThere(
                        value -> {
                            if (value instanceof List) {
                                for (Object item : (List<?>) value) {
                                    element.check(item);
                                }
                                return;
                            }
                            for (int i = 0; i < Array.getLength(value); i++) {
                                element.check(Array.get(value, i));
                            }
                        });
    }

    private static Check map(Check key, Check item) {
        return key == null && item == null
                ? null
                : whereThere(
                        value -> {
                            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                                if (key != null) {
                                    key.check(entry.getKey());
                                }
                                if (item != null) {
                                    item.check(entry.getValue());
                                }
                            }
                        });
    }

    private Check row(RowType type) {
        Check[] checks = new Check[type.getFieldCount()];
        boolean any = false;
        for (int i = 0; i < checks.length; i++) {
            checks[i] = check(type.getTypeAt(i));
            any |= checks[i] != null;
        }
        List<String> names = type.getFieldNames();
        return !any
                ? null
                : whereThere(
                        value -> {
                            for (int i = 0; i < checks.length; i++) {
                                if (checks[i] != null) {
                                    checks[i].check(field((Row) value, i, names.get(i)));
                                }
                            }
                        });
    }

    /** A field of a row that has names, or only positions. */
    static Object field(Row row, int position, String name) {
        return row.getFieldNames(false) == null ? row.getField(position) : row.getField(name);
    }

    private void decimal(Object value, LogicalType type) throws WorkerException {
        BigDecimal given =
                value instanceof DecimalData
                        ? ((DecimalData) value).toBigDecimal()
                        : (BigDecimal) value;
        int scale = LogicalTypeChecks.getScale(type);
        BigDecimal bare = given.stripTrailingZeros();
        int whole = bare.precision() - bare.scale();
        if (bare.signum() != 0 && whole > LogicalTypeChecks.getPrecision(type) - scale) {
            throw refused(given + " does not fit " + type.copy(true));
        }
        if (bare.scale() > scale) {
            throw refused(given + " would be rounded to " + scale + " decimals");
        }
    }

    private void whole(Object value, long nanos, int unit, int precision) throws WorkerException {
        if (nanos % unit != 0) {
            throw refused(
                    value + " would be cut to a precision of " + precision
                            + "; declare the column with a higher one in row_type, or cut it "
                            + "upstream");
        }
    }

    /** Nanoseconds of the second, by the classes that Flink takes for timestamps. */
    private static long nanos(Object value) {
        if (value instanceof Timestamp) {
            return ((Timestamp) value).getNanos();
        } else if (value instanceof LocalDateTime) {
            return ((LocalDateTime) value).getNano();
        } else if (value instanceof Instant) {
            return ((Instant) value).getNano();
        } else if (value instanceof TimestampData) {
            return ((TimestampData) value).toLocalDateTime().getNano();
        } else if (value instanceof Long) { // milliseconds
            return Math.floorMod((Long) value, 1000L) * NANOS_OF_MILLI;
        }
        return 0; // Integer: seconds
    }

    /** Nanoseconds, by the classes that Flink takes for times of the day. */
    private static long nanosOfDay(Object value) {
        if (value instanceof LocalTime) {
            return ((LocalTime) value).toNanoOfDay();
        } else if (value instanceof Time) {
            return Math.floorMod(((Time) value).getTime(), 1000L) * NANOS_OF_MILLI;
        } else if (value instanceof Integer) { // milliseconds
            return (Integer) value * (long) NANOS_OF_MILLI;
        }
        return (Long) value;
    }

    private WorkerException refused(String reason) throws WorkerException {
        WorkerException refusal =
                new WorkerException("column '" + column + "': " + reason, "", false);
        refusal.raise();
        return refusal;
    }
}
