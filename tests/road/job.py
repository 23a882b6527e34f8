"""The job of the cluster tests: numbered, labelled rows, paced by a rate-limited source.

Row identity is (n, label). The label says which run produced a row, so that rows of the same
checkpoint number but of another branch can be told apart.
"""

from __future__ import annotations

import argparse

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

from exactly_once_kusto.flink import register

UNBOUNDED_ROWS = 200_000
"""More than any test waits for."""


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("name", "cluster", "staging", "table", "label"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--rows", type=int, default=0, help="0: more than any test waits for")
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--columns", default="n BIGINT, label STRING")
    parser.add_argument("--select", default="n, '{label}'")
    parser.add_argument("--option", action="append", default=[], help="key=value of the DDL")
    parser.add_argument("--config", action="append", default=[], help="key=value of Flink")
    given = parser.parse_args()

    config = Configuration()
    config.set_string("execution.checkpointing.interval", "1 s")
    config.set_string("pipeline.name", f"{given.name} {given.label}")
    # Without it the ids of operators depend on what is chained, and so on the parallelism.
    config.set_string("table.exec.uid.generation", "ALWAYS")
    config.set_string("pipeline.max-parallelism", "128")
    for option in given.config:
        config.set_string(*option.split("=", 1))
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_parallelism(given.parallelism)
    tables = StreamTableEnvironment.create(env)
    register(tables)
    # In batch mode a source has to be bounded by itself, not by its sequence.
    given.bounded = f", 'number-of-rows' = '{given.rows}'" if "BATCH" in str(given.config) else ""
    # The sequence keeps all numbers that are left in the TaskManager's heap: no more than needed.
    end = (given.rows or UNBOUNDED_ROWS) - 1
    tables.execute_sql(
        "CREATE TABLE source (n BIGINT) WITH ('connector' = 'datagen', "
        f"'rows-per-second' = '{given.rate}', 'fields.n.kind' = 'sequence', "
        f"'fields.n.start' = '0', 'fields.n.end' = '{end}'{given.bounded})"
    )
    options = {
        "connector": "exactly-once-kusto",
        "name": given.name,
        "cluster": given.cluster,
        "database": "Demo",
        "table": given.table,
        "staging": given.staging,
        "auth": "none",
        "settle": "3 s",
        "access-lifetime": "10 s",
    }
    options.update(option.split("=", 1) for option in given.option)
    if options["connector"] == "two-phase-python":
        shims = ("connector", "factory", "name", "python", "heartbeat-timeout")
        options = {k if k in shims else f"options.{k}": v for k, v in options.items()}
    ddl = ", ".join(f"'{key}' = '{value}'" for key, value in options.items() if value)
    tables.execute_sql(f"CREATE TABLE sink ({given.columns}) WITH ({ddl})")
    select = given.select.replace("{label}", given.label)
    tables.execute_sql(f"INSERT INTO sink SELECT {select} FROM source")


if __name__ == "__main__":
    main()
