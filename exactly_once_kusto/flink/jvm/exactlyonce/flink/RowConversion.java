package exactlyonce.flink;

import java.util.List;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.conversion.RowRowConverter;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.types.Row;

/** Row to RowData by Flink's own converters, of which {@link ExactValues} refuses the losses. */
final class RowConversion extends RichMapFunction<Row, RowData> {

    private static final long serialVersionUID = 1L;

    private final DataType dataType;
    private transient RowRowConverter converter;
    private transient List<String> names;
    private transient ExactValues.Check[] checks;

    RowConversion(DataType dataType) {
        this.dataType = dataType;
    }

    @Override
    public void open(OpenContext context) {
        converter = RowRowConverter.create(dataType);
        converter.open(getRuntimeContext().getUserCodeClassLoader());
        names = DataType.getFieldNames(dataType);
        List<LogicalType> types = dataType.getLogicalType().getChildren();
        checks = new ExactValues.Check[names.size()];
        for (int i = 0; i < checks.length; i++) {
            checks[i] = ExactValues.of(names.get(i), types.get(i));
        }
    }

    @Override
    public RowData map(Row row) throws WorkerException {
        if (row.getArity() != checks.length) {
            new WorkerException(
                            row.getArity() + " values in a row of " + checks.length + " columns",
                            "",
                            false)
                    .raise();
        }
        for (int i = 0; i < checks.length; i++) {
            if (checks[i] != null) {
                checks[i].check(ExactValues.field(row, i, names.get(i)));
            }
        }
        return converter.toInternal(row);
    }
}
