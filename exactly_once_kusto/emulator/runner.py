"""Operations on their way: at once, or in the background after their id was given back.

Source: https://learn.microsoft.com/kusto/management/show-operations (states) and
cancel-operation-command.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from .clock import Clock
from .commands import Command
from .course import CanceledError, Course, ended
from .engine import Engine
from .errors import KustoError, internal_error, throttled
from .faults import Faults, Rule
from .operations import FAILED, IN_PROGRESS, SCHEDULED, Journal, Operation, Request
from .types import Column, Result, columns

log = logging.getLogger(__name__)

PENDING_MAX = 1000
STOP_WAIT_S = 10.0
OPERATION_COLUMNS = (Column("OperationId", "guid"),)
CANCELED_COLUMNS = columns(
    "OperationId:guid, Operation:string, StartedOn:datetime, CancellationState:string, "
    "ReasonPhrase:string"
)


class Failing(Protocol):
    """Journals how an operation ended that never began, durably."""

    def __call__(self, operation: Operation, error: KustoError, state: str) -> None:
        """Called once."""


@dataclass(frozen=True)
class Work:
    """What an operation does; ``do`` journals its own end, ``fail`` is for where it isn't done."""

    do: Callable[[Operation, Course], Result]
    fail: Failing
    cancelable: bool = False


@dataclass(frozen=True)
class _Running:
    operation: Operation
    course: Course
    thread: threading.Thread
    cancelable: bool


class Runner:
    """Runs operations; safe to call from several threads."""

    def __init__(self, engine: Engine, journal: Journal, clock: Clock, faults: Faults) -> None:
        self._engine = engine
        self._journal = journal
        self._clock = clock
        self._faults = faults
        self._pending: dict[uuid.UUID, _Running] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def operation(
        self, command: type[Command], table: str, request: Request, fired: Sequence[Rule]
    ) -> Operation:
        """A new operation, with what faults say of its records."""
        late = {rule.do: rule.seconds for rule in fired}
        return Operation(
            uuid.uuid4(),
            command.operation,
            table,
            self._clock.now(),
            request,
            late.get("late-record", 0.0),
            late.get("late-end", 0.0),
        )

    def run(
        self, work: Work, operation: Operation, fired: Sequence[Rule], asynchronous: bool
    ) -> Result:
        """The result; or, asynchronously, the operation's id once a restart would know it too."""
        course = Course(self._faults, fired, self._stopping.is_set)
        if not asynchronous:
            return self._carry_out(work, operation, course)
        with self._lock:
            if len(self._pending) >= PENDING_MAX:
                raise throttled(f"{PENDING_MAX} operations are waiting")
        state = SCHEDULED if course.rule("schedule") else IN_PROGRESS
        with self._engine.write() as tx:
            self._journal.record(tx, operation, state, operation.started)
        course.crash("accepted")
        thread = threading.Thread(
            target=self._in_background,
            args=(work, operation, course),
            name=f"operation-{operation.id}",
            daemon=True,
        )
        with self._lock:
            self._pending[operation.id] = _Running(operation, course, thread, work.cancelable)
        thread.start()
        return Result(OPERATION_COLUMNS, [(operation.id,)])

    def cancel(self, ident: str, reason: str) -> Result:
        """Cancels an ingestion from a query that runs; a row that says whether it was."""
        with self._lock:
            running = self._pending.get(uuid.UUID(ident))
        if running is None:
            row: tuple[Any, ...] = (ident, "", None, "Cancel failed", "no such operation runs")
        elif not running.cancelable:
            why = "only ingestions from queries can be canceled"
            row = (ident, running.operation.kind, running.operation.started, "Cancel failed", why)
        else:
            done = running.course.cancel(reason or "canceled by the user")
            state = "Canceled successfully" if done else "Cancel failed"
            why = reason if done else "it is past the point of no return"
            row = (ident, running.operation.kind, running.operation.started, state, why)
        return Result(CANCELED_COLUMNS, [(uuid.UUID(ident), *row[1:])])

    def stop(self) -> None:
        """Starts nothing more: what a fault still delays stays InProgress, to be abandoned."""
        self._stopping.set()
        self._faults.clear()

    def close(self) -> None:
        """Waits (bounded) for operations that are running."""
        until = time.monotonic() + STOP_WAIT_S
        with self._lock:
            threads = [running.thread for running in self._pending.values()]
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _in_background(self, work: Work, operation: Operation, course: Course) -> None:
        try:
            if course.rule("schedule"):
                self._delay("schedule", work, operation, course)
                with self._engine.write() as tx:
                    self._journal.record(tx, operation, IN_PROGRESS, self._clock.now())
            self._carry_out(work, operation, course)
        except KustoError as error:
            log.info("operation %s failed: %s", operation.id, error.code)
        except Exception:
            log.exception("operation %s: its end couldn't be written down", operation.id)
        finally:
            with self._lock:
                self._pending.pop(operation.id, None)

    def _carry_out(self, work: Work, operation: Operation, course: Course) -> Result:
        self._delay("delay-apply", work, operation, course)
        for action, state in (("end", None), ("fail", FAILED)):
            rule = course.rule(action)
            if rule is not None:
                given = state or rule.state
                told = ended(replace(rule, state=given))
                work.fail(operation, told, given)
                raise told
        try:
            return work.do(operation, course)
        except KustoError:
            raise
        except Exception as error:
            log.exception("operation %s failed unexpectedly", operation.id)
            unexpected = internal_error(f"{type(error).__name__}: {error}")
            # Or whoever waits for its end would wait for ever.
            if self._journal.state(operation.id) in ("", IN_PROGRESS, SCHEDULED):
                work.fail(operation, unexpected, FAILED)
            raise unexpected from error

    def _delay(self, action: str, work: Work, operation: Operation, course: Course) -> None:
        try:
            course.delay(action)
        except CanceledError as error:
            work.fail(operation, error, FAILED)
            raise
