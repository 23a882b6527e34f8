"""The sources of an ingestion, read: rows that are not in their table yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from . import plain_parquet
from .catalog import DecimalWidth, Table
from .course import Course
from .errors import KustoError
from .formats import load_error, select
from .properties import Plan
from .sources import Source, SourceError, fetch, shown, size_of

if TYPE_CHECKING:
    import pyarrow as pa

HELD_BYTES_MAX = 4 << 20
"""Once a command holds so much in memory, it puts the rest into temporary tables."""


@dataclass(frozen=True)
class Ingestion:
    """What to ingest: sources or inline data, and the command's properties (names lower case)."""

    database: str
    table: str
    sources: tuple[str, ...]
    properties: Mapping[str, str]
    inline: str | None = None


@dataclass(frozen=True)
class Loaded:
    """A source's rows: in memory, or in a temporary table of the connection that read them."""

    source: str
    rows: int
    size: float
    seconds: float
    held: pa.Table | str

    @property
    def in_memory(self) -> bool:
        """Whether any connection can append the rows."""
        return not isinstance(self.held, str)


def load(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    plan: Plan,
    ingestion: Ingestion,
    folder: Callable[[], Path],
    course: Course,
) -> list[Loaded]:
    """Reads all sources; ``folder`` gives a place for what must be a file first.

    Raises SourceError for the first one that can't be read.
    """
    loaded: list[Loaded] = []
    left = HELD_BYTES_MAX
    for i, source in enumerate(_sources(ingestion, folder, course)):
        loaded.append(_load(connection, table, plan, source, f"loaded{i}", left > 0))
        held = loaded[-1].held
        left -= 0 if isinstance(held, str) else held.nbytes
    return loaded


def widths(
    q: duckdb.DuckDBPyConnection, table: Table, loaded: list[Loaded]
) -> tuple[DecimalWidth, ...]:
    """The room that the decimals of each column need."""
    found = [DecimalWidth() for _ in table.columns]
    for i, column in enumerate(table.columns):
        if column.type != "decimal":
            continue
        for part in loaded:  # none is in memory where a column is decimal: see plain_parquet
            row = q.execute(
                f"SELECT max(length(ltrim(split_part(c{i}, '.', 1), '-'))), "
                f"max(length(split_part(c{i}, '.', 2))) FROM {part.held}"
            ).fetchone()
            digits, scale = row if row else (0, 0)
            found[i] = DecimalWidth(
                max(found[i].digits, digits or 0), max(found[i].scale, scale or 0)
            )
    return tuple(found)


def _sources(ingestion: Ingestion, folder: Callable[[], Path], course: Course) -> list[Source]:
    if ingestion.inline is not None:
        file = folder() / "inline"
        file.write_text(ingestion.inline, "utf-8", newline="")
        return [Source("inline", file)]
    for i, name in enumerate(ingestion.sources):
        if (unreadable := course.unreadable(i)) is not None:
            raise SourceError(unreadable, shown(name))
    fetched = fetch(ingestion.sources, folder)
    if course.rule("partial-read") is None:
        return fetched
    return [
        Source(source.shown, course.cut(source.file, folder() / f"cut-{i}"))
        for i, source in enumerate(fetched)
    ]


def _load(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    plan: Plan,
    origin: Source,
    place: str,
    in_memory: bool,
) -> Loaded:
    begun = time.monotonic()
    source = origin.shown
    kept: pa.Table | None = None
    rows = 0
    try:
        size = size_of(origin)
        if in_memory and plan.reading.format == "parquet":
            kept = plain_parquet.read(table, plan.reading.sources, origin.file, size)
        if kept is None:
            rows = _load_into(connection, table, plan, origin, place)
    except KustoError as error:
        raise SourceError(error, source) from error
    if kept is not None:
        return Loaded(source, kept.num_rows, float(size), time.monotonic() - begun, kept)
    if rows == 0 and plan.reading.format != "parquet":
        empty = KustoError(
            "BadRequest_NoRecordsOrWrongFormat",
            f"'{source}' is empty, or not of format {plan.reading.format}",
        )
        raise SourceError(empty, source)
    return Loaded(source, rows, float(size), time.monotonic() - begun, place)


def _load_into(
    connection: duckdb.DuckDBPyConnection, table: Table, plan: Plan, origin: Source, place: str
) -> int:
    """Reads a source into a temporary table; the number of its rows. Raises KustoError."""
    query = select(connection, table, plan.reading, origin.file, origin.shown)
    listed = ", ".join(f"c{i}" for i in range(len(table.columns)))
    try:
        counted = connection.execute(
            f"CREATE TEMP TABLE {place} AS SELECT * FROM ({query}) AS loaded({listed})"
        ).fetchone()
    except duckdb.Error as error:
        raise load_error(error, plan.reading, origin.shown) from error
    return int(counted[0]) if counted else 0
