"""The log's lane: one job at a time, read to the end, think, create if absent, or think again.

It folds what it reads and notices a later `start`: the run is fenced and stops. It knows nothing
of what the entries mean to the coordinator, which decides and is told.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from exactly_once_kusto.errors import ExactlyOnceError, FencedError, StorageUnavailableError
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol import jobs
from exactly_once_kusto.protocol.backoff import full_jitter
from exactly_once_kusto.protocol.entries import Entry, Start
from exactly_once_kusto.protocol.ledger import Ledger

WAKE = "log"
RETRY_FIRST_S, RETRY_MAX_S = 0.1, 10.0


class Thinker(Protocol):
    """Who decides what a job appends, and is told when its entry stands."""

    def decide(self, job: jobs.Job, moment: ev.Moment) -> Entry | ExactlyOnceError | None:
        """Return the entry to append now, None for 'nothing (more)', or why the run must stop."""

    def settled(self, job: jobs.Job, moment: ev.Moment) -> list[ev.Action]:
        """The job's entry stands, or there was none to append."""


@dataclass(slots=True)
class LogLane:
    """Serialises jobs on the log. `own_start` is the number of this run's `start`, if it stands."""

    name: str
    ledger: Ledger
    thinker: Thinker
    wait_s: float
    """How long the log may be away before the run stops; checkpoints wait meanwhile."""
    own_start: int | None = None
    queue: deque[jobs.Job] = field(default_factory=deque)
    current: jobs.Job | None = None
    pending: ev.ReadLog | ev.Append | None = None
    tries: int = 0
    away_since: float = 0.0

    def add(self, job: jobs.Job, moment: ev.Moment) -> list[ev.Action]:
        """Queue a job; it starts at once where the lane is free."""
        self.queue.append(job)
        return self._next(moment)

    def handle(self, event: ev.Event, moment: ev.Moment) -> list[ev.Action]:
        """Take a reply of the log, or the wake-up after a back-off."""
        match event, self.pending:
            case ev.Woken(), pending if pending is not None:
                return [pending]
            case ev.LogUnavailable(message), _:
                return self._again(message, moment)
            case ev.LogRead(entries), ev.ReadLog():
                return self._read(entries, moment)
            case ev.Appended(), ev.Append(number, entry):
                return self._appended(number, entry, moment)
            case ev.NumberTaken(), ev.Append():
                return self._ask(ev.ReadLog(self.ledger.position))
        raise ValueError(f"{event!r} does not answer {self.pending!r}")

    def _next(self, moment: ev.Moment) -> list[ev.Action]:
        if self.current is not None or not self.queue:
            return []
        self.current = self.queue.popleft()
        if isinstance(self.current, jobs.READS_FIRST):
            return self._ask(ev.ReadLog(self.ledger.position))
        return self._think(moment)

    def _ask(self, action: ev.ReadLog | ev.Append) -> list[ev.Action]:
        self.pending, self.tries = action, 0
        return [action]

    def _think(self, moment: ev.Moment) -> list[ev.Action]:
        assert self.current is not None
        answer = self.thinker.decide(self.current, moment)
        if isinstance(answer, ExactlyOnceError):
            return [ev.Stop(answer)]
        if answer is not None:
            return self._ask(ev.Append(self.ledger.position + 1, answer))
        job, self.current, self.pending = self.current, None, None
        actions = self.thinker.settled(job, moment)
        return actions if _stops(actions) else actions + self._next(moment)

    def _read(self, entries: tuple[tuple[int, Entry], ...], moment: ev.Moment) -> list[ev.Action]:
        for number, entry in entries:
            self.ledger.apply(number, entry)
            if self.own_start is not None and isinstance(entry, Start):
                return [ev.Stop(self._fenced(entry))]
        return self._think(moment)

    def _appended(self, number: int, entry: Entry, moment: ev.Moment) -> list[ev.Action]:
        self.ledger.apply(number, entry)
        if isinstance(entry, Start):
            self.own_start = number
        return self._think(moment)

    def _again(self, message: str, moment: ev.Moment) -> list[ev.Action]:
        if self.tries == 0:
            self.away_since = moment.now
        self.tries += 1
        away_s = moment.now - self.away_since
        if away_s >= self.wait_s:
            told = f"ledger of sink '{self.name}' was away for {away_s:.0f} s: {message}"
            return [ev.Stop(StorageUnavailableError(told))]
        delay = full_jitter(self.tries, RETRY_FIRST_S, RETRY_MAX_S, moment.jitter)
        said: list[ev.Action] = []
        if self.tries & (self.tries - 1) == 0:  # the first time, and then more and more rarely
            text = f"ledger of sink '{self.name}': {message}; tried again for {self.wait_s:.0f} s"
            said = [ev.Say("WARNING", f"{text}, checkpoints and commits wait")]
        return [*said, ev.Wake(WAKE, delay)]

    def _fenced(self, start: Start) -> FencedError:
        return FencedError(
            f"sink '{self.name}' was taken over by job {start.job} on host {start.host}, started "
            f"at {start.time:.0f}; this run stops before it snapshots or commits again"
        )


def _stops(actions: list[ev.Action]) -> bool:
    return any(isinstance(action, ev.Stop) for action in actions)
