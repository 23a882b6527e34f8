"""The demo's Flink job, submitted with `bin/flink run`: flights, paced, into the sink.

A rate-limited `datagen` sequence counts the rows; a Python table function turns each number into
its flight. So the pace is the source's, its position is in Flink's checkpoints, and a replay after
a kill yields the same rows.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pyflink.common import Configuration, Row
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import DataTypes, StreamTableEnvironment
from pyflink.table.udf import TableFunction, udtf

from exactly_once_kusto.cli.flights import FIELDS, ROWS, Value, read_rows
from exactly_once_kusto.flink import register

TYPES = {
    "TINYINT": DataTypes.TINYINT(),
    "SMALLINT": DataTypes.SMALLINT(),
    "INT": DataTypes.INT(),
    "STRING": DataTypes.STRING(),
    "TIMESTAMP(3)": DataTypes.TIMESTAMP(3),
}


class Flight(TableFunction):  # type: ignore[misc]
    """The flight with a number. The file is read once per worker, when it is first needed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.rows: list[tuple[Value, ...]] = []

    def eval(self, number: int) -> Iterator[Row]:
        """Yield the one flight."""
        if not self.rows:
            self.rows = [_naive(row) for row in read_rows(Path(self.path))]
        yield Row(*self.rows[number])


def _naive(row: tuple[Value, ...]) -> tuple[Value, ...]:
    """A Flink TIMESTAMP has no zone: the time as UTC shows it."""
    return tuple(v.replace(tzinfo=None) if isinstance(v, datetime) else v for v in row)


def main() -> None:
    """Submit the job and return; the demo follows it through Flink's REST interface."""
    parser = argparse.ArgumentParser()
    for name in ("flights", "cluster", "database", "staging"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--rows-per-second", type=int, required=True)
    given = parser.parse_args()
    config = Configuration()
    config.set_string("execution.checkpointing.interval", "1 s")
    config.set_string("pipeline.name", "flights into Kusto, exactly once")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    env.set_parallelism(2)
    tables = StreamTableEnvironment.create(env)
    register(tables)
    tables.execute_sql(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', "
        f"'rows-per-second' = '{given.rows_per_second}', 'fields.n.kind' = 'sequence', "
        f"'fields.n.start' = '0', 'fields.n.end' = '{ROWS - 1}')"
    )
    flight = udtf(
        Flight(os.path.abspath(given.flights)), result_types=[TYPES[f.flink] for f in FIELDS]
    )
    tables.create_temporary_function("flight", flight)
    columns = ", ".join(f"`{f.name}` {f.flink}" for f in FIELDS)
    tables.execute_sql(
        f"CREATE TABLE Flights ({columns}) WITH ('connector' = 'exactly-once-kusto', "
        f"'name' = 'flights', 'cluster' = '{given.cluster}', 'database' = '{given.database}', "
        f"'table' = 'Flights', 'staging' = '{given.staging}', 'commit' = 'direct', "
        "'auth' = 'none')"
    )
    names = ", ".join(f"`{f.name}`" for f in FIELDS)
    tables.execute_sql(
        f"INSERT INTO Flights SELECT {names} FROM numbers, LATERAL TABLE(flight(n)) AS F({names})"
    )


if __name__ == "__main__":
    main()
