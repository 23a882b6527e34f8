"""Tables and their policies: made, widened, cleared, dropped; each in one transaction."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import duckdb

from .catalog import Catalog, DecimalWidth, Table, quote
from .commands import AlterPolicy, CreateTable
from .engine import Engine
from .errors import KustoError, bad_request
from .types import STORED_AS, Column

_POLICY_NAMES = {
    "retention": "RetentionPolicy",
    "extent_tags_retention": "ExtentTagsRetentionPolicy",
    "ingestionbatching": "IngestionBatchingPolicy",
    "merge": "ExtentsMergePolicy",
    "caching": "CachingPolicy",
    "update": "UpdatePolicy",
    "ingestiontime": "IngestionTimePolicy",
    "streamingingestion": "StreamingIngestionPolicy",
    "sharding": "ShardingPolicy",
    "partitioning": "PartitioningPolicy",
    "row_level_security": "RowLevelSecurityPolicy",
    "restricted_view_access": "RestrictedViewAccessPolicy",
    "roworder": "RowOrderPolicy",
    "auto_delete": "AutoDeletePolicy",
    "encoding": "EncodingPolicy",
}
_RETENTION_DEFAULTS = {"SoftDeletePeriod": "365000.00:00:00", "Recoverability": "Enabled"}
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def create(engine: Engine, database: str, command: CreateTable) -> Table:
    """Makes the table, or gives the one that is there; merging adds columns at the end.

    ``.create table`` on an existing table succeeds and changes nothing (documented).
    """
    with engine.write() as tx:
        catalog = engine.catalog
        known = catalog.tables.get((database, command.table))
        if known is not None and not command.merge:
            return known
        if known is None:
            table = _new(engine, tx, catalog, database, command)
        else:
            table = _merged(tx, catalog, known, command)
        for view in table.views():
            tx.execute(view)
        engine.publish(catalog.with_table(table))
    return table


def _new(
    engine: Engine,
    tx: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    database: str,
    command: CreateTable,
) -> Table:
    catalog.check_new(database, command.table, command.columns)
    if not command.columns:
        raise bad_request(f"table '{command.table}' needs at least one column")
    number = engine.table_numbers.take()
    widths = tuple(DecimalWidth() for _ in command.columns)
    table = Table(
        number,
        database,
        command.table,
        command.columns,
        widths,
        command.folder,
        command.docstring,
    )
    stored = ", ".join(f"c{i} {STORED_AS[c.type]}" for i, c in enumerate(command.columns))
    tx.execute(f"CREATE TABLE {table.storage} (n BIGINT, {stored})")
    tx.execute(
        'INSERT INTO "$emulator".tbl VALUES (?,?,?,?,?)',
        [number, database, command.table, command.folder, command.docstring],
    )
    _add_columns(tx, table, 0)
    return table


def _merged(
    tx: duckdb.DuckDBPyConnection, catalog: Catalog, known: Table, command: CreateTable
) -> Table:
    have = {c.name: c.type for c in known.columns}
    for column in command.columns:
        if have.get(column.name, column.type) != column.type:
            raise bad_request(
                f"column '{column.name}' of table '{known.name}' is {have[column.name]}, "
                f"not {column.type}: a merge can't change a type"
            )
    added = tuple(c for c in command.columns if c.name not in have)
    columns: tuple[Column, ...] = known.columns + added
    catalog.check_new(known.database, known.name, columns)
    table = Table(
        known.id,
        known.database,
        known.name,
        columns,
        known.widths + tuple(DecimalWidth() for _ in added),
        command.folder or known.folder,
        command.docstring or known.docstring,
    )
    for i, column in enumerate(added, start=len(known.columns)):
        default = " DEFAULT ''" if column.type == "string" else ""
        tx.execute(f"ALTER TABLE {known.storage} ADD COLUMN c{i} {STORED_AS[column.type]}{default}")
    _add_columns(tx, table, len(known.columns))
    return table


def _add_columns(tx: duckdb.DuckDBPyConnection, table: Table, first: int) -> None:
    for i, column in enumerate(table.columns[first:], start=first):
        tx.execute(
            'INSERT INTO "$emulator".col VALUES (?,?,?,?,0,0)',
            [table.id, i, column.name, column.type],
        )


def widen(engine: Engine, tx: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Writes down wider decimals and makes the views anew, in the caller's transaction."""
    for i, width in enumerate(table.widths):
        tx.execute(
            'UPDATE "$emulator".col SET digits = ?, scale = ? WHERE tbl = ? AND ordinal = ?',
            [width.digits, width.scale, table.id, i],
        )
    for view in table.views():
        tx.execute(view)
    engine.publish(engine.catalog.with_table(table))


