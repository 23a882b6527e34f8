package exactlyonce.flink;

import java.time.Duration;
import java.util.Map;

import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.factories.DynamicTableFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.util.TimeUtils;

/** What both factories make of a table's options. */
final class TableOptions {

    static final ConfigOption<String> PYTHON = text("python");

    /** Also an option of the Kusto sink, which checks it; the shim is who keeps it. */
    static final ConfigOption<String> HEARTBEAT_TIMEOUT = text("heartbeat-timeout");

    private static final Duration HEARTBEAT_TIMEOUT_DEFAULT = Duration.ofSeconds(30);

    /** As flink-python's PythonOptions has them; it need not be on the class path. */
    private static final ConfigOption<String> EXECUTABLE = text("python.executable");

    private static final ConfigOption<String> CLIENT_EXECUTABLE = text("python.client.executable");

    private static final ConfigOption<String> FILES = text("python.files");

    private static final ConfigOption<String> ARCHIVES = text("python.archives");

    private static final ConfigOption<String> NODE_PATH = text("python.pythonpath");

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
                        helper.getOptions().get(PYTHON),
                        helper.getOptions().get(HEARTBEAT_TIMEOUT));
        return new PythonTableSink(
                context.getObjectIdentifier().asSummaryString(),
                spec, helper.getOptions().getOptional(FactoryUtil.SINK_PARALLELISM).orElse(null));
    }

    static WorkerSpec spec(
            ReadableConfig config,
            String factory,
            Map<String, String> options,
            RowType rowType,
            String python,
            String heartbeatTimeout) {
        return new WorkerSpec(
                factory,
                options,
                rowType,
                heartbeatTimeout(heartbeatTimeout),
                python != null
                        ? python
                        : config.getOptional(EXECUTABLE).orElse(null),
                config.getOptional(CLIENT_EXECUTABLE).orElse(null),
                PythonFiles.parse(
                        config.getOptional(FILES).orElse(null),
                        config.getOptional(ARCHIVES).orElse(null),
                        config.getOptional(NODE_PATH).orElse(null)));
    }

    private static Duration heartbeatTimeout(String given) {
        if (given == null) {
            return HEARTBEAT_TIMEOUT_DEFAULT;
        }
        Duration timeout;
        try {
            timeout = TimeUtils.parseDuration(given);
        } catch (IllegalArgumentException e) {
            throw new ValidationException(
                    "option 'heartbeat-timeout': '" + given + "' is no duration such as '30 s'", e);
        }
        if (timeout.compareTo(Duration.ofSeconds(1)) < 0) {
            throw new ValidationException(
                    "option 'heartbeat-timeout': '" + given + "' can't be used; use '1 s' or more");
        }
        return timeout;
    }
}
