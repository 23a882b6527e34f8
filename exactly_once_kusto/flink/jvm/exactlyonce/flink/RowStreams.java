package exactlyonce.flink;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.typeutils.RowTypeInfo;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.runtime.typeutils.InternalTypeInfo;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.DataTypeQueryable;
import org.apache.flink.table.types.logical.LegacyTypeInformationType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeFamily;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.utils.TypeConversions;
import org.apache.flink.types.Row;

/** What {@code attach.py} calls: a DataStream of rows to what {@link PythonSink} takes. */
public final class RowStreams {

    private RowStreams() {}

    /** The sink for rows of a type that {@link #rowType} returned. */
    public static PythonSink sink(
            DataStream<?> stream,
            String factory,
            Map<String, String> options,
            DataType rowType,
            String python) {
        WorkerSpec spec =
                TableOptions.spec(
                        stream.getExecutionEnvironment().getConfiguration(),
                        factory,
                        options,
                        (RowType) rowType.getLogicalType(),
                        python,
                        options.get(TableOptions.HEARTBEAT_TIMEOUT.key()));
        spec.pythonFiles.register(stream.getExecutionEnvironment());
        return new PythonSink(spec);
    }

    /** Puts a conversion of each row behind the stream. */
    public static DataStream<RowData> convert(DataStream<Row> stream, DataType rowType) {
        return stream.map(new RowConversion(rowType))
                .returns(InternalTypeInfo.of((RowType) rowType.getLogicalType()))
                .name("To rows of the sink");
    }

    /**
     * The row type of a stream, with the classes that the stream really carries.
     *
     * @param declared null: the stream's own type decides
     */
    public static DataType rowType(TypeInformation<?> stream, DataType declared) {
        if (stream instanceof DataTypeQueryable && declared == null) {
            return ((DataTypeQueryable) stream).getDataType();
        }
        if (stream instanceof DataTypeQueryable) {
            return bridged(
                    declared, DataType.getFieldDataTypes(
                            ((DataTypeQueryable) stream).getDataType()).stream()
                            .map(DataType::getConversionClass)
                            .toArray(Class<?>[]::new));
        }
        if (!(stream instanceof RowTypeInfo)) {
            throw new ValidationException(
                    "the stream carries " + stream + ", not rows with named columns; give the "
                            + "last operator a type, e.g. .map(f, "
                            + "output_type=Types.ROW_NAMED(['id'], [Types.LONG()]))");
        }
        RowTypeInfo rows = (RowTypeInfo) stream;
        Class<?>[] classes = new Class<?>[rows.getArity()];
        List<DataTypes.Field> fields = new ArrayList<>();
        for (int i = 0; i < classes.length; i++) {
            classes[i] = rows.getTypeAt(i).getTypeClass();
            if (declared == null) {
                String name = rows.getFieldNames()[i];
                fields.add(DataTypes.FIELD(name, fieldType(name, rows.getTypeAt(i))));
            }
        }
        return bridged(
                declared == null ? DataTypes.ROW(fields.toArray(new DataTypes.Field[0])) : declared,
                classes);
    }

    @SuppressWarnings("deprecation") // the way without a table environment
    private static DataType fieldType(String name, TypeInformation<?> type) {
        DataType found = TypeConversions.fromLegacyInfoToDataType(type);
        LogicalType logical = found.getLogicalType();
        if (logical instanceof LegacyTypeInformationType) {
            boolean decimal = logical.is(LogicalTypeRoot.DECIMAL);
            throw new ValidationException(
                    "column '" + name + "' is " + (decimal ? "a decimal without precision" : type)
                            + "; declare the columns, e.g. attach(sink, env, row_type="
                            + "DataTypes.ROW([DataTypes.FIELD('" + name + "', "
                            + "DataTypes.DECIMAL(18, 2)), ...]))");
        }
        // Flink takes these for milliseconds; Python's datetime has microseconds.
        switch (logical.getTypeRoot()) {
            case TIMESTAMP_WITHOUT_TIME_ZONE:
                return DataTypes.TIMESTAMP(6);
            case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
                return DataTypes.TIMESTAMP_LTZ(6);
            default:
                return found;
        }
    }

    /** Flink's converters round and cut inside nested values, where nobody would see it. */
    private static void checkNested(String name, LogicalType type, boolean inside) {
        boolean cut = type.is(LogicalTypeRoot.DECIMAL) || type.is(LogicalTypeFamily.TIMESTAMP);
        if (inside && cut) {
            throw new ValidationException(
                    "column '" + name + "': a " + type + " inside a nested value of a DataStream "
                            + "would be rounded or cut in silence; give it as a STRING");
        }
        type.getChildren().forEach(child -> checkNested(name, child, true));
    }

    private static DataType bridged(DataType rowType, Class<?>[] classes) {
        List<String> names = DataType.getFieldNames(rowType);
        List<DataType> types = DataType.getFieldDataTypes(rowType);
        if (types.size() != classes.length) {
            throw new ValidationException(
                    "row_type has " + types.size() + " columns, the stream's rows have "
                            + classes.length);
        }
        DataTypes.Field[] fields = new DataTypes.Field[classes.length];
        for (int i = 0; i < fields.length; i++) {
            if (!types.get(i).getLogicalType().supportsInputConversion(classes[i])) {
                throw new ValidationException(
                        "column '" + names.get(i) + "': row_type says " + types.get(i)
                                + ", the stream carries " + classes[i].getName());
            }
            checkNested(names.get(i), types.get(i).getLogicalType(), false);
            fields[i] = DataTypes.FIELD(names.get(i), types.get(i).bridgedTo(classes[i]));
        }
        return DataTypes.ROW(fields).notNull();
    }
}
