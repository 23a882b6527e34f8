package exactlyonce.flink;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.factories.DynamicTableSinkFactory;
import org.apache.flink.table.factories.FactoryUtil;

/** {@code 'connector' = 'exactly-once-kusto'}; its options are listed by the jar's build. */
public final class KustoSinkFactory implements DynamicTableSinkFactory {

    static final String SINK = "exactly_once_kusto.kusto.sink:from_options";
    private static final String LIST = "kusto-options.txt";

    @Override
    public String factoryIdentifier() {
        return "exactly-once-kusto";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return listed("required");
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        Set<ConfigOption<?>> options = listed("optional");
        options.add(TableOptions.PYTHON);
        options.add(FactoryUtil.SINK_PARALLELISM);
        return options;
    }

    private static Set<ConfigOption<?>> listed(String kind) {
        Set<ConfigOption<?>> options = new HashSet<>();
        try (InputStream stream = KustoSinkFactory.class.getResourceAsStream(LIST);
                BufferedReader lines =
                        new BufferedReader(
                                new InputStreamReader(stream, StandardCharsets.UTF_8))) {
            String line;
            while ((line = lines.readLine()) != null) {
                String[] words = line.split(" ");
                if (words[0].equals(kind)) {
                    options.add(TableOptions.text(words[1]));
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException("the shim's jar is damaged: " + LIST, e);
        }
        return options;
    }

    @Override
    public DynamicTableSink createDynamicTableSink(Context context) {
        FactoryUtil.TableFactoryHelper helper =
                FactoryUtil.createTableFactoryHelper(this, context);
        helper.validate();
        Map<String, String> options = new HashMap<>(context.getCatalogTable().getOptions());
        options.remove(FactoryUtil.CONNECTOR.key());
        options.remove(FactoryUtil.SINK_PARALLELISM.key());
        options.remove(TableOptions.PYTHON.key());
        return TableOptions.sink(context, helper, SINK, options);
    }
}
