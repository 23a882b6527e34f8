"""Tables: made, widened, dropped; each in one transaction."""

from __future__ import annotations

import duckdb

from .catalog import Catalog, DecimalWidth, Table, quote
from .commands import CreateTable
from .engine import Engine
from .errors import bad_request
from .types import STORED_AS, Column


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
            tx.execute('DELETE FROM "$emulator".tbl WHERE id = ?', [table.id])
            for place in ("col", "ext", "exttag", "mapping", "principal"):
                tx.execute(f'DELETE FROM "$emulator".{place} WHERE tbl = ?', [table.id])
            tx.execute(
                'DELETE FROM "$emulator".policy WHERE entity = ? AND db = ? AND name = ?',
                ["table", database, name],
            )
            catalog = catalog.without(table)
        engine.publish(catalog)
