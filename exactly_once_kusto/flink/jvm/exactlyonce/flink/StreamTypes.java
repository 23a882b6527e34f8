package exactlyonce.flink;

import java.util.List;

import org.apache.flink.api.common.typeinfo.BasicArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.typeutils.ListTypeInfo;
import org.apache.flink.api.java.typeutils.MapTypeInfo;
import org.apache.flink.api.java.typeutils.ObjectArrayTypeInfo;
import org.apache.flink.api.java.typeutils.RowTypeInfo;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.DataTypeQueryable;
import org.apache.flink.table.types.logical.LegacyTypeInformationType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.utils.TypeConversions;

/** The row type of a stream, at any depth with the classes that the stream really carries. */
final class StreamTypes {

    private StreamTypes() {}

    /**
     * The row type of a stream.
     *
     * @param declared null: the stream's own type decides
     */
    static DataType rowType(TypeInformation<?> stream, DataType declared) {
        DataType carried;
        if (stream instanceof DataTypeQueryable) {
            carried = ((DataTypeQueryable) stream).getDataType();
        } else if (stream instanceof RowTypeInfo) {
            carried = dataType(stream);
        } else {
            throw new ValidationException(
                    "the stream carries " + stream + ", not rows with named columns; give the "
                            + "last operator a type, e.g. .map(f, "
                            + "output_type=Types.ROW_NAMED(['id'], [Types.LONG()]))");
        }
        List<String> names = DataType.getFieldNames(carried);
        List<DataType> types = DataType.getFieldDataTypes(carried);
        if (declared == null) {
            for (int i = 0; i < names.size(); i++) {
                checkKnown(names.get(i), types.get(i).getLogicalType());
            }
            return carried.notNull();
        }
        List<DataType> wanted = DataType.getFieldDataTypes(declared);
        if (wanted.size() != types.size()) {
            throw new ValidationException(
                    "row_type has " + wanted.size() + " columns, the stream's rows have "
                            + types.size());
        }
        List<String> columns = DataType.getFieldNames(declared);
        DataTypes.Field[] fields = new DataTypes.Field[wanted.size()];
        for (int i = 0; i < fields.length; i++) {
            DataType bridged = bridged(columns.get(i), wanted.get(i), types.get(i));
            fields[i] = DataTypes.FIELD(columns.get(i), bridged);
        }
        return DataTypes.ROW(fields).notNull();
    }

    /** A legacy type as a data type; what has none stays a {@link LegacyTypeInformationType}. */
    @SuppressWarnings("deprecation") // the way without a table environment
    private static DataType dataType(TypeInformation<?> type) {
        if (type instanceof RowTypeInfo) {
            RowTypeInfo row = (RowTypeInfo) type;
            DataTypes.Field[] fields = new DataTypes.Field[row.getArity()];
            for (int i = 0; i < fields.length; i++) {
                fields[i] = DataTypes.FIELD(row.getFieldNames()[i], dataType(row.getTypeAt(i)));
            }
            return DataTypes.ROW(fields);
        } else if (type instanceof MapTypeInfo) {
            MapTypeInfo<?, ?> map = (MapTypeInfo<?, ?>) type;
            return DataTypes.MAP(dataType(map.getKeyTypeInfo()), dataType(map.getValueTypeInfo()));
        } else if (type instanceof ListTypeInfo) {
            return DataTypes.ARRAY(dataType(((ListTypeInfo<?>) type).getElementTypeInfo()))
                    .bridgedTo(List.class);
        } else if (type instanceof BasicArrayTypeInfo) {
            return array(type, dataType(((BasicArrayTypeInfo<?, ?>) type).getComponentInfo()));
        } else if (type instanceof ObjectArrayTypeInfo) {
            return array(type, dataType(((ObjectArrayTypeInfo<?, ?>) type).getComponentInfo()));
        } else if (type instanceof PrimitiveArrayTypeInfo && type.getTypeClass() != byte[].class) {
            Class<?> primitive = type.getTypeClass().getComponentType();
            DataType boxed = dataType(((PrimitiveArrayTypeInfo<?>) type).getComponentType());
            return array(type, boxed.notNull().bridgedTo(primitive));
        }
        DataType found = TypeConversions.fromLegacyInfoToDataType(type);
        // Flink takes these for milliseconds; Python's datetime has microseconds.
        switch (found.getLogicalType().getTypeRoot()) {
            case TIMESTAMP_WITHOUT_TIME_ZONE:
                return DataTypes.TIMESTAMP(6).bridgedTo(found.getConversionClass());
            case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
                return DataTypes.TIMESTAMP_LTZ(6).bridgedTo(found.getConversionClass());
            default:
                return found;
        }
    }

    private static DataType array(TypeInformation<?> type, DataType element) {
        return DataTypes.ARRAY(element).bridgedTo(type.getTypeClass());
    }

    private static void checkKnown(String name, LogicalType type) {
        if (type instanceof LegacyTypeInformationType) {
            boolean decimal = type.is(LogicalTypeRoot.DECIMAL);
            throw new ValidationException(
                    "column '" + name + "' is " + (decimal ? "a decimal without precision" : type)
                            + "; declare the columns, e.g. attach(sink, env, row_type="
                            + "DataTypes.ROW([DataTypes.FIELD('" + name + "', "
                            + "DataTypes.DECIMAL(18, 2)), ...]))");
        }
        type.getChildren().forEach(child -> checkKnown(name, child));
    }

    /** A declared type with the classes of the type that is carried. */
    private static DataType bridged(String column, DataType declared, DataType carried) {
        LogicalType type = declared.getLogicalType();
        List<DataType> inside = declared.getChildren();
        List<DataType> found = carried.getChildren();
        boolean nested = type.is(carried.getLogicalType().getTypeRoot()) && !inside.isEmpty();
        if (nested && inside.size() == found.size()) {
            switch (type.getTypeRoot()) {
                case ROW:
                    List<String> names = DataType.getFieldNames(declared);
                    DataTypes.Field[] fields = new DataTypes.Field[inside.size()];
                    for (int i = 0; i < fields.length; i++) {
                        DataType field = bridged(column, inside.get(i), found.get(i));
                        fields[i] = DataTypes.FIELD(names.get(i), field);
                    }
                    declared = DataTypes.ROW(fields);
                    break;
                case ARRAY:
                    declared = DataTypes.ARRAY(bridged(column, inside.get(0), found.get(0)));
                    break;
                case MAP:
                    declared =
                            DataTypes.MAP(
                                    bridged(column, inside.get(0), found.get(0)),
                                    bridged(column, inside.get(1), found.get(1)));
                    break;
                default:
                    break;
            }
            declared = type.isNullable() ? declared.nullable() : declared.notNull();
        }
        Class<?> carriedClass = carried.getConversionClass();
        boolean misfit = nested && inside.size() != found.size();
        if (misfit || !declared.getLogicalType().supportsInputConversion(carriedClass)) {
            throw new ValidationException(
                    "column '" + column + "': row_type says " + type + ", the stream carries "
                            + (misfit ? carried : carriedClass.getName()));
        }
        return declared.bridgedTo(carriedClass);
    }
}
