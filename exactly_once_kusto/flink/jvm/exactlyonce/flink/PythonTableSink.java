package exactlyonce.flink;

import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.connector.sink.SinkV2Provider;
import org.apache.flink.types.RowKind;

/** The sink as the table planner sees it: append-only. */
final class PythonTableSink implements DynamicTableSink {

    private final String table;
    private final WorkerSpec spec;
    private final Integer parallelism;

    /** @param parallelism null: that of the input */
    PythonTableSink(String table, WorkerSpec spec, Integer parallelism) {
        this.table = table;
        this.spec = spec;
        this.parallelism = parallelism;
    }

    @Override
    public ChangelogMode getChangelogMode(ChangelogMode requested) {
        if (!requested.containsOnly(RowKind.INSERT)) {
            throw new ValidationException(
                    "table " + table + " takes inserts only, rows once written can't be changed, "
                            + "but the query also makes " + requested + "; aggregate over windows "
                            + "(TUMBLE, HOP, CUMULATE), whose results are final, or leave the "
                            + "aggregation to the target");
        }
        return ChangelogMode.insertOnly();
    }

    @Override
    public SinkRuntimeProvider getSinkRuntimeProvider(Context context) {
        return SinkV2Provider.of(new PythonSink(spec), parallelism);
    }

    @Override
    public DynamicTableSink copy() {
        return new PythonTableSink(table, spec, parallelism);
    }

    @Override
    public String asSummaryString() {
        return "exactly-once sink of " + spec.factory;
    }
}
