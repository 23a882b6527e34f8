"""Earlier wordings of the protocol, each with a rule less: what the counterexamples refute.

A wording is put in the place of today's method for one test. Each is one that a careful person
could have written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from exactly_once_kusto.errors import ExactlyOnceError, FencedError
from exactly_once_kusto.kusto import evidence, ingest
from exactly_once_kusto.protocol import commit as committing
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol import jobs, opening
from exactly_once_kusto.protocol.admission import Admission
from exactly_once_kusto.protocol.commit import Commit, Step
from exactly_once_kusto.protocol.coordinator import Coordinator
from exactly_once_kusto.protocol.entries import Entry, Intent, RewindAccepted, Start
from exactly_once_kusto.protocol.judging import Verdict
from exactly_once_kusto.protocol.ledger import Attempt, Known, Ledger
from exactly_once_kusto.protocol.log_lane import LogLane
from exactly_once_kusto.protocol.opening import Newcomer
from exactly_once_kusto.protocol.outcome import (
    Failed,
    Lost,
    OperationStatus,
    Running,
    Sighting,
    Submission,
)

Wording = Callable[[pytest.MonkeyPatch], None]

# ---- one transaction


def what_is_not_seen_running_is_closed(patch: pytest.MonkeyPatch) -> None:
    """An attempt whose operation isn't known is closed when nothing runs, whatever its access."""

    def close(
        self: Commit, still_open: list[Attempt], sighting: Sighting, moment: ev.Moment
    ) -> list[Step]:
        if sighting.busy:
            return self._pause(self.settings.poll_max_s)
        for attempt in still_open:
            self.ended[attempt.number] = Failed("no trace of it", permanent=False)
            self.blind.add(attempt.number)
        return self._examine()

    patch.setattr(Commit, "_close", close)


def count_first_then_close(patch: pytest.MonkeyPatch) -> None:
    """A look counts if the attempts are closed when its answer is heard, not when it began."""
    close = Commit._close

    def close_and_go_on(
        self: Commit, still_open: list[Attempt], sighting: Sighting, moment: ev.Moment
    ) -> list[Step]:
        steps = close(self, still_open, sighting, moment)
        closed = all(attempt.number in self.ended for attempt in still_open)
        return self._none_found(sighting, moment) if closed else steps

    patch.setattr(Commit, "_close", close_and_go_on)


def expired_access_closes(patch: pytest.MonkeyPatch) -> None:
    """An attempt is closed when its access has expired, whatever still runs."""
    patch.setattr(evidence, "is_busy", lambda *_: False)


def no_settle_time(patch: pytest.MonkeyPatch) -> None:
    """An attempt is closed as soon as its access has expired and nothing is seen running."""

    def settled_at(self: Commit, attempt: Attempt) -> float:
        return attempt.expires_at or attempt.time

    patch.setattr(Commit, "_settled_at", settled_at)


def client_retries(patch: pytest.MonkeyPatch) -> None:
    """A request without an answer is sent once more, as HTTP clients do for all others."""
    submit = ingest.submit

    def submit_twice(*given: Any) -> Submission:
        answer = submit(*given)
        return submit(*given) if isinstance(answer, Lost) else answer

    patch.setattr(ingest, "submit", submit_twice)


def no_intent(patch: pytest.MonkeyPatch) -> None:
    """A transaction is known in memory only, until it is committed."""
    decide = Coordinator.decide

    def remember(
        self: Coordinator, job: jobs.Job, moment: ev.Moment
    ) -> Entry | ExactlyOnceError | None:
        entry = decide(self, job, moment)
        if isinstance(entry, Intent):
            self.ledger._intend(self.ledger.position, entry)
            return None
        return entry

    patch.setattr(Coordinator, "decide", remember)


def known_operation_is_not_awaited(patch: pytest.MonkeyPatch) -> None:
    """The operation of an earlier run that has not ended is taken for one that came to nothing."""
    polled = Commit.polled

    def polled_once(self: Commit, status: OperationStatus, moment: ev.Moment) -> list[Step]:
        attempt = self._to_poll()
        if isinstance(status, Running) and attempt and attempt.number not in self.own:
            status = Failed("it did not end in the time of its run", permanent=False)
        return polled(self, status, moment)

    patch.setattr(Commit, "polled", polled_once)


def tag_is_completeness(patch: pytest.MonkeyPatch) -> None:
    """Where extents bear the tag, all rows are in."""

    def any_extent(transaction: str, rows: int, extents: Any, known: object) -> Verdict:
        return Verdict.ALL if tuple(extents) else Verdict.NONE

    patch.setattr(committing, "judge", any_extent)


def end_of_operation_is_success(patch: pytest.MonkeyPatch) -> None:
    """When the operation has ended the parts are deleted, and `committed` is appended."""
    polled = Commit.polled

    def polled_to_the_end(self: Commit, status: OperationStatus, moment: ev.Moment) -> list[Step]:
        steps = polled(self, status, moment)
        if not self.ended:
            return steps
        done = self._conclude(Sighting((), busy=False))
        return [ev.Delete(self.transaction.parts), *done]

    patch.setattr(Commit, "polled", polled_to_the_end)


def evidence_never_expires(patch: pytest.MonkeyPatch) -> None:
    """No rows under the tag means no rows, however long ago the first attempt was."""
    patch.setattr(evidence, "kept", lambda *_: None)


# ---- who may run, and from where


def fenced_for_good(patch: pytest.MonkeyPatch) -> None:
    """A fenced job is never restarted."""
    patch.setattr(FencedError, "restartable", False)


