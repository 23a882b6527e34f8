"""DuckDB as the store: one file, one writer at a time, readers on cursors of their own."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from .catalog import Catalog, DecimalWidth, Table, quote
from .errors import internal_error
from .layout import FORMAT, MACROS, TABLES
from .types import Column

# The catalog's name in DuckDB is the file's stem; '$' keeps it apart from any Kusto database.
FILE = "emulator$state.duckdb"
WRITER_WAIT_S = 60.0
MEMORY_MAX = "4GB"  # DuckDB spills to disk beyond it
RESERVED = ("system", "temp", "information_schema", "pg_catalog", "main")


class Engine:
    """The open store.

    What ``write`` commits is on disk when it returns (DuckDB syncs its journal at COMMIT), and
    after any exception inside it nothing of it is.
    """

    def __init__(self, directory: Path, databases: Sequence[str], threads: int = 2) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for name in databases:
            if name.lower() in RESERVED or name.startswith("$") or not name:
                raise ValueError(f"'{name}' can't be a database of the emulator: choose another")
        try:
            self._root = duckdb.connect(
                str(directory / FILE), config={"threads": threads, "memory_limit": MEMORY_MAX}
            )
        except duckdb.IOException as error:
            raise RuntimeError(
                f"can't open the emulator's data in {directory}: {error}; "
                "is another emulator running on it?"
            ) from error
        self._root.execute("SET GLOBAL TimeZone='UTC'")
        self._lock = threading.Lock()
        self._writer = self.cursor()
        self._closed = False
        self._published: Catalog | None = None
        self.policies_as_of = object()
        """Another one whenever a policy has changed; see ``policies.SoftDelete``."""
        self.catalog = Catalog((), {})
        self._prepare(databases)
        self.catalog = self._load()
        self.extent_numbers = _Numbers(self._writer, "ext", "n")
        self.sequence = _Numbers(self._writer, "operation", "seq")
        self.table_numbers = _Numbers(self._writer, "tbl", "id")

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own onto the store: sees what is committed. Close it after use."""
        return self._root.cursor()

    @contextmanager
    def reader(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for reading, closed at the end."""
        cursor = self.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    @contextmanager
    def write(
        self, connection: duckdb.DuckDBPyConnection | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """The writer lock and a transaction, committed at the end and rolled back after a failure.

        Pass the connection that holds the rows to append (temporary tables are visible to their
        own connection only).
        """
        if not self._lock.acquire(timeout=WRITER_WAIT_S):
            raise internal_error(f"the writer lock was not free within {WRITER_WAIT_S:g} s")
        try:
            chosen = connection or self._writer
            self._published = None
            chosen.execute("BEGIN TRANSACTION")
            try:
                yield chosen
                chosen.execute("COMMIT")
                self.catalog = self._published or self.catalog
            except BaseException:
                # Never COMMIT here: on an aborted transaction DuckDB's COMMIT returns normally
                # and commits nothing.
                _rollback(chosen)
                raise
        finally:
            self._lock.release()

    def publish(self, catalog: Catalog) -> None:
        """Within ``write``: the catalog that holds once the transaction is committed."""
        self._published = catalog

    def turned(self) -> dt.timedelta:
        """How far the clock was turned when the last run ended."""
        with self.reader() as q:
            found = q.execute('SELECT microseconds FROM "$emulator".turned').fetchone()
        return dt.timedelta(microseconds=found[0] if found else 0)

    def keep_turned(self, offset: dt.timedelta) -> None:
        """Writes down how far the clock is turned."""
        with self.write() as tx:
            tx.execute('DELETE FROM "$emulator".turned')
            microseconds = offset // dt.timedelta(microseconds=1)
            tx.execute('INSERT INTO "$emulator".turned VALUES (?)', [microseconds])

    def close(self) -> None:
        """Waits for the writer, writes the journal into the file and closes. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._writer.close()
            self._root.close()

    def _prepare(self, databases: Sequence[str]) -> None:
        self._writer.execute(TABLES)
        self._writer.execute(MACROS)
        with self.write() as tx:
            found = tx.execute('SELECT version FROM "$emulator".format').fetchone()
            if found is None:
                tx.execute('INSERT INTO "$emulator".format VALUES (?)', [FORMAT])
            elif found[0] != FORMAT:
                raise RuntimeError(
                    f"the emulator's data has format {found[0]}, this version reads {FORMAT}: "
                    "use a new data directory"
                )
            rows = tx.execute('SELECT name FROM "$emulator".database').fetchall()
            known = {row[0].lower() for row in rows}
            for name in databases:
                if name.lower() not in known:
                    tx.execute('INSERT INTO "$emulator".database VALUES (?)', [name])
                    tx.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(name)}")
                    known.add(name.lower())

    def _load(self) -> Catalog:
        q = self._writer.execute
        databases = tuple(r[0] for r in q('SELECT name FROM "$emulator".database').fetchall())
        columns: dict[int, list[tuple[Column, DecimalWidth]]] = {}
        rows = q('SELECT tbl, name, type, digits, scale FROM "$emulator".col ORDER BY tbl, ordinal')
        for number, name, scalar, digits, scale in rows.fetchall():
            columns.setdefault(number, []).append(
                (Column(name, scalar), DecimalWidth(digits, scale))
            )
        tables = {}
        rows = q('SELECT id, db, name, folder, docstring FROM "$emulator".tbl')
        for number, database, name, folder, docstring in rows.fetchall():
            pairs = columns[number]
            tables[database, name] = Table(
                number,
                database,
                name,
                tuple(p[0] for p in pairs),
                tuple(p[1] for p in pairs),
                folder,
                docstring,
            )
        return Catalog(databases, tables)


class _Numbers:
    """Numbers that only grow while the engine is open; take them under the writer lock."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: str, column: str) -> None:
        found: Any = connection.execute(f'SELECT max({column}) FROM "$emulator".{table}').fetchone()
        self._last: int = found[0] or 0

    def take(self) -> int:
        """The next number."""
        self._last += 1
        return self._last


def _rollback(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.execute("ROLLBACK")
    except duckdb.Error:
        # Nothing was open: COMMIT had failed and ended the transaction itself.
        return
