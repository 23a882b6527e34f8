package exactlyonce.flink;

import java.math.BigDecimal;
import java.util.List;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.conversion.RowRowConverter;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;
import org.apache.flink.types.Row;

/** Row to RowData by Flink's own converters, which round and cut in silence: that is refused. */
final class RowConversion extends RichMapFunction<Row, RowData> {

    private static final long serialVersionUID = 1L;
    private static final int[] NANOS_OF_UNIT = {
        1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1
    };

    private final DataType dataType;
    private transient RowRowConverter converter;
    private transient List<LogicalType> types;

    RowConversion(DataType dataType) {
        this.dataType = dataType;
    }

    @Override
    public void open(OpenContext context) {
        converter = RowRowConverter.create(dataType);
        converter.open(getRuntimeContext().getUserCodeClassLoader());
        types = ((RowType) dataType.getLogicalType()).getChildren();
    }

    @Override
    public RowData map(Row row) throws WorkerException {
        if (row.getArity() != types.size()) {
            throw refused(row.getArity() + " values in a row of " + types.size() + " columns");
        }
        RowData converted = converter.toInternal(row);
        for (int i = 0; i < types.size(); i++) {
            LogicalType type = types.get(i);
            if (converted.isNullAt(i)) {
                if (type.is(LogicalTypeRoot.DECIMAL) && value(row, i) != null) {
                    throw refused(name(i) + ": " + value(row, i) + " does not fit " + type);
                }
            } else if (type.is(LogicalTypeRoot.DECIMAL)) {
                checkDecimal(i, (BigDecimal) value(row, i), LogicalTypeChecks.getScale(type));
            } else if (type.is(LogicalTypeRoot.TIMESTAMP_WITHOUT_TIME_ZONE)
                    || type.is(LogicalTypeRoot.TIMESTAMP_WITH_LOCAL_TIME_ZONE)) {
                checkTimestamp(i, converted, LogicalTypeChecks.getPrecision(type));
            }
        }
        return converted;
    }

    private void checkDecimal(int column, BigDecimal value, int scale) throws WorkerException {
        if (value.stripTrailingZeros().scale() > scale) {
            throw refused(
                    name(column) + ": " + value + " would be rounded to " + scale + " decimals");
        }
    }

    private void checkTimestamp(int column, RowData row, int precision) throws WorkerException {
        int nanos = (int) Math.floorMod(row.getTimestamp(column, precision).getMillisecond(), 1000L)
                        * 1_000_000
                + row.getTimestamp(column, precision).getNanoOfMillisecond();
        if (nanos % NANOS_OF_UNIT[precision] != 0) {
            throw refused(
                    name(column) + ": " + row.getTimestamp(column, precision)
                            + " would be cut to a precision of " + precision
                            + "; declare the column with a higher one in row_type");
        }
    }

    private Object value(Row row, int column) {
        return row.getFieldNames(false) == null
                ? row.getField(column)
                : row.getField(DataType.getFieldNames(dataType).get(column));
    }

    private String name(int column) {
        return "column '" + DataType.getFieldNames(dataType).get(column) + "'";
    }

    private static WorkerException refused(String reason) throws WorkerException {
        WorkerException refusal = new WorkerException(reason, "", false);
        refusal.raise();
        return refusal;
    }
}
