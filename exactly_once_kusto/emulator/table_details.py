"""``.show table details``: how many extents and rows, how large, and the policies in force.

Source: https://learn.microsoft.com/kusto/management/show-table-details-command
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from . import commands as c
from . import policies
from .catalog import Table
from .engine import Engine
from .faults import Rule
from .operations import Request
from .types import Result, columns

DETAIL_COLUMNS = columns(
    "TableName:string, DatabaseName:string, Folder:string, DocString:string, TotalExtents:long, "
    "TotalExtentSize:real, TotalOriginalSize:real, TotalRowCount:long, HotExtents:long, "
    "HotExtentSize:real, HotOriginalSize:real, HotRowCount:long, AuthorizedPrincipals:string, "
    "RetentionPolicy:string, CachingPolicy:string, ShardingPolicy:string, MergePolicy:string, "
    "StreamingIngestionPolicy:string, IngestionBatchingPolicy:string, "
    "MinExtentsCreationTime:datetime, MaxExtentsCreationTime:datetime, RowOrderPolicy:string, "
    "TableId:string"
)


def handlers(
    engine: Engine,
) -> dict[type[c.Command], Callable[[Any, Request, list[Rule]], Result]]:
    """The handler of ``.show table details``; never older than what is committed."""

    def show(command: c.ShowTableDetails, request: Request, _: list[Rule]) -> Result:
        catalog = engine.catalog
        if command.names:
            found = [catalog.table(request.database, name) for name in command.names]
        else:
            found = catalog.of(request.database)
        return Result(DETAIL_COLUMNS, [_row(engine, table) for table in found])

    return {c.ShowTableDetails: show}


def _row(engine: Engine, table: Table) -> tuple[Any, ...]:
    with engine.reader() as q:
        found = q.execute(
            "SELECT count(DISTINCT id), coalesce(sum(original_size), 0), "
            "coalesce(sum(row_count), 0)::BIGINT, min(min_created), max(max_created) "
            'FROM "$emulator".ext WHERE tbl = ?',
            [table.id],
        ).fetchone()
        assert found is not None
        extents, size, rows, oldest, newest = found

        def policy(kind: str) -> str:
            return json.dumps(policies.effective(q, table, kind))

        totals = (extents, size, size, rows)  # all of it is hot
        return (
            *(table.name, table.database, table.folder, table.docstring, *totals, *totals, "[]"),
            *(policy("retention"), policy("caching"), policy("sharding"), policy("merge")),
            *(policy("streamingingestion"), policy("ingestionbatching"), oldest, newest),
            *(policy("roworder"), str(uuid.uuid5(uuid.NAMESPACE_OID, str(table.id)))),
        )
