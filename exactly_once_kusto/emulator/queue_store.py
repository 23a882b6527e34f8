"""Blobs that wait for their queued ingestion, and what became of those that a request tracks.

A blob is on disk before its request is acknowledged or its message deleted. While it waits, its
URL is kept with whatever access is in it; once it has ended, only what may be shown of it is.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from .engine import Engine
from .queue_messages import CANCELED, IN_PROGRESS, Blob, End, restored
from .sources import shown

KEPT = dt.timedelta(days=14)  # as long as `.show operations` remembers
_TABLE = """
CREATE TABLE IF NOT EXISTS "$emulator".queued (
    seq BIGINT, operation VARCHAR, source VARCHAR, db VARCHAR, tbl VARCHAR, path VARCHAR,
    message VARCHAR, again BOOLEAN, arrived TIMESTAMP, updated TIMESTAMP, state VARCHAR,
    code VARCHAR, failure VARCHAR, details VARCHAR);
"""


@dataclass(frozen=True)
class Waiting:
    """A blob that has not ended; ``again``: it is to be delivered once more when it has."""

    number: int
    blob: Blob
    arrived: dt.datetime
    again: bool


@dataclass(frozen=True)
class Tracked:
    """What is known of one blob of a tracked request."""

    operation: str
    source: str
    database: str
    table: str
    path: str
    arrived: dt.datetime
    updated: dt.datetime
    state: str
    code: str
    failure: str
    details: str


class QueueStore:
    """Every method is one transaction."""

    def __init__(self, engine: Engine, now: dt.datetime) -> None:
        self._engine = engine
        self._numbering = threading.Lock()
        with engine.write() as tx:
            tx.execute(_TABLE)
            tx.execute(
                'DELETE FROM "$emulator".queued WHERE state <> ? AND updated < ?',
                [IN_PROGRESS, now - KEPT],
            )
            last = tx.execute('SELECT max(seq) FROM "$emulator".queued').fetchone()
        self._last: int = (last and last[0]) or 0

    def add(self, blobs: Sequence[tuple[Blob, bool]], now: dt.datetime) -> list[Waiting]:
        """Takes blobs in, each with whether it is to come again."""
        with self._numbering:
            first = self._last + 1
            self._last += len(blobs)
        taken = [Waiting(first + i, blob, now, again) for i, (blob, again) in enumerate(blobs)]
        with self._engine.write() as tx:
            for each in taken:
                b = each.blob
                tx.execute(
                    'INSERT INTO "$emulator".queued VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)',
                    [
                        *(each.number, b.operation, b.id, b.database, b.table, shown(b.url)),
                        *(b.document(), each.again, now, now, IN_PROGRESS, "", "", ""),
                    ],
                )
        return taken

    def waiting(self) -> list[Waiting]:
        """The blobs that have not ended, oldest first."""
        with self._engine.reader() as q:
            rows = q.execute(
                'SELECT seq, message, arrived, again FROM "$emulator".queued '
                "WHERE state = ? ORDER BY seq",
                [IN_PROGRESS],
            ).fetchall()
        return [Waiting(n, restored(message), at, again) for n, message, at, again in rows]

    def ended(self, ends: Sequence[tuple[int, End]]) -> None:
        """Writes down how blobs ended; what nobody tracks is forgotten."""
        with self._engine.write() as tx:
            for number, end in ends:
                tx.execute(
                    'UPDATE "$emulator".queued SET message = NULL, state = ?, updated = ?, '
                    "code = ?, failure = ?, details = ? WHERE seq = ?",
                    [end.status, end.at, end.code, end.failure, end.details, number],
                )
            tx.execute(
                "DELETE FROM \"$emulator\".queued WHERE operation = '' AND state <> ?",
                [IN_PROGRESS],
            )

    def cancel(self, operation: str, now: dt.datetime) -> list[int]:
        """Ends what waits of a request as canceled; its numbers."""
        with self._engine.write() as tx:
            rows = tx.execute(
                'UPDATE "$emulator".queued SET message = NULL, state = ?, updated = ? '
                "WHERE operation = ? AND state = ? RETURNING seq",
                [CANCELED, now, operation, IN_PROGRESS],
            ).fetchall()
        return [number for (number,) in rows]

    @staticmethod
    def places(q: duckdb.DuckDBPyConnection, operations: Sequence[str]) -> list[tuple[str, str]]:
        """The databases and tables that tracked requests go to; none of an unknown one."""
        return q.execute(
            'SELECT DISTINCT db, tbl FROM "$emulator".queued '
            "WHERE operation <> '' AND operation IN (SELECT unnest(?::VARCHAR[]))",
            [list(operations)],
        ).fetchall()

    def tracked(self, operation: str) -> list[Tracked]:
        """The blobs of a request, in its order; none where the id is unknown."""
        if not operation:
            return []
        with self._engine.reader() as q:
            rows = q.execute(
                "SELECT operation, source, db, tbl, path, arrived, updated, state, code, "
                'failure, details FROM "$emulator".queued WHERE operation = ? ORDER BY seq',
                [operation],
            ).fetchall()
        return [Tracked(*row) for row in rows]
