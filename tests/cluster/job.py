"""A job for the cluster's tests: `job.py TARGET`, endless random rows into a black hole."""

from __future__ import annotations

import sys

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment


def main(target: str) -> None:
    env = StreamExecutionEnvironment.get_execution_environment()
    env.enable_checkpointing(500)
    tables = StreamTableEnvironment.create(env)
    tables.execute_sql(
        "CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '100')"
    )
    tables.execute_sql("CREATE TABLE nothing (id BIGINT) WITH ('connector' = 'blackhole')")
    tables.execute_sql(f"INSERT INTO {target} SELECT id FROM numbers")


if __name__ == "__main__":
    main(sys.argv[1])
