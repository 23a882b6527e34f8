"""The job of the benchmark: numbered rows of five columns into a sink or into `blackhole`."""

from __future__ import annotations

import argparse

from pyflink.common import Configuration, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from pyflink.table import StreamTableEnvironment

from exactly_once_kusto.flink import register

COLUMNS = "id BIGINT, account BIGINT, name STRING, amount DOUBLE, booked TIMESTAMP(3)"
SELECT = (
    "id, id % 1000, CONCAT('user-', CAST(id % 5000 AS STRING)), id * 0.01, "
    "CAST(TO_TIMESTAMP_LTZ(1700000000000 + id, 3) AS TIMESTAMP(3))"
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--interval", required=True, help="checkpoint interval")
    parser.add_argument("--staging", help="without it: blackhole")
    given = parser.parse_args()
    config = Configuration()
    config.set_string("execution.checkpointing.interval", given.interval)
    config.set_string("pipeline.object-reuse", "true")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_parallelism(1)
    tables = StreamTableEnvironment.create(env)
    register(tables)
    source = env.from_source(
        NumberSequenceSource(1, given.rows), WatermarkStrategy.no_watermarks(), "numbers"
    )
    tables.create_temporary_view("numbers", tables.from_data_stream(source).alias("id"))
    options = "'connector' = 'blackhole'"
    if given.staging:
        options = (
            "'connector' = 'two-phase-python', 'name' = 'bench', "
            "'factory' = 'benchmarks.staging_sink:from_options', 'options.auth' = 'none', "
            "'options.cluster' = 'http://127.0.0.1:1', 'options.database' = 'Demo', "
            f"'options.table' = 'T', 'options.staging' = '{given.staging}'"
        )
    tables.execute_sql(f"CREATE TABLE sink ({COLUMNS}) WITH ({options})")
    tables.execute_sql(f"INSERT INTO sink SELECT {SELECT} FROM numbers")


if __name__ == "__main__":
    main()
