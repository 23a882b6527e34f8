package exactlyonce.flink;

import java.util.Map;

import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.runtime.typeutils.InternalTypeInfo;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.RowType;
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
        return new PythonSink(
                TableOptions.spec(
                        stream.getExecutionEnvironment().getConfiguration(),
                        factory,
                        options,
                        (RowType) rowType.getLogicalType(),
                        python,
                        options.get(TableOptions.HEARTBEAT_TIMEOUT.key())));
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
        return StreamTypes.rowType(stream, declared);
    }
}
