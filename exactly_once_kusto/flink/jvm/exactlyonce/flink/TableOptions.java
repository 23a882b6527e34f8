package exactlyonce.flink;

import java.util.Map;

import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.factories.DynamicTableFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.logical.RowType;

/** What both factories make of a table's options. */
final class TableOptions {

    static final ConfigOption<String> PYTHON = text("python");

    /** As flink-python's PythonOptions has them; it need not be on the class path. */
    private static final ConfigOption<String> EXECUTABLE = text("python.executable");

    private static final ConfigOption<String> CLIENT_EXECUTABLE = text("python.client.executable");

    private TableOptions() {}

    static ConfigOption<String> text(String key) {
        return ConfigOptions.key(key).stringType().noDefaultValue();
    }

    /** @param options what the Python factory gets, without the keys that are the shim's own */
    static DynamicTableSink sink(
            DynamicTableFactory.Context context,
            FactoryUtil.TableFactoryHelper helper,
            String factory,
            Map<String, String> options) {
        RowType rowType = (RowType) context.getPhysicalRowDataType().getLogicalType();
        WorkerSpec spec =
                spec(
                        context.getConfiguration(),
                        factory,
                        options,
                        rowType,
                        helper.getOptions().get(PYTHON));
        return new PythonTableSink(
                context.getObjectIdentifier().asSummaryString(),
                spec, helper.getOptions().getOptional(FactoryUtil.SINK_PARALLELISM).orElse(null));
    }

    static WorkerSpec spec(
            ReadableConfig config,
            String factory,
            Map<String, String> options,
            RowType rowType,
            String python) {
        return new WorkerSpec(
                factory,
                options,
                rowType,
                python != null
                        ? python
                        : config.getOptional(EXECUTABLE).orElse(null),
                config.getOptional(CLIENT_EXECUTABLE).orElse(null));
    }
}
