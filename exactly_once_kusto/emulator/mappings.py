"""Ingestion mappings that have a name: created on a table or a database, referenced when ingesting.

Sources: https://learn.microsoft.com/kusto/management/create-ingestion-mapping-command,
create-or-alter-ingestion-mapping-command, alter-, show- and drop-ingestion-mapping-command.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import duckdb

from . import commands as c
from .catalog import Table
from .engine import Engine
from .errors import KustoError, not_found, syntax_error
from .faults import Rule
from .formats import BY_ORDINAL
from .mapping import elements
from .operations import Request
from .reader import Reader
from .types import Result, columns

# A mapping's kind, and what the service calls it in its results.
KINDS = {
    "csv": "CSV",
    "json": "JSON",
    "parquet": "Parquet",
    "avro": "AVRO",
    "orc": "ORC",
    "w3clogfile": "W3CLOGFILE",
}
BY_NAME = ("csv", "json", "parquet")
"""Kinds whose formats this emulator reads; the others can be kept and shown."""

Handler = Callable[[Any, Request, list[Rule]], Result]
MAPPINGS_MAX = 10_000
COLUMNS = columns("Name:string, Kind:string, Mapping:string, Database:string, Table:string")


@dataclass(frozen=True)
class PutMapping(c.Command):
    """``.create``, ``.create-or-alter`` and ``.alter`` ``table|database X ingestion K mapping``."""

    kind: ClassVar[str] = "put-mapping"
    entity: str
    name: str
    format: str
    mapping: str
    text: str
    verb: str

    @property
    def table(self) -> str | None:
        """The table that it is for; None for a whole database."""
        return self.name if self.entity == "table" else None


@dataclass(frozen=True)
class DropMapping(c.Command):
    """``.drop table|database X ingestion K mapping "M"``."""

    kind: ClassVar[str] = "drop-mapping"
    entity: str
    name: str
    format: str
    mapping: str

    @property
    def table(self) -> str | None:
        """The table that it is for; None for a whole database."""
        return self.name if self.entity == "table" else None


@dataclass(frozen=True)
class ShowMappings(c.Command):
    """``.show table|database X ingestion [K] mappings`` and ``... K mapping "M"``."""

    kind: ClassVar[str] = "mappings"
    entity: str
    name: str
    format: str | None = None
    mapping: str | None = None


def read_put(r: Reader, entity: str, name: str, verb: str) -> PutMapping:
    """The rest of a command after ``ingestion``. Raises KustoError."""
    form = r.need(*KINDS)
    r.need("mapping")
    # Adjacent literals are one literal elsewhere; here the first one is the name.
    return PutMapping(entity, name, form, r.lexer.literal(), r.string(), verb)


def read_drop(r: Reader, entity: str, name: str) -> DropMapping:
    """The rest of a command after ``ingestion``. Raises KustoError."""
    form = r.need(*KINDS)
    r.need("mapping")
    return DropMapping(entity, name, form, r.string())


def read_show(r: Reader, entity: str, name: str) -> ShowMappings:
    """The rest of a command after ``ingestion``. Raises KustoError."""
    form = None if r.ahead("mapping", "mappings") else r.need(*KINDS)
    if r.need("mapping", "mappings") == "mappings":
        return ShowMappings(entity, name, form)
    if form is None:
        raise syntax_error("the kind of the mapping is missing (csv, json, parquet, ...)")
    return ShowMappings(entity, name, form, r.string())


def put(engine: Engine, database: str, command: PutMapping) -> Result:
    """Creates or replaces a mapping, durably, and shows it.

    ``.create`` fails where one of that name and kind is there, ``.alter`` where none is. Whether it
    fits the table is looked at when it is used, not before.
    """
    text = _normal(command.text)
    with engine.write() as tx:
        owner, number = engine.catalog.entity(database, command.entity, command.name)
        known = _find(tx, owner, number, command.format, command.mapping)
        if known is not None and command.verb == "create":
            raise KustoError(
                "BadRequest_EntityAlreadyExists",
                f"ingestion mapping '{command.mapping}' of kind {KINDS[command.format]} already "
                f"exists on '{command.name}': use '.create-or-alter'",
            )
        if known is None and command.verb == "alter":
            raise not_found("IngestionMapping", command.mapping)
        _remove(tx, owner, number, command.format, command.mapping)
        counted = tx.execute('SELECT count(*) FROM "$emulator".mapping').fetchone()
        if counted and counted[0] >= MAPPINGS_MAX:
            raise KustoError("General_BadRequest", f"more than {MAPPINGS_MAX} mappings")
        tx.execute(
            'INSERT INTO "$emulator".mapping VALUES (?,?,?,?,?)',
            [owner, number, command.format, command.mapping, text],
        )
    table = command.name if number else ""
    return Result(COLUMNS, [(command.mapping, KINDS[command.format], text, owner, table)])


def drop(engine: Engine, database: str, command: DropMapping) -> Result:
    """Drops a mapping; what is left on the entity. Raises KustoError where there is none."""
    with engine.write() as tx:
        owner, number = engine.catalog.entity(database, command.entity, command.name)
        if _find(tx, owner, number, command.format, command.mapping) is None:
            raise not_found("IngestionMapping", command.mapping)
        _remove(tx, owner, number, command.format, command.mapping)
    return show(engine, database, ShowMappings(command.entity, command.name))


def show(engine: Engine, database: str, command: ShowMappings) -> Result:
    """The mappings of a table or database, by kind and name. Raises KustoError for a named one."""
    owner, number = engine.catalog.entity(database, command.entity, command.name)
    with engine.reader() as q:
        found = q.execute(
            'SELECT name, kind, text FROM "$emulator".mapping WHERE db = ? AND tbl = ? '
            "ORDER BY kind, name",
            [owner, number],
        ).fetchall()
    table = command.name if number else ""
    rows: list[tuple[object, ...]] = [
        (name, KINDS[kind], text, owner, table)
        for name, kind, text in found
        if command.format in (None, kind) and command.mapping in (None, name)
    ]
    if command.mapping is not None and not rows:
        raise not_found("IngestionMapping", command.mapping)
    return Result(COLUMNS, rows)


def handlers(engine: Engine) -> dict[type[c.Command], Handler]:
    """What carries out the commands of this module."""
    return {
        PutMapping: lambda command, request, _: put(engine, request.database, command),
        DropMapping: lambda command, request, _: drop(engine, request.database, command),
        ShowMappings: lambda command, request, _: show(engine, request.database, command),
    }


def resolved(
    q: duckdb.DuckDBPyConnection, table: Table, given: Mapping[str, str]
) -> Mapping[str, str]:
    """The properties of an ingestion with a mapping's reference replaced by the mapping.

    The table's mapping of that name comes before the database's. Raises KustoError
    (BadRequest_DuplicateMapping, BadRequest_MappingReferenceWasNotFound).
    """
    key = next((k for k in given if k.endswith("mappingreference")), None)
    if key is None:
        return given
    form = given.get("format", "csv").lower()
    kind = "csv" if form in BY_ORDINAL else form.removeprefix("multi")
    if given.get("ingestionmapping") or given.get(f"{kind}mapping"):
        raise KustoError(
            "BadRequest_DuplicateMapping",
            "ingestion properties include both ingestionMapping and ingestionMappingReference",
        )
    name = given[key]
    text = None
    if kind in BY_NAME:
        text = _find(q, table.database, table.id, kind, name)
        text = text or _find(q, table.database, 0, kind, name)
    if text is None:
        raise KustoError(
            "BadRequest_MappingReferenceWasNotFound",
            f"mapping reference '{name}' of kind {KINDS.get(kind, kind)} was not found on table "
            f"'{table.name}' or database '{table.database}'",
        )
    return {**{k: v for k, v in given.items() if k != key}, "ingestionmapping": text}


def _find(
    q: duckdb.DuckDBPyConnection, database: str, number: int, kind: str, name: str
) -> str | None:
    found = q.execute(
        'SELECT text FROM "$emulator".mapping WHERE db = ? AND tbl = ? AND kind = ? AND name = ?',
        [database, number, kind, name],
    ).fetchone()
    return None if found is None else str(found[0])


def _remove(
    tx: duckdb.DuckDBPyConnection, database: str, number: int, kind: str, name: str
) -> None:
    tx.execute(
        'DELETE FROM "$emulator".mapping WHERE db = ? AND tbl = ? AND kind = ? AND name = ?',
        [database, number, kind, name],
    )


def _normal(text: str) -> str:
    """The mapping as the service shows it: ``Properties``, ``column`` and ``datatype``."""
    shown = []
    for element in elements(text):
        known = {"properties", "column", "name", "datatype"}
        given = element.get("properties")
        if not isinstance(given, dict):  # an older form has them beside the column
            given = {k: v for k, v in element.items() if k not in known and v is not None}
        column = element.get("column") or element.get("name")
        shown.append(
            {"Properties": given, "column": column, "datatype": element.get("datatype") or ""}
        )
    return json.dumps(shown, separators=(",", ":"), ensure_ascii=False)