def no_state_is_a_fresh_start(patch: pytest.MonkeyPatch) -> None:
    """Every start without state mints a lineage, also a failover before the first checkpoint."""

    def lineage_of(newcomer: Newcomer, ledger: Ledger, fresh: str) -> str:
        return fresh if newcomer.state is None else newcomer.state.lineage

    patch.setattr(opening, "lineage_of", lineage_of)


def guard_on_numbers(patch: pytest.MonkeyPatch) -> None:
    """A rewind is an intent of the lineage with a checkpoint number above the restored one."""

    def rewound(newcomer: Newcomer, ledger: Ledger, lineage: str) -> list[Known]:
        return [each for each in _above(newcomer, ledger) if each.lineage == lineage]

    patch.setattr(opening, "rewound", rewound)


def guard_on_numbers_of_any_lineage(patch: pytest.MonkeyPatch) -> None:
    """A rewind is any intent under the name with a checkpoint number above the restored one."""

    def rewound(newcomer: Newcomer, ledger: Ledger, lineage: str) -> list[Known]:
        return _above(newcomer, ledger)

    patch.setattr(opening, "rewound", rewound)


def acceptance_begins_a_lineage(patch: pytest.MonkeyPatch) -> None:
    """An accepted rewind does not raise the guard's floor: the job goes on in a new lineage."""
    decide = Admission.decide

    def decide_anew(
        self: Admission, moment: ev.Moment
    ) -> Start | RewindAccepted | ExactlyOnceError:
        self.ledger._accepted.clear()
        answer = decide(self, moment)
        if isinstance(answer, Start) and self.ledger._acceptance is not None:
            self.lineage = self.run
            return replace(answer, lineage=self.run)
        return answer

    patch.setattr(Admission, "decide", decide_anew)


def lineages_fence_apart(patch: pytest.MonkeyPatch) -> None:
    """An accepted rewind begins a new lineage, and a `start` fences runs of its own lineage."""
    acceptance_begins_a_lineage(patch)
    read = LogLane._read

    def read_own(
        self: LogLane, entries: tuple[tuple[int, Entry], ...], moment: ev.Moment
    ) -> list[ev.Action]:
        own, lineage = self.own_start, getattr(self.thinker, "door").lineage  # noqa: B009
        starts = [each for _, each in entries if isinstance(each, Start)]
        if any(each.lineage == lineage for each in starts):
            return read(self, entries, moment)
        self.own_start = None
        try:
            return read(self, entries, moment)
        finally:
            self.own_start = own

    patch.setattr(LogLane, "_read", read_own)


def fenced_when_it_appends(patch: pytest.MonkeyPatch) -> None:
    """A run notices a later `start` when it wants to append something, not when it reads it."""

    def read(
        self: LogLane, entries: tuple[tuple[int, Entry], ...], moment: ev.Moment
    ) -> list[ev.Action]:
        for number, entry in entries:
            self.ledger.apply(number, entry)
        actions, own = self._think(moment), self.own_start
        later = self.ledger.last_start
        appends = any(isinstance(action, ev.Append) for action in actions)
        if own is not None and later is not None and later[0] > own and appends:
            return [ev.Stop(self._fenced(later[1]))]
        return actions

    patch.setattr(LogLane, "_read", read)


def nobody_is_fenced(patch: pytest.MonkeyPatch) -> None:
    """A later `start` stops nobody."""

    def read(
        self: LogLane, entries: tuple[tuple[int, Entry], ...], moment: ev.Moment
    ) -> list[ev.Action]:
        for number, entry in entries:
            self.ledger.apply(number, entry)
        return self._think(moment)

    patch.setattr(LogLane, "_read", read)


def guard_counts_retries(patch: pytest.MonkeyPatch) -> None:
    """The guard looks at all intents behind the floor, not only at a transaction's first."""
    intend = Ledger._intend

    def intend_again(self: Ledger, number: int, entry: Intent) -> None:
        intend(self, number, entry)
        self.transactions[entry.transaction].first = number

    patch.setattr(Ledger, "_intend", intend_again)


def start_before_the_check(patch: pytest.MonkeyPatch) -> None:
    """`start` is appended first; who then finds a rewind stops."""
    decide, begun = Admission.decide, Coordinator._begun

    def start_first(
        self: Admission, moment: ev.Moment
    ) -> Start | RewindAccepted | ExactlyOnceError:
        with pytest.MonkeyPatch.context() as meanwhile:
            meanwhile.setattr(opening, "rewound", lambda *_: [])
            return decide(self, moment)

    def check_then(self: Coordinator, moment: ev.Moment) -> list[ev.Action]:
        answer = decide(self.door, moment)
        return [ev.Stop(answer)] if isinstance(answer, ExactlyOnceError) else begun(self, moment)

    patch.setattr(Admission, "decide", start_first)
    patch.setattr(Coordinator, "_begun", check_then)


def acceptance_frees_slices(patch: pytest.MonkeyPatch) -> None:
    """What was not found when a rewind was accepted is given up; its slices are grouped anew."""
    apply = Ledger.apply

    def apply_and_free(self: Ledger, number: int, entry: Entry) -> None:
        accepted = self._acceptance is not None and isinstance(entry, Start)
        apply(self, number, entry)
        if accepted:
            for piece, identity in list(self.adopted.items()):
                if self.transactions[identity].committed is None:
                    del self.adopted[piece]

    patch.setattr(Ledger, "apply", apply_and_free)


def _above(newcomer: Newcomer, ledger: Ledger) -> list[Known]:
    if newcomer.restored is None:
        return []
    return [
        known
        for known in ledger.transactions.values()
        if any(
            piece.checkpoint > newcomer.restored and piece.id not in newcomer.held
            for piece in known.transaction.slices
        )
    ]
