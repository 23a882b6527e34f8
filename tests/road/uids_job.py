"""A DataStream program with uids; `longer` is what it became: one more function before the sink."""

from __future__ import annotations

import argparse
import time

from pyflink.common import Row, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.number_seq import NumberSequenceSource

from exactly_once_kusto import KustoSink
from exactly_once_kusto.flink import attach

ROW = Types.ROW_NAMED(["n", "label"], [Types.LONG(), Types.STRING()])


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("cluster", "staging"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--longer", action="store_true")
    given = parser.parse_args()
    pause_s = 1 / given.rate

    def paced(n: int) -> Row:
        time.sleep(pause_s)  # Flink's number source knows no rate
        return Row(n, "before")

    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    env.enable_checkpointing(1000)
    numbers = env.from_source(
        NumberSequenceSource(0, given.rows - 1), WatermarkStrategy.no_watermarks(), "numbers"
    ).uid("numbers")
    stream = numbers.map(paced, output_type=ROW).uid("rows")
    if given.longer:
        stream = stream.map(lambda row: Row(row[0], "after"), output_type=ROW).uid("relabel")
    sink = KustoSink(
        name="road",
        cluster=given.cluster,
        database="Demo",
        table="T",
        staging=given.staging,
        auth="none",
        commit_wait_s=0.1,
        settle_s=3.0,
        access_lifetime_s=10.0,
    )
    stream.sink_to(attach(sink, env)).uid("kusto")
    env.execute("uids")


if __name__ == "__main__":
    main()
