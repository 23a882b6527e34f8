package exactlyonce.flink;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;

import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.factories.DynamicTableSinkFactory;
import org.apache.flink.table.factories.FactoryUtil;

/**
 * {@code 'connector' = 'two-phase-python'}: any sink built on the framework, found by {@code
 * 'factory' = 'package.module:callable'}. It gets 'name' and whatever begins with 'options.'.
 */
public final class TwoPhasePythonSinkFactory implements DynamicTableSinkFactory {

    private static final ConfigOption<String> FACTORY = TableOptions.text("factory");
    private static final ConfigOption<String> NAME = TableOptions.text("name");
    private static final String PREFIX = "options.";

    @Override
    public String factoryIdentifier() {
        return "two-phase-python";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(FACTORY);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of(
                NAME,
                TableOptions.PYTHON,
                TableOptions.HEARTBEAT_TIMEOUT,
                FactoryUtil.SINK_PARALLELISM);
    }

    @Override
    public DynamicTableSink createDynamicTableSink(Context context) {
        FactoryUtil.TableFactoryHelper helper =
                FactoryUtil.createTableFactoryHelper(this, context);
        helper.validateExcept(PREFIX);
        Map<String, String> options = new HashMap<>();
        context.getCatalogTable()
                .getOptions()
                .forEach(
                        (key, value) -> {
                            if (key.startsWith(PREFIX)) {
                                options.put(key.substring(PREFIX.length()), value);
                            }
                        });
        helper.getOptions().getOptional(NAME).ifPresent(name -> options.put(NAME.key(), name));
        return TableOptions.sink(context, helper, helper.getOptions().get(FACTORY), options);
    }
}
