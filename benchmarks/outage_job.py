"""The job of the outage benchmark: random rows at a fixed rate, without an end."""

from __future__ import annotations

import argparse

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from exactly_once_kusto.flink import register


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, required=True, help="rows per second")
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--staging", required=True)
    given = parser.parse_args()
    config = Configuration()
    config.set_string("execution.checkpointing.interval", "1 s")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_parallelism(2)
    tables = StreamTableEnvironment.create(env)
    register(tables)
    tables.execute_sql(
        "CREATE TABLE source (n BIGINT, amount DOUBLE, label STRING) WITH ("
        f"'connector' = 'datagen', 'rows-per-second' = '{given.rate}', "
        "'fields.label.length' = '12')"
    )
    tables.execute_sql(
        "CREATE TABLE sink (n BIGINT, amount DOUBLE, label STRING) WITH ("
        "'connector' = 'exactly-once-kusto', 'name' = 'outage', 'database' = 'Demo', "
        f"'cluster' = '{given.cluster}', 'table' = 'T', 'auth' = 'none', 'settle' = '3 s', "
        f"'staging' = '{given.staging}')"
    )
    tables.execute_sql("INSERT INTO sink SELECT * FROM source")


if __name__ == "__main__":
    main()
