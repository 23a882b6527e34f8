"""Queued ingestion: what the service's data management does with blobs that clients queue.

Blobs come from Azurite's queues and by REST, are kept until they have ended, batched, ingested,
tried again after transient failures, and reported on. Delivery is at least once: a blob whose
emulator was killed between its commit and the note of it is ingested again, and so is one whose
message the fault ``duplicate-message`` delivers twice. ``ingestIfNotExists`` is what helps.

Sources: https://learn.microsoft.com/kusto/management/batching-policy,
https://learn.microsoft.com/azure/data-explorer/ingest-data-overview (retries) and error-codes.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import queue
import random
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Protocol

from . import policies
from .batching import Batch, Batcher, Item
from .blob_size import raw_size
from .clock import Clock
from .engine import Engine
from .errors import KustoError, internal_error, throttled
from .faults import Faults
from .identity import IdentityTokens
from .loading import Ingestion
from .operations import SKIPPED as OPERATION_SKIPPED
from .operations import Request
from .principals import acting
from .queue_messages import (
    EXHAUSTED,
    FAILED,
    PERMANENT,
    SKIPPED,
    SUCCEEDED,
    Blob,
    End,
    told_again,
    unfit,
)
from .queue_reports import Reports
from .queue_store import QueueStore, Waiting
from .sources import SourceError, shown
from .types import Result

log = logging.getLogger(__name__)

INGESTING_MAX = 4
WAITING_MAX = 100_000
ATTEMPTS_MAX = 4
BACKOFF_S = (1.0, 60.0)
"""After the first failed attempt, and at most; doubled each time, drawn between half and all."""
PAUSE_S = 0.2
STOP_WAIT_S = 10.0


class Ingest(Protocol):
    """Carries out one ingest command. Raises KustoError, caused by a SourceError where it can."""

    def __call__(
        self, ingestion: Ingestion, request: Request, operation_id: uuid.UUID
    ) -> tuple[str, Result]:
        """The state in which the operation has ended, and its rows."""


@dataclass(frozen=True)
class _Try:
    """One attempt: what it is called in the journal and in reports."""

    operation_id: uuid.UUID = field(default_factory=uuid.uuid4)
    activity_id: str = field(default_factory=lambda: str(uuid.uuid4()))


_NEVER_TRIED = uuid.UUID(int=0)


class QueuedIngestion:
    """Takes blobs in, and sees each to its end on threads of its own. Safe for several threads."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        faults: Faults,
        ingest: Ingest,
        tokens: IdentityTokens,
    ) -> None:
        self.reports = Reports()
        self._engine = engine
        self._clock = clock
        self._faults = faults
        self._ingest = ingest
        self._tokens = tokens
        self.store = QueueStore(engine, clock.now())
        self._arrivals: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._batcher = Batcher()
        self._retries: list[tuple[dt.datetime, Batch]] = []
        self._again: set[int] = set()
        self._canceled: set[int] = set()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._jitter = random.Random()
        self._pool = ThreadPoolExecutor(INGESTING_MAX, "queued-ingest")
        self._under_way: dict[Future[None], int] = {}
        self._loop = threading.Thread(target=self._run, name="queued-ingestion", daemon=True)

    def start(self) -> None:
        """Takes up what an earlier run left, and goes on with what comes."""
        for each in self.store.waiting():
            self._arrivals.put(each)
        self._clock.on_turn(self._wake.set)
        self._loop.start()

    def stop(self) -> None:
        """Begins nothing more; what hasn't ended is taken up by the next run. Idempotent."""
        self._stopping.set()
        self._wake.set()

    def close(self) -> None:
        """Waits (bounded) for what is being ingested."""
        self.stop()
        if self._loop.ident is not None:
            self._loop.join(STOP_WAIT_S)
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            begun = list(self._under_way)
        wait_for(begun, STOP_WAIT_S)

    def accept(self, blobs: Sequence[Blob], text: str) -> None:
        """Takes blobs in: on disk when this returns. Raises KustoError (throttled) when too many.

        ``text`` is what the fault ``duplicate-message`` may look into.
        """
        if len(blobs) + self.waiting() > WAITING_MAX:
            raise throttled(f"{WAITING_MAX} blobs are waiting", "DataIngestPull")
        fired = self._faults.take("queued-blob", text)
        again = any(rule.do == "duplicate-message" for rule in fired)
        for each in self.store.add([(blob, again) for blob in blobs], self._clock.now()):
            self._arrivals.put(each)
        self._wake.set()

    def cancel(self, operation: str) -> None:
        """Cancels what of a tracked request has not ended; what is being ingested may go in."""
        numbers = self.store.cancel(operation, self._clock.now())
        with self._lock:
            self._canceled.update(set(numbers) - self._batcher.drop(numbers))

    def waiting(self) -> int:
        """How many blobs have not ended: they wait for their batch, or are being ingested."""
        with self._lock:
            again = sum(len(batch.items) for _, batch in self._retries)
            begun = sum(self._under_way.values())
            return self._arrivals.qsize() + self._batcher.waiting() + again + begun

    # --- the loop ---------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.reports.flush()
                for announced in self.reports.messages():
                    self.accept((announced.blob,), announced.text)
                    announced.done()
                for batch in chain(self._taken(), self._due()):
                    self._submit(batch)
            except KustoError as error:
                log.warning("queued ingestion pauses: %s", error.message)
            except Exception:
                log.exception("queued ingestion stumbled; it goes on")
            self._wake.wait(PAUSE_S)
            self._wake.clear()

    def _submit(self, batch: Batch) -> None:
        with self._lock:
            future = self._pool.submit(self._carry_out, batch)
            self._under_way[future] = len(batch.items)
        future.add_done_callback(self._ended_with)

    def _ended_with(self, future: Future[None]) -> None:
        with self._lock:
            self._under_way.pop(future, None)

    def _taken(self) -> Iterator[Batch]:
        """Puts what has arrived into batches; those that were sealed by it."""
        while not self._stopping.is_set():
            try:
                arrival = self._arrivals.get_nowait()
            except queue.Empty:
                return
            try:
                batch = self._placed(arrival)
            except Exception:
                self._arrivals.put(arrival)  # nothing else has it now
                raise
            if batch is not None:
                yield batch

    def _placed(self, arrival: Waiting) -> Batch | None:
        """Puts a blob into its batch; the batch, if that sealed it."""
        error = unfit(arrival.blob)
        item = Item(arrival.number, arrival.blob, None)
        if arrival.again:
            self._again.add(arrival.number)
        if error is not None:
            self._fail([item], error, _Try(_NEVER_TRIED), PERMANENT)
            return None
        item = replace(item, size=arrival.blob.raw_size or raw_size(arrival.blob.url))
        policy = self._policy(arrival.blob)
        with self._lock:
            if arrival.number in self._canceled:
                self._canceled.discard(arrival.number)
                return None
            return self._batcher.add(item, arrival.arrived, policy)

    def _due(self) -> list[Batch]:
        now = self._clock.now()
        with self._lock:
            over = [batch for at, batch in self._retries if at <= now]
            self._retries = [(at, batch) for at, batch in self._retries if at > now]
            return [*over, *self._batcher.due(now)]

    def _policy(self, blob: Blob) -> policies.Batching:
        catalog = self._engine.catalog
        try:
            table = catalog.table(catalog.database(blob.database), blob.table)
        except KustoError:
            return policies.Batching(period=dt.timedelta(0))  # fails, at once
        with self._engine.reader() as q:
            return policies.batching(q, table)

    # --- one batch --------------------------------------------------------------------------

    def _carry_out(self, batch: Batch) -> None:
        left = batch
        try:
            left = replace(batch, items=tuple(self._single(batch)))
            while left.items and not self._stopping.is_set():
                left = replace(left, items=tuple(self._attempt(left)))
        except Exception as error:
            if not self._stopping.is_set():
                log.exception("a batch failed for no reason of its own")
                self._again_later(left, internal_error(type(error).__name__), _Try())

    def _single(self, batch: Batch) -> list[Item]:
        """The batch without canceled blobs, and without a blob that is in it twice."""
        first: dict[str, Item] = {}
        with self._lock:
            items = [item for item in batch.items if item.number not in self._canceled]
            self._canceled.difference_update(item.number for item in batch.items)
        for item in items:
            path = shown(item.blob.url)
            if path not in first:
                first[path] = item
                continue
            error = KustoError(
                "BlobAlreadyReceived_BlobAlreadyFoundInBatch",
                f"blob '{path}' is in this batch already; one copy of it is used",
            )
            self._fail([item], error, _Try(_NEVER_TRIED), PERMANENT)
        return list(first.values())

    def _attempt(self, batch: Batch) -> list[Item]:
        """One ingest command for the batch; what is left to be tried at once."""
        blob = batch.items[0].blob
        this = _Try()
        try:
            database = self._target(blob)
            acting.set(None if blob.token is None else self._tokens.read(blob.token))
            sources = tuple(item.blob.url for item in batch.items)
            ingestion = Ingestion(database, blob.table, sources, blob.properties)
            text = _command(blob, len(sources))
            request = Request(database, text, "", this.activity_id, "Kusto.DM")
            state, result = self._ingest(ingestion, request, this.operation_id)
        except KustoError as error:
            if self._stopping.is_set():
                return []  # nothing was committed; the next run takes it up
            if error.code == "Forbidden":
                error = KustoError("BadRequest_TableAccessDenied", error.message)
            return self._failed(batch, error, this)
        finally:
            acting.set(None)
        self._succeeded(batch, state, result, this)
        return []

    def _target(self, blob: Blob) -> str:
        """The database, as it is spelled, if it and the table exist. Raises KustoError."""
        catalog = self._engine.catalog
        code = "BadRequest_DatabaseNotExist"
        try:
            database = catalog.database(blob.database)
            code = "BadRequest_TableNotExist"
            catalog.table(database, blob.table)
        except KustoError as error:
            raise KustoError(code, error.message) from error
        return database

    def _succeeded(self, batch: Batch, state: str, result: Result, this: _Try) -> None:
        status = SKIPPED if state == OPERATION_SKIPPED else SUCCEEDED
        bad = {row[1] for row in result.rows if row[3]}
        good = [item for item in batch.items if shown(item.blob.url) not in bad]
        end = End(status, self._clock.now(), this.operation_id, this.activity_id)
        self._ended([(item, end) for item in good])
        left = tuple(item for item in batch.items if shown(item.blob.url) in bad)
        if left:
            error = internal_error("the command left this source out")
            self._again_later(replace(batch, items=left), error, this)

    def _failed(self, batch: Batch, error: KustoError, this: _Try) -> list[Item]:
        """Ends what the error is about, or puts it off; the rest is left to be tried at once."""
        cause = error.__cause__
        source = cause.source if isinstance(cause, SourceError) else None
        about = [i for i in batch.items if source is not None and shown(i.blob.url) == source]
        about = about or list(batch.items)
        if error.permanent:
            self._fail(about, error, this, PERMANENT)
        else:
            self._again_later(replace(batch, items=tuple(about)), error, this)
        return [item for item in batch.items if item not in about]

    def _again_later(self, batch: Batch, error: KustoError, this: _Try) -> None:
        attempts = batch.attempts + 1
        if attempts >= ATTEMPTS_MAX:
            told = KustoError(
                "General_RetryAttemptsExceeded",
                f"{attempts} attempts failed, the last with {error.code}: {error.message}",
            )
            self._fail(batch.items, told, this, EXHAUSTED)
            return
        first, most = BACKOFF_S
        seconds = min(first * 2**batch.attempts, most) * self._jitter.uniform(0.5, 1.0)
        with self._lock:
            at = self._clock.now() + dt.timedelta(seconds=seconds)
            self._retries.append((at, replace(batch, attempts=attempts)))

    def _fail(self, items: Sequence[Item], error: KustoError, this: _Try, kind: str) -> None:
        now = self._clock.now()
        ids = (this.operation_id, this.activity_id)
        end = End(FAILED, now, *ids, error.code, kind, error.message)
        self._ended([(item, end) for item in items])

    def _ended(self, ends: Sequence[tuple[Item, End]]) -> None:
        """Notes the ends, tells who wants to know, and delivers again what a fault wants so."""
        self.store.ended([(item.number, end) for item, end in ends])
        with self._lock:
            self._canceled.difference_update(item.number for item, _ in ends)
        for item, end in ends:
            self.reports.tell(item.blob, end, shown(item.blob.url))
            if item.number in self._again:
                self._again.discard(item.number)
                told = told_again(item.blob)
                for each in self.store.add([(told, False)], self._clock.now()):
                    self._arrivals.put(each)
                self._wake.set()
            elif end.status == SUCCEEDED and not item.blob.retain:
                self.reports.delete(item.blob.url)


def _command(blob: Blob, count: int) -> str:
    """The command as the journal may show it."""
    table = blob.table.replace("'", "\\'")
    listed = ", ".join(f"{k}={json.dumps(v)}" for k, v in blob.properties.items())
    return f".ingest async into table ['{table}'] ({count} blobs) with ({listed})"
