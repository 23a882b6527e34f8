"""Runs the SQL statements of a file, which are separated by blank lines."""

from __future__ import annotations

import sys
from pathlib import Path

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from exactly_once_kusto.flink import register


def main() -> None:
    config = Configuration()
    config.set_string("execution.checkpointing.interval", "1 s")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    tables = StreamTableEnvironment.create(env)
    register(tables)
    for statement in Path(sys.argv[1]).read_text("utf-8").split("\n\n"):
        tables.execute_sql(statement)


if __name__ == "__main__":
    main()
