"""What goes into the target, one transaction after the other: check it, group, commit, go on.

Asks the backlog for nothing: the coordinator says what is due. Knows no checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol import jobs
from exactly_once_kusto.protocol.backlog import Backlog
from exactly_once_kusto.protocol.backoff import full_jitter
from exactly_once_kusto.protocol.commit import WAKE as COMMIT_WAKE
from exactly_once_kusto.protocol.commit import Commit, Step
from exactly_once_kusto.protocol.grouping import choose_group
from exactly_once_kusto.protocol.identity import transaction_id
from exactly_once_kusto.protocol.ledger import Ledger
from exactly_once_kusto.protocol.log_lane import LogLane
from exactly_once_kusto.protocol.outcome import Transaction
from exactly_once_kusto.protocol.ports import Settings
from exactly_once_kusto.protocol.slices import Slice

CHECK_WAKE, HOLD_WAKE = "check", "hold"


@dataclass(slots=True)
class Committing:
    """The target's lane: one check or one transaction under way."""

    name: str
    settings: Settings
    ledger: Ledger
    backlog: Backlog
    lane: LogLane
    commit: Commit | None = None
    target_known: bool = False
    checking: bool = False
    """A preflight is under way, or waits for its back-off."""
    check_failures: int = 0
    holding: bool = False
    """Due slices are held back until there are more of them, or they are older."""
    committed: int = 0
    """Transactions that this run has seen committed."""
    _hold_wakes: int = field(default=0, repr=False)

    @property
    def busy(self) -> bool:
        """Whether something is under way; nothing else can begin."""
        return self.commit is not None or self.checking

    @property
    def failing(self) -> bool:
        """Whether waiting for a commit is no use now: the target does not answer, or refuses."""
        return (self.commit is not None and self.commit.failing) or self.check_failures > 0

    def begin(self, due: Sequence[Slice], moment: ev.Moment, *, hold: bool) -> list[ev.Action]:
        """Begin with the oldest of the slices that are due; `hold`: they may be held back."""
        self.holding = False
        if not self.target_known:
            self.checking = True
            return [ev.CheckTarget()]
        begun = (self.ledger.transaction_of(piece.id) for piece in due)
        known = next((each for each in begun if each is not None), None)
        if known is not None:
            said = f"transaction {known.transaction.id} was begun before: looking for its rows"
            self.commit = Commit(known.transaction, self.settings, known)
            return [ev.Say("INFO", said), *self._route(self.commit.begin(), moment)]
        group, wait_s = choose_group(due, self.ledger, self.settings, moment.now, hold=hold)
        if not group:
            return self._hold(wait_s)
        transaction = Transaction(transaction_id(self.name, moment.nonce), group)
        self.commit = Commit(transaction, self.settings)
        return self._route(self.commit.begin(), moment)

    def checked(self, event: ev.Checked, moment: ev.Moment, *, ready: bool) -> list[ev.Action]:
        """The preflight has answered. Before the run is `ready` it is not repeated."""
        self.checking = False
        if event.error is not None and event.known:
            return [ev.Stop(event.error)]
        self.target_known = event.error is None
        if event.error is None:
            self.check_failures = 0
            return []
        delay = full_jitter(
            self.check_failures,
            self.settings.backoff_first_s,
            self.settings.backoff_max_s,
            moment.jitter,
        )
        self.check_failures += 1
        said = ev.Say("WARNING", f"the target can't be checked now: {event.error}")
        if not ready:
            return [said]
        self.checking = True
        return [said, ev.Wake(CHECK_WAKE, delay)]

    def woken(self, key: str, moment: ev.Moment) -> list[ev.Action]:
        """A time that was asked for has passed."""
        if key == CHECK_WAKE:
            self.checking = False
        elif key == HOLD_WAKE:
            self._hold_wakes -= 1
        elif self.commit is not None:
            minting = key == f"{COMMIT_WAKE}-mint"
            steps = self.commit.mint_again() if minting else self.commit.resume()
            return self._route(steps, moment)
        return []

    def replied(self, event: ev.Event, moment: ev.Moment) -> list[ev.Action]:
        """The target has answered the transaction's question."""
        commit = self.commit
        if commit is None:
            raise ValueError(f"{event!r} answers nothing")
        match event:
            case ev.Minted():
                steps = commit.minted(event)
            case ev.Submitted(submission):
                steps = commit.submitted(submission, moment)
            case ev.Polled(status):
                steps = commit.polled(status, moment)
            case ev.Looked(sighting):
                steps = commit.looked(sighting, self.ledger, moment)
            case ev.TargetFailed(message):
                steps = commit.unreachable(message, moment)
            case _:
                raise ValueError(f"{event!r} is no reply of the target")
        return self._route(steps, moment)

    def settled(self, job: jobs.Job, moment: ev.Moment) -> list[ev.Action]:
        """The entry of one of the transaction's jobs stands in the log."""
        assert self.commit is not None
        match job:
            case jobs.Intend(transaction, attempt, _):
                known = self.ledger.transactions.get(transaction.id)
                if known is None or known.committed or len(known.attempts) != attempt:
                    self.commit = None  # the log has moved on: begin again with what is due
                    return []
                return self._route(self.commit.intended(known), moment)
            case jobs.Name():
                return self._route(self.commit.named(), moment)
            case jobs.Conclude(transaction, rows, _):
                return self._concluded(transaction, rows)
            case _:
                raise ValueError(f"{job!r} is no job of a transaction")

    def _concluded(self, transaction: Transaction, rows: int) -> list[ev.Action]:
        self.backlog.forget(frozenset(piece.id for piece in transaction.slices))
        self.commit = None
        self.committed += 1
        checkpoints = ", ".join(str(piece.checkpoint) for piece in transaction.slices[:20])
        text = f"transaction {transaction.id} committed: {rows} rows of checkpoints {checkpoints}"
        return [ev.Say("INFO", text), ev.Delete(transaction.parts), *self.backlog.brake()]

    def _hold(self, wait_s: float) -> list[ev.Action]:
        """Wait until the oldest slice is old enough; a snapshot may make the group large enough."""
        self.holding = True
        if self._hold_wakes:
            return []
        self._hold_wakes += 1
        return [ev.Wake(HOLD_WAKE, wait_s)]

    def _route(self, steps: list[Step], moment: ev.Moment) -> list[ev.Action]:
        """Send jobs to the log's lane; everything else is for the driver."""
        actions: list[ev.Action] = []
        for step in steps:
            if isinstance(step, jobs.Intend | jobs.Name | jobs.Conclude):
                actions += self.lane.add(step, moment)
            else:
                assert not isinstance(step, jobs.Job)
                actions.append(step)
        return actions
