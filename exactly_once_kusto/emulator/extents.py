"""Extents: what ``.show extents`` tells of them, how they are appended, dropped and retagged.

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


@dataclass(frozen=True)
class NewExtent:
    """An extent about to be appended: the SQL of its rows, their number, and its size."""

    id: uuid.UUID
    select: str
    row_count: int
    original_size: float


def append(
    tx: duckdb.DuckDBPyConnection,
    engine: Engine,
    table: Table,
    extent: NewExtent,
    tags: Sequence[str],
    created: dt.datetime,
    ingested: dt.datetime,
) -> None:
    """Adds an extent and its rows within the caller's transaction."""
    number = engine.extent_numbers.take()
    tx.execute(f"INSERT INTO {table.storage} SELECT {number}, * FROM ({extent.select})")
    tx.execute(
        'INSERT INTO "$emulator".ext VALUES (?,?,?,?,?,?,?,?,?)',
        [
            number,
            extent.id,
            table.id,
            extent.row_count,
            extent.original_size,
            created,
            created,
            ingested,
            json.dumps(list(tags)),
        ],
    )
    for tag in dict.fromkeys(tags):
        tx.execute('INSERT INTO "$emulator".exttag VALUES (?,?,?)', [table.id, tag, number])


def any_tagged(tx: duckdb.DuckDBPyConnection, table: Table, values: Sequence[str]) -> str | None:
    """The first of the values of which an extent of the table bears ``ingest-by:value``.

    Several values mean 'any' here; the documentation doesn't say, and shows only one.
    """
    for value in values:
        found = tx.execute(
            'SELECT n FROM "$emulator".exttag WHERE tag = ? AND tbl = ? LIMIT 1',
            [f"ingest-by:{value}", table.id],
        ).fetchone()
        if found is not None:
            return value
    return None


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
            "SELECT e.tbl, e.id, e.max_created, e.original_size, e.row_count, e.min_created, "
            f'e.tags FROM "$emulator".ext e WHERE {" AND ".join(where)} ORDER BY e.n',
            parameters,
        ).fetchall()
    shown = []
    for number, ident, newest, size, count, oldest, tags in rows:
        database, name = names[number]
        text = "\n".join(json.loads(tags))
        shown.append(
            (
                *(ident, database, name, newest, size, size, size, 0.0, 1, 1, "", ""),
                *(str(NO_EXTENT), count, oldest, text, "StorageV3", "", 0),
            )
        )
    return Result(EXTENT_COLUMNS, shown)


def _condition(tag: TagFilter) -> str:
    # 'has' is a whole tag, 'contains' a part of one whatever its case.
    match = "t.tag = ?" if tag.operator == "has" else "contains(lower(t.tag), lower(?))"
    negation = "NOT " if tag.negated else ""
    return f'{negation}EXISTS (SELECT 1 FROM "$emulator".exttag t WHERE t.n = e.n AND {match})'


def drop(
    tx: duckdb.DuckDBPyConnection, table: Table, ids: Sequence[str] | None
) -> list[tuple[str, str, dt.datetime]]:
    """Drops extents of the table with their rows; ``ids`` None means all. What was dropped."""
    where, parameters = "tbl = ?", [table.id]
    if ids is not None:
        where += " AND id IN (SELECT unnest(?::UUID[]))"
        parameters.append(list(ids))  # type: ignore[arg-type]
    found = tx.execute(
        f'SELECT n, id::VARCHAR, max_created FROM "$emulator".ext WHERE {where} ORDER BY n',
        parameters,
    ).fetchall()
    numbers = [row[0] for row in found]
    for place in (table.storage, '"$emulator".exttag', '"$emulator".ext'):
        tx.execute(f"DELETE FROM {place} WHERE n IN (SELECT unnest(?::BIGINT[]))", [numbers])
    return [(ident, table.name, created) for _, ident, created in found]


def drop_tags(
    tx: duckdb.DuckDBPyConnection, table: Table, tags: Sequence[str]
) -> list[tuple[str, str, str, str]]:
    """Takes tags off the table's extents, which get new ids (documented: they are rewritten)."""
    found = tx.execute(
        'SELECT DISTINCT e.n, e.id::VARCHAR, e.tags FROM "$emulator".ext e '
        'JOIN "$emulator".exttag t ON t.n = e.n '
        "WHERE e.tbl = ? AND t.tag IN (SELECT unnest(?::VARCHAR[])) ORDER BY e.n",
        [table.id, list(tags)],
    ).fetchall()
    gone = set(tags)
    changed = []
    for number, ident, stored in found:
        kept = [tag for tag in json.loads(stored) if tag not in gone]
        new = str(uuid.uuid4())
        tx.execute(
            'UPDATE "$emulator".ext SET id = ?, tags = ? WHERE n = ?',
            [new, json.dumps(kept), number],
        )
        tx.execute(
            'DELETE FROM "$emulator".exttag WHERE n = ? AND tag IN (SELECT unnest(?::VARCHAR[]))',
            [number, list(tags)],
        )
        changed.append((ident, new, " ".join(kept), ""))
    return changed
