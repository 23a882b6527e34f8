"""Result tables that only list what exists.

Sources: https://learn.microsoft.com/kusto/management/show-tables-command, show-databases,
show-table-schema-command and the pages of each policy.
"""

from __future__ import annotations

import importlib.metadata
import json
import uuid
from collections.abc import Sequence

from .catalog import Table
from .types import NET_NAMES, Result, columns

TABLE_COLUMNS = columns("TableName:string, DatabaseName:string, Folder:string, DocString:string")
SCHEMA_COLUMNS = columns(
    "TableName:string, Schema:string, DatabaseName:string, Folder:string, DocString:string"
)
DATABASE_COLUMNS = columns(
    "DatabaseName:string, PersistentStorage:string, Version:string, IsCurrent:bool, "
    "DatabaseAccessMode:string, PrettyName:string, DatabaseId:guid, InTransitionTo:string, "
    "SuspensionState:string"
)
POLICY_COLUMNS = columns(
    "PolicyName:string, EntityName:string, Policy:string, ChildEntities:string, EntityType:string"
)
VERSION_COLUMNS = columns(
    "BuildVersion:string, BuildTime:datetime, ServiceType:string, ProductVersion:string"
)
DROPPED_TABLE_COLUMNS = columns("TableName:string, DatabaseName:string")


def databases(names: Sequence[str], current: str) -> Result:
    """The result of ``.show databases``."""
    return Result(
        DATABASE_COLUMNS,
        [
            (
                *(name, "", "v1.0", name == current, "ReadWrite", ""),
                *(uuid.uuid5(uuid.NAMESPACE_URL, name), "", ""),
            )
            for name in names
        ],
    )


def schema_row(table: Table, as_json: bool) -> tuple[str, str, str, str, str]:
    """A row of ``.show table T cslschema`` or ``schema as json``."""
    text = table.cslschema
    if as_json:
        text = json.dumps(
            {
                "Name": table.name,
                "OrderedColumns": [
                    {"Name": x.name, "Type": NET_NAMES[x.type], "CslType": x.type}
                    for x in table.columns
                ],
            }
        )
    return (table.name, text, table.database, table.folder, table.docstring)


def version() -> Result:
    """The result of ``.show version``."""
    duckdb = importlib.metadata.version("duckdb")
    row = (f"duckdb {duckdb}", None, "Emulator", "exactly-once-kusto emulator")
    return Result(VERSION_COLUMNS, [row])
