"""Upkeep: what the service does by itself to tables, on the emulator's clock.

Soft-deletes what is older than the retention policy says, drops the tags that the extent tags
retention policy names, and, where wanted, merges extents. It runs after every turn of the clock,
in the background every few seconds, and when asked. The service promises no moment for any of
these, only that nothing goes early.

Sources: https://learn.microsoft.com/kusto/management/retention-policy,
extent-tags-retention-policy, extents-overview ("the creation time of the newest extent within the
merged extent") and merge-policy.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from . import extents, merging, policies
from .catalog import Table
from .clock import Clock, before
from .engine import Engine
from .extents import Extent
from .operations import COMPLETED, Journal, Operation, Request
from .types import Result

log = logging.getLogger(__name__)

PAUSE_S = 10.0
STOP_WAIT_S = 10.0
DATA_MANAGEMENT = "Kusto.Azure.DM.Svc"


@dataclass
class Done:
    """How many extents were dropped, how many lost tags, how many merges were made."""

    dropped: int = 0
    untagged: int = 0
    merged: int = 0


class Upkeep:
    """Carries out retention, and merges where wanted; safe to use from several threads.

    Attributes:
        retention: whether retention policies are carried out in the background (True).
        merging: whether extents are merged in the background (False).
    """

    def __init__(self, engine: Engine, journal: Journal, clock: Clock) -> None:
        self.retention = True
        self.merging = False
        self._engine = engine
        self._journal = journal
        self._clock = clock
        self._one = threading.Lock()
        self._pause_s = PAUSE_S
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._loop, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begins to work in the background, and at every turn of the clock."""
        self._clock.on_turn(self.after_turn)
        self._thread.start()

    def stop(self) -> None:
        """Ends the background work; waits (bounded) for what is under way."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._clock.off_turn(self.after_turn)
            self._thread.join(STOP_WAIT_S)

    def set(
        self,
        retention: bool | None = None,
        merging: bool | None = None,
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """Says what is done in the background and how often, then does it; the settings."""
        if seconds is not None and not 0.01 <= seconds <= 3600:
            raise ValueError("'seconds' must be between 0.01 and 3600")
        with self._changed:
            self.retention = self.retention if retention is None else retention
            self.merging = self.merging if merging is None else merging
            self._pause_s = self._pause_s if seconds is None else seconds
            self._changed.notify_all()
        return self.settings()

    def settings(self) -> dict[str, Any]:
        """What is done in the background, and the pause between two rounds."""
        return {"retention": self.retention, "merging": self.merging, "seconds": self._pause_s}

    def run(self, retention: bool = True, merging: bool = True) -> Done:
        """Does what is due now, all of it; what it did."""
        done = Done()
        with self._one:
            now = self._clock.now()
            if retention:
                self._journal.prune(now)
            for table in list(self._engine.catalog.tables.values()):
                if retention:
                    self._retain(table, now, done)
                if merging:
                    self._merge(table, now, done)
        if any(asdict(done).values()):
            log.info("upkeep: %s", done)
        return done

    def after_turn(self) -> None:
        """What the background does, at once."""
        self.run(self.retention, self.merging)

    def _loop(self) -> None:
        while True:
            with self._changed:
                if not self._stopped:
                    self._changed.wait(self._pause_s)
                if self._stopped:
                    return
            try:
                self.after_turn()
            except Exception:  # whatever it is, the next round must come
                log.exception("upkeep failed, and will be tried again")

    def _retain(self, table: Table, now: dt.datetime, done: Done) -> None:
        with self._engine.reader() as q:
            period = policies.soft_delete(q, table)
            rules = policies.tag_rules(q, table)
        if period is not None:
            done.dropped += self._drop_old(table, before(now, period))
        for rule in rules:
            done.untagged += self._untag(table, rule.prefix, before(now, rule.period))

    def _drop_old(self, table: Table, limit: dt.datetime) -> int:
        if not self._any(table, limit):
            return 0
        with self._engine.write() as tx:
            if not self._is_current(table):
                return 0
            old = extents.find(tx, table, older_than=limit)
            extents.drop(tx, table, old)
        return len(old)

    def _untag(self, table: Table, prefix: str, limit: dt.datetime) -> int:
        if not self._any(table, limit, prefix):
            return 0
        with self._engine.write() as tx:
            if not self._is_current(table):
                return 0
            changed = 0
            for extent in extents.find(tx, table, older_than=limit):
                kept = [tag for tag in extent.tags if not tag.startswith(prefix)]
                if len(kept) < len(extent.tags):
                    extents.retag(tx, table, extent, kept)
                    changed += 1
        return changed

    def _merge(self, table: Table, now: dt.datetime, done: Done) -> None:
        with self._engine.reader() as q:
            policy = policies.merging(q, table)
            if not merging.candidates(extents.find(q, table), policy, now):
                return
        with self._engine.write() as tx:
            if not self._is_current(table):
                return
            # Chosen again under the lock: a command may have come between.
            for kind, run in merging.candidates(extents.find(tx, table), policy, now):
                new = merging.merge(tx, table, run)
                self._record(tx, table, kind, run, new, now)
                done.merged += 1

    def _record(
        self,
        tx: duckdb.DuckDBPyConnection,
        table: Table,
        kind: str,
        run: Sequence[Extent],
        new: str,
        now: dt.datetime,
    ) -> None:
        text = f".merge async {table.name} ({', '.join(extent.id for extent in run)})"
        activity = str(uuid.uuid4())
        request = Request(table.database, text, "", activity, DATA_MANAGEMENT)
        operation = Operation(uuid.uuid4(), kind, table.name, now, request)
        rows: list[tuple[Any, ...]] = [(extent.id, new, dt.timedelta(0)) for extent in run]
        self._journal.keep_result(tx, operation, Result(merging.MERGED_COLUMNS, rows))
        self._journal.record(tx, operation, COMPLETED, now)

    def _any(self, table: Table, limit: dt.datetime, prefix: str | None = None) -> bool:
        """Whether the writer lock need be taken at all."""
        where, parameters = "e.tbl = ? AND e.max_created < ?", [table.id, limit]
        if prefix is not None:
            where += (
                ' AND EXISTS (SELECT 1 FROM "$emulator".exttag t '
                "WHERE t.n = e.n AND starts_with(t.tag, ?))"
            )
            parameters.append(prefix)
        with self._engine.reader() as q:
            found = q.execute(
                f'SELECT 1 FROM "$emulator".ext e WHERE {where} LIMIT 1', parameters
            ).fetchone()
        return found is not None

    def _is_current(self, table: Table) -> bool:
        return self._engine.catalog.tables.get((table.database, table.name)) == table
