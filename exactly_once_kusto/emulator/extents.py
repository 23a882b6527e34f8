"""Extents: what ``.show extents`` tells of them, how they are appended, dropped and retagged.

An ingestion makes an extent of one piece. A merge makes one extent of all the pieces of its
sources, which keep their rows and their times of ingestion.

Sources: https://learn.microsoft.com/kusto/management/show-extents, drop-extents, drop-extent-tags.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from .catalog import Table
from .commands import ShowExtents, TagFilter
from .engine import Engine
from .extent_commands import Span
from .inserts import Inserts
from .types import Result, columns

EXTENT_COLUMNS = columns(
    "ExtentId:guid, DatabaseName:string, TableName:string, MaxCreatedOn:datetime, "
    "OriginalSize:real, ExtentSize:real, CompressedSize:real, IndexSize:real, Blocks:long, "
    "Segments:long, ReservedSlot1:string, ReservedSlot2:string, ExtentContainerId:string, "
    "RowCount:long, MinCreatedOn:datetime, Tags:string, Kind:string, ReservedSlot3:string, "
    "DeletedRowCount:long"
)
DROPPED_COLUMNS = columns("ExtentId:string, TableName:string, CreatedOn:datetime")
RETAGGED_COLUMNS = columns(
    "OriginalExtentId:string, ResultExtentId:string, ResultExtentTags:string, Details:string"
)
NO_EXTENT = uuid.UUID(int=0)
NEWLINE = "\r\n"
"""Between the tags of an extent: the examples of drop-extent-tags split them there."""


@dataclass(frozen=True)
class NewExtent:
    """An extent about to be appended: its number and id, its number of rows, and its size."""

    number: int
    id: uuid.UUID
    row_count: int
    original_size: float


@dataclass(frozen=True)
class Extent:
    """An extent as it is: its id, the numbers of its pieces, and what describes it."""

    id: str
    pieces: tuple[int, ...]
    newest: dt.datetime
    oldest: dt.datetime
    row_count: int
    original_size: float
    tags: tuple[str, ...]


def append(
    inserts: Inserts,
    table: Table,
    extent: NewExtent,
    tags: Sequence[str],
    created: dt.datetime,
    ingested: dt.datetime,
) -> None:
    """Adds what describes an extent to what will be inserted; its rows are the caller's."""
    times = (created, created, ingested)
    described = (extent.row_count, extent.original_size, *times, json.dumps(list(tags)))
    inserts.add("ext", (extent.number, extent.id, table.id, *described))
    for tag in dict.fromkeys(tags):
        inserts.add("exttag", (table.id, tag, extent.number))


def bearing(tx: duckdb.DuckDBPyConnection, tags: Sequence[str]) -> set[tuple[int, str]]:
    """Which of the tags an extent bears, each with the number of the extent's table."""
    if not tags:
        return set()
    marks = ",".join("?" * len(tags))
    found = tx.execute(f'SELECT tbl, tag FROM "$emulator".exttag WHERE tag IN ({marks})', tags)
    return {(table, tag) for table, tag in found.fetchall()}


def show(engine: Engine, tables: Sequence[Table], command: ShowExtents) -> Result:
    """Rows of ``.show extents`` for the tables, oldest first."""
    where = ["e.tbl IN (SELECT unnest(?::INTEGER[]))"]
    parameters: list[object] = [[t.id for t in tables]]
    if command.ids is not None:
        where.append("e.id IN (SELECT unnest(?::UUID[]))")
        parameters.append(list(command.ids))
    for tag in command.filters:
        where.append(_condition(tag))
        parameters.append(tag.value)
    names = {t.id: (t.database, t.name) for t in tables}
    with engine.reader() as q:
        rows = q.execute(
            "SELECT e.tbl, e.id, max(e.max_created), sum(e.original_size), "
            "sum(e.row_count)::BIGINT, min(e.min_created), any_value(e.tags), count(*) "
            'FROM "$emulator".ext e '
            f"WHERE {' AND '.join(where)} GROUP BY e.tbl, e.id ORDER BY min(e.n)",
            parameters,
        ).fetchall()
    shown = []
    for number, ident, newest, size, count, oldest, tags, pieces in rows:
        database, name = names[number]
        text = NEWLINE.join(json.loads(tags))
        shown.append(
            (
                *(ident, database, name, newest, size, size, size, 0.0, pieces, pieces, "", ""),
                *(str(NO_EXTENT), count, oldest, text, "StorageV3", "", 0),
            )
        )
    return Result(EXTENT_COLUMNS, shown)


