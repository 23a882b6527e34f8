"""A DataStream of typed rows into the sink, as a user's Python program would have it."""

from __future__ import annotations

import sys

from pyflink.common import Row, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.number_seq import NumberSequenceSource

from exactly_once_kusto import KustoSink
from exactly_once_kusto.flink import attach


def main() -> None:
    cluster, staging, rows, parallelism = sys.argv[1:]
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(int(parallelism))
    env.enable_checkpointing(1000)
    numbers = env.from_source(
        NumberSequenceSource(0, int(rows) - 1), WatermarkStrategy.no_watermarks(), "numbers"
    )
    stream = numbers.map(
        lambda n: Row(n, "a"),
        output_type=Types.ROW_NAMED(["n", "label"], [Types.LONG(), Types.STRING()]),
    )
    sink = KustoSink(
        name="road", cluster=cluster, database="Demo", table="T", staging=staging, auth="none"
    )
    stream.sink_to(attach(sink, env))
    env.execute("attached")


if __name__ == "__main__":
    main()