def drop(engine: Engine, database: str, names: tuple[str, ...], if_exists: bool) -> None:
    """Drops tables with rows, extents, tags and policies. Raises KustoError if one is missing."""
    with engine.write() as tx:
        catalog = engine.catalog
        for name in names:
            table = catalog.tables.get((database, name))
            if table is None:
                if if_exists:
                    continue
                catalog.table(database, name)
                return
            tx.execute(f"DROP VIEW IF EXISTS {quote(database)}.{quote(name)}")
            tx.execute(f"DROP VIEW IF EXISTS {quote(database)}.{quote(name + '$x')}")
            tx.execute(f"DROP TABLE {table.storage}")
            for place in ("tbl WHERE id", "col WHERE tbl", "ext WHERE tbl", "exttag WHERE tbl"):
                tx.execute(f'DELETE FROM "$emulator".{place} = ?', [table.id])
            tx.execute(
                'DELETE FROM "$emulator".policy WHERE entity = ? AND db = ? AND name = ?',
                ["table", database, name],
            )
            catalog = catalog.without(table)
        engine.publish(catalog)


def policy(
    q: duckdb.DuckDBPyConnection, entity: str, database: str, name: str, kind: str
) -> str | None:
    """The policy's JSON as it was set on the entity itself; None where none is."""
    found = q.execute(
        'SELECT value FROM "$emulator".policy '
        "WHERE entity = ? AND db = ? AND name = ? AND policy = ?",
        [entity, database, name, kind],
    ).fetchone()
    return None if found is None else str(found[0])


def policy_row(
    entity: str, database: str, name: str, kind: str, value: str | None
) -> tuple[str, str, str, str, str]:
    """A row of ``.show ... policy``."""
    title = _POLICY_NAMES.get(kind, kind)
    full = f"[{database}]" if entity == "database" else f"[{database}].[{name}]"
    return (title, full, "null" if value is None else value, "", entity.capitalize())


def alter_policy(engine: Engine, database: str, command: AlterPolicy) -> str | None:
    """Sets, merges or deletes a policy; the new JSON. Raises KustoError where it can't be read."""
    name = database if command.entity == "database" else command.name
    with engine.write() as tx:
        value = None
        if command.value is not None:
            before = policy(tx, command.entity, database, name, command.policy)
            value = _policy_value(command, before)
        tx.execute(
            'DELETE FROM "$emulator".policy '
            "WHERE entity = ? AND db = ? AND name = ? AND policy = ?",
            [command.entity, database, name, command.policy],
        )
        if value is not None:
            tx.execute(
                'INSERT INTO "$emulator".policy VALUES (?,?,?,?,?)',
                [command.entity, database, name, command.policy, value],
            )
    return value


def _policy_value(command: AlterPolicy, before: str | None) -> str:
    try:
        given: Any = json.loads(command.value or "null")
    except ValueError as error:
        raise bad_request(f"policy '{command.policy}' is no JSON: {error}") from error
    if command.policy == "retention" and isinstance(given, dict):
        given = {**given, **_retention_settings(command)}
        if "SoftDeletePeriod" in given:
            given["SoftDeletePeriod"] = _clock_text(parse_period(str(given["SoftDeletePeriod"])))
        base = json.loads(before) if command.merge and before else _RETENTION_DEFAULTS
        given = {**base, **given}
    elif command.merge and before and isinstance(given, dict):
        given = {**json.loads(before), **given}
    return json.dumps(given)


def _retention_settings(command: AlterPolicy) -> dict[str, str]:
    settings: dict[str, str] = {}
    for key, value in command.settings.items():
        if key == "softdelete":
            settings["SoftDeletePeriod"] = value
        elif key == "recoverability":
            settings["Recoverability"] = value.capitalize()
        else:
            raise bad_request(f"retention policy has no setting '{key}'")
    return settings


def parse_period(text: str) -> dt.timedelta:
    """A timespan as policies write it: ``1.00:00:00``, ``02:00:00``, ``7d``. Raises KustoError."""
    short = re.fullmatch(r"(\d+)([dhms])", text)
    if short:
        return dt.timedelta(**{_UNITS[short.group(2)]: int(short.group(1))})
    full = re.fullmatch(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(?:\.\d+)?", text)
    if full:
        days, hours, minutes, seconds = (int(g or 0) for g in full.groups())
        return dt.timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    raise bad_request(f"'{text}' is no timespan")


def _clock_text(period: dt.timedelta) -> str:
    seconds = period.seconds
    days = f"{period.days}." if period.days else ""
    return f"{days}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def soft_delete(q: duckdb.DuckDBPyConnection, table: Table) -> dt.timedelta | None:
    """The soft-delete period in force (the table's, else the database's); None is forever."""
    value = policy(q, "table", table.database, table.name, "retention") or policy(
        q, "database", table.database, table.database, "retention"
    )
    return None if value is None else parse_period(json.loads(value)["SoftDeletePeriod"])


def feeds_an_update_policy(q: duckdb.DuckDBPyConnection, table: Table) -> bool:
    """Whether some table's update policy names this one as its source."""
    rows = q.execute(
        'SELECT value FROM "$emulator".policy WHERE db = ? AND policy = ?',
        [table.database, "update"],
    ).fetchall()
    try:
        return any(e.get("Source") == table.name for (v,) in rows for e in json.loads(v))
    except (AttributeError, TypeError) as error:
        raise KustoError("General_BadRequest", f"an update policy is malformed: {error}") from error
