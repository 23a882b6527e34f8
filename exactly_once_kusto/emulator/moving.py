"""``.move extents`` and ``.replace extents``: all extents or none, in the caller's transaction.

Sources: https://learn.microsoft.com/kusto/management/move-extents and replace-extents. They don't
say whether tags and creation times survive; the example of replace-extents leans on tags, so here
both do.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from . import extents, tables
from .catalog import DecimalWidth, Table
from .engine import Engine
from .errors import bad_request
from .extent_commands import Span
from .extents import Extent
from .types import columns

MOVED_COLUMNS = columns("OriginalExtentId:string, ResultExtentId:string, Details:string")
FAILED = "Failed"
"""What stands for the new id where a move failed."""

Rows = list[tuple[object, ...]]


@dataclass(frozen=True)
class Choice:
    """Extents of one table: those with the ids, or all (None)."""

    table: Table
    ids: Sequence[str] | None


class GoneError(Exception):
    """Extents that were to be moved or dropped aren't where they should be."""

    def __init__(self, missing: Sequence[str], table: Table) -> None:
        super().__init__(
            f"extent(s) {', '.join(missing)} aren't in table '{table.name}' any more "
            "(dropped, moved or merged), or outside of the given creation times"
        )


def choose(tx: duckdb.DuckDBPyConnection, choice: Choice, span: Span) -> list[Extent]:
    """The chosen extents. Raises GoneError unless each is there."""
    found = extents.find(tx, choice.table, choice.ids, span)
    if choice.ids is not None:
        there = {extent.id for extent in found}
        missing = [ident for ident in dict.fromkeys(choice.ids) if ident not in there]
        if missing:
            raise GoneError(missing, choice.table)
    return found


def move(
    tx: duckdb.DuckDBPyConnection,
    engine: Engine,
    moves: Sequence[Choice],
    target: Table,
    span: Span,
    ingested: dt.datetime | None = None,
    keep_tags: bool = True,
) -> Rows:
    """Moves the extents into the target; a row for each.

    ``ingested`` is the new time of ingestion, None keeps those of the rows. Raises KustoError
    where a column of a source has no equal in the target, GoneError where an extent isn't there.
    """
    widths = list(target.widths)
    chosen: list[tuple[Table, list[Extent]]] = []
    for choice in moves:
        places = _places(choice.table, target)
        for mine, place in enumerate(places):
            if place is not None:
                theirs = choice.table.widths[place]
                widths[mine] = DecimalWidth(
                    max(widths[mine].digits, theirs.digits), max(widths[mine].scale, theirs.scale)
                )
        chosen.append((choice.table, choose(tx, choice, span)))
    wider = target.widened(tuple(widths))
    if wider != target:
        tables.widen(engine, tx, wider)
    rows: Rows = []
    for source, found in chosen:
        _carry(tx, source, target, found, ingested)
        for extent in found:
            new = str(uuid.uuid4())
            extents.rename(tx, target, [extent], new, extent.tags if keep_tags else ())
            rows.append((extent.id, new, ""))
    return rows


def _carry(
    tx: duckdb.DuckDBPyConnection,
    source: Table,
    target: Table,
    found: Sequence[Extent],
    ingested: dt.datetime | None,
) -> None:
    numbers = [piece for extent in found for piece in extent.pieces]
    values = ", ".join(
        ("''" if column.type == "string" else "NULL") if place is None else f"c{place}"
        for column, place in zip(target.columns, _places(source, target), strict=True)
    )
    within = "WHERE n IN (SELECT unnest(?::BIGINT[]))"
    tx.execute(
        f"INSERT INTO {target.storage} SELECT n, {values} FROM {source.storage} {within}", [numbers]
    )
    tx.execute(f"DELETE FROM {source.storage} {within}", [numbers])
    if ingested is not None:
        tx.execute(f'UPDATE "$emulator".ext SET ingested = ? {within}', [ingested, numbers])


def _places(source: Table, target: Table) -> list[int | None]:
    """For each column of the target, the number of the source's; None where it has none."""
    if source.id == target.id:
        raise bad_request(f"extents of table '{source.name}' can't be moved into itself")
    numbers = {column.name: i for i, column in enumerate(source.columns)}
    theirs = {column.name: column.type for column in target.columns}
    for column in source.columns:
        if theirs.get(column.name) != column.type:
            raise bad_request(
                f"column '{column.name}' ({column.type}) of table '{source.name}' doesn't exist "
                f"in table '{target.name}' with the same name and type"
            )
    return [numbers.get(column.name) for column in target.columns]