def _condition(tag: TagFilter) -> str:
    # 'has' is a whole tag, 'contains' a part of one whatever its case.
    match = "t.tag = ?" if tag.operator == "has" else "contains(lower(t.tag), lower(?))"
    negation = "NOT " if tag.negated else ""
    return (
        f'e.id {negation}IN (SELECT x.id FROM "$emulator".exttag t '
        f'JOIN "$emulator".ext x ON x.n = t.n WHERE {match})'
    )


def find(
    q: duckdb.DuckDBPyConnection,
    table: Table,
    ids: Sequence[str] | None = None,
    span: Span = Span(),  # noqa: B008 - frozen
    older_than: dt.datetime | None = None,
) -> list[Extent]:
    """The extents of the table, oldest first; ``ids`` None means all, times are of creation."""
    where, parameters = ["tbl = ?"], [table.id]
    if ids is not None:
        where.append("id IN (SELECT unnest(?::UUID[]))")
        parameters.append(list(ids))  # type: ignore[arg-type]
    rows = q.execute(
        "SELECT id::VARCHAR, list(n), max(max_created), min(min_created), sum(row_count)::BIGINT, "
        f'sum(original_size), any_value(tags) FROM "$emulator".ext WHERE {" AND ".join(where)} '
        "GROUP BY id ORDER BY max(max_created), min(n)",
        parameters,
    ).fetchall()
    return [
        Extent(ident, tuple(sorted(pieces)), newest, oldest, count, size, tuple(json.loads(tags)))
        for ident, pieces, newest, oldest, count, size, tags in rows
        if (span.created_from is None or newest >= span.created_from)
        and (span.created_to is None or newest <= span.created_to)
        and (older_than is None or newest < older_than)
    ]


def drop(tx: duckdb.DuckDBPyConnection, table: Table, chosen: Sequence[Extent]) -> None:
    """Drops extents of the table with their rows."""
    numbers = [piece for extent in chosen for piece in extent.pieces]
    for place in (table.storage, '"$emulator".exttag', '"$emulator".ext'):
        tx.execute(f"DELETE FROM {place} WHERE n IN (SELECT unnest(?::BIGINT[]))", [numbers])


def retag(tx: duckdb.DuckDBPyConnection, table: Table, extent: Extent, tags: Sequence[str]) -> str:
    """Gives the extent these tags and, as it is a new one then (documented), the new id."""
    new = str(uuid.uuid4())
    rename(tx, table, [extent], new, tags)
    return new


def rename(
    tx: duckdb.DuckDBPyConnection,
    table: Table,
    chosen: Sequence[Extent],
    new: str,
    tags: Sequence[str],
) -> None:
    """Makes one extent of the chosen, in the table, with the id and the tags.

    Rows stay where they are: an extent may consist of several pieces, each with its own number and
    its own time of ingestion. Only the first of them has the tags.
    """
    numbers = sorted(piece for extent in chosen for piece in extent.pieces)
    tx.execute(
        'UPDATE "$emulator".ext SET id = ?, tbl = ?, tags = CASE WHEN n = ? THEN ?::JSON END '
        "WHERE n IN (SELECT unnest(?::BIGINT[]))",
        [new, table.id, numbers[0], json.dumps(list(tags)), numbers],
    )
    tx.execute('DELETE FROM "$emulator".exttag WHERE n IN (SELECT unnest(?::BIGINT[]))', [numbers])
    tx.execute(
        'INSERT INTO "$emulator".exttag SELECT ?, unnest(?::VARCHAR[]), ?',
        [table.id, list(dict.fromkeys(tags)), numbers[0]],
    )
