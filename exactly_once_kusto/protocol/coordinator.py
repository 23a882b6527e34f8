"""The coordinator: a state machine at parallelism 1. Events in, actions out; it waits for nothing.

    Opened ─▶ survey the log ─▶ preflight ─▶ append `start` ─▶ Ready
    PartArrived, SnapshotAsked ─▶ look for a later start ─▶ slices (ids minted here) ─▶ KeepState
    CheckpointCompleted ─▶ slices are due ─▶ group ─▶ Commit (commit.py) ─▶ Release
    InputEnded + last checkpoint ─▶ all in ─▶ append `end` ─▶ Release

Three lanes, one action under way in each: the log (log_lane.py), the target, deletions. Committing
goes on in the background while checkpoints are taken (FLIP-191 would do it on the task's thread;
docs/architecture.md says why not). Whatever is in a snapshot is committed by this run or the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from exactly_once_kusto.errors import ExactlyOnceError, WorkerError
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol import jobs
from exactly_once_kusto.protocol.admission import Admission
from exactly_once_kusto.protocol.backoff import full_jitter
from exactly_once_kusto.protocol.commit import WAKE as COMMIT_WAKE
from exactly_once_kusto.protocol.commit import Commit, Step
from exactly_once_kusto.protocol.entries import Committed, End, Entry, Intent, Operation
from exactly_once_kusto.protocol.grouping import cut, take_group
from exactly_once_kusto.protocol.identity import slice_id, transaction_id
from exactly_once_kusto.protocol.ledger import Ledger
from exactly_once_kusto.protocol.log_lane import WAKE as LOG_WAKE
from exactly_once_kusto.protocol.log_lane import LogLane
from exactly_once_kusto.protocol.outcome import Transaction
from exactly_once_kusto.protocol.ports import Settings
from exactly_once_kusto.protocol.slices import (
    Part,
    Slice,
    State,
    decode_part,
    encode_state,
)

CHECK_WAKE = "check"


@dataclass(slots=True)
class Coordinator:
    """One run of one sink. Feed it events with `handle`; perform what it returns (steps.py)."""

    name: str
    ledger_address: str
    settings: Settings
    ledger: Ledger = field(default_factory=Ledger)
    parts: list[Part] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    """Sealed and not known to be committed, in the order of sealing."""
    due_to: int = -1
    """Slices of checkpoints up to this one may be committed."""
    commit: Commit | None = None
    ready: bool = False
    target_known: bool = False
    checking: bool = False
    """A preflight is under way, or waits for its back-off."""
    check_failures: int = 0
    input_ended: bool = False
    final_checkpoint: int | None = None
    finishing: bool = False
    finished: bool = False
    waiting: list[int] = field(default_factory=list)
    """Checkpoints whose completion Flink waits to return from."""
    stopped: ExactlyOnceError | None = None
    door: Admission = field(init=False)
    lane: LogLane = field(init=False)

    def __post_init__(self) -> None:
        on_rewind = self.settings.on_rewind
        self.door = Admission(self.name, self.ledger_address, on_rewind, self.ledger)
        self.lane = LogLane(self.name, self.ledger, self)

    def handle(self, event: ev.Event, moment: ev.Moment) -> list[ev.Action]:
        """Take one event, return what is to be done. After a `Stop` nothing is done any more."""
        if self.stopped is not None:
            return []
        actions: list[ev.Action] = []
        try:
            for action in self._dispatch(event, moment):
                actions.append(action)
                if isinstance(action, ev.Stop):
                    break
        except ExactlyOnceError as error:
            actions = [ev.Stop(error)]
        if actions and isinstance(actions[-1], ev.Stop):
            self.stopped = actions[-1].error
        return actions

    def _dispatch(self, event: ev.Event, moment: ev.Moment) -> list[ev.Action]:
        match event:
            case ev.Opened():
                return self._open(event, moment)
            case ev.PartArrived(data):
                if self.final_checkpoint is not None:
                    raise WorkerError(
                        "a part arrived after the final snapshot: nobody would seal it"
                    )
                self.parts.append(decode_part(data))
                return []
            case ev.SnapshotAsked(checkpoint):
                return self._seal(checkpoint, moment)
            case ev.CheckpointCompleted(checkpoint):
                return self._completed(checkpoint, moment)
            case ev.CheckpointAborted():
                return []
            case ev.InputEnded():
                self.input_ended = True
                return []
            case ev.LogRead() | ev.Appended() | ev.NumberTaken() | ev.LogUnavailable():
                return self.lane.handle(event, moment)
            case ev.Woken(key):
                return self._woken(key, event, moment)
            case ev.Deleted(message):
                return [] if message is None else [ev.Say("WARNING", message)]
            case ev.PortBroke(error):
                if self.door.unresolved:  # a look for a refusal's text: the refusal comes first
                    return self.door.note(ev.TargetFailed(str(error)), moment)
                return [ev.Stop(error)]
            case _:
                return self._target_replied(event, moment)

    # ---- opening

    def _open(self, event: ev.Opened, moment: ev.Moment) -> list[ev.Action]:
        state = self.door.arrive(event, moment)
        if state is not None and event.restored is not None:
            self.slices = list(state.slices)
            self.due_to = event.restored.checkpoint
        return self.lane.add(jobs.Survey(), moment)

    def _checked(self, event: ev.Checked, moment: ev.Moment) -> list[ev.Action]:
        self.checking = False
        if event.error is not None and event.known:
            return [ev.Stop(event.error)]
        self.target_known = event.error is None
        if self.target_known:
            self.check_failures = 0
        said: list[ev.Action] = []
        if event.error is not None:
            delay = full_jitter(
                self.check_failures,
                self.settings.backoff_first_s,
                self.settings.backoff_max_s,
                moment.jitter,
            )
            self.check_failures += 1
            said = [ev.Say("WARNING", f"the target can't be checked now: {event.error}")]
            if self.ready:
                self.checking = True
                return [*said, ev.Wake(CHECK_WAKE, delay), *self._release()]
        if not self.ready:
            return said + self.lane.add(jobs.Begin(), moment)
        return said + self._pump(moment)

    def _begun(self, moment: ev.Moment) -> list[ev.Action]:
        self.ready = True
        self.slices = [s for s in self.slices if not self.ledger.is_committed(s.id)]
        said = self.door.greeting(len(self.slices), self.lane.own_start)
        return [*said, ev.Ready(), *self._pump(moment)]

    # ---- checkpoints

    def _seal(self, checkpoint: int, moment: ev.Moment) -> list[ev.Action]:
        parts, self.parts = tuple(self.parts), []
        if self.input_ended and self.final_checkpoint is None:
            self.final_checkpoint = checkpoint
        return self.lane.add(jobs.Seal(checkpoint, parts), moment)

    def _sealed(self, job: jobs.Seal, moment: ev.Moment) -> list[ev.Action]:
        by_destination: dict[str, list[Part]] = {}
        for part in job.parts:
            by_destination.setdefault(part.destination, []).append(part)
        pieces = [
            (destination, chunk)
            for destination, parts in by_destination.items()
            for chunk in cut(parts, self.settings)
        ]
        for index, (destination, chunk) in enumerate(pieces):
            identity = slice_id(self.door.lineage, job.checkpoint, moment.nonce, index)
            self.slices.append(Slice(identity, job.checkpoint, destination, tuple(chunk)))
        state = State(
            self.name,
            self.ledger_address,
            self.door.lineage,
            self.ledger.position,
            tuple(self.slices),
        )
        return [ev.KeepState(job.checkpoint, encode_state(state))]

    def _completed(self, checkpoint: int, moment: ev.Moment) -> list[ev.Action]:
        self.due_to = max(self.due_to, checkpoint)
        self.waiting.append(checkpoint)
        actions = self._pump(moment)
        released = self._release()
        if checkpoint in self.waiting and not self._must_wait_for_all():
            return [*actions, *released, ev.Wake(f"wait-{checkpoint}", self.settings.commit_wait_s)]
        return actions + released

    def _must_wait_for_all(self) -> bool:
        """After the final checkpoint the task may not end before everything is in."""
        return self.final_checkpoint is not None and self.due_to >= self.final_checkpoint

    def _release(self) -> list[ev.Action]:
        """Let Flink go on where nothing is left to wait for, or where waiting is no use."""
        if self._must_wait_for_all():
            return self._release_all() if self.finished else []
        failing = (self.commit is not None and self.commit.failing) or self.check_failures > 0
        done = [
            c for c in self.waiting if failing or not any(s.checkpoint <= c for s in self.slices)
        ]
        self.waiting = [c for c in self.waiting if c not in done]
        return [ev.Release(c) for c in done]

    def _release_all(self) -> list[ev.Action]:
        waiting, self.waiting = self.waiting, []
        return [ev.Release(c) for c in waiting]

    # ---- committing

    def _pump(self, moment: ev.Moment) -> list[ev.Action]:
        """Begin what can begin: one transaction at a time; the end when all is in."""
        if not self.ready or self.commit is not None or self.checking:
            return []
        due = [s for s in self.slices if s.checkpoint <= self.due_to]
        if not due:
            return self._finish(moment)
        if not self.target_known:
            self.checking = True
            return [ev.CheckTarget()]
        known = self.ledger.transaction_of(due[0].id)
        if known is not None:
            said = f"transaction {known.transaction.id} was begun before: looking for its rows"
            self.commit = Commit(known.transaction, self.settings, known)
            return [ev.Say("INFO", said), *self._route(self.commit.begin(), moment)]
        group = take_group(due, self.ledger, self.settings)
        self.commit = Commit(
            Transaction(transaction_id(self.name, moment.nonce), group), self.settings
        )
        return self._route(self.commit.begin(), moment)

    def _finish(self, moment: ev.Moment) -> list[ev.Action]:
        if self.finishing or self.parts or self.slices or not self._must_wait_for_all():
            return []
        self.finishing = True
        return self.lane.add(jobs.Finish(), moment)

    def _woken(self, key: str, event: ev.Woken, moment: ev.Moment) -> list[ev.Action]:
        if key == LOG_WAKE:
            return self.lane.handle(event, moment)
        if key == CHECK_WAKE:
            self.checking = False
            return self._pump(moment)
        if key.startswith("wait-"):
            checkpoint = int(key.removeprefix("wait-"))
            if checkpoint not in self.waiting or self._must_wait_for_all():
                return []
            self.waiting.remove(checkpoint)
            return [ev.Release(checkpoint)]
        if self.commit is None:
            return []
        minting = key == f"{COMMIT_WAKE}-mint"
        steps = self.commit.mint_again() if minting else self.commit.resume()
        return self._route(steps, moment)

    def _target_replied(self, event: ev.Event, moment: ev.Moment) -> list[ev.Action]:
        if self.door.unresolved and isinstance(event, ev.Looked | ev.TargetFailed):
            return self.door.note(event, moment)
        if isinstance(event, ev.Checked):
            return self._checked(event, moment)
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
        return self._route(steps, moment) + self._release()

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

    # ---- what the log's lane asks

    def decide(self, job: jobs.Job, moment: ev.Moment) -> Entry | ExactlyOnceError | None:
        """Say what a job appends on the log as it is now; None where it stands or is not needed."""
        run, nonce, now = self.door.run, moment.nonce, moment.now
        match job:
            case jobs.Survey() | jobs.Seal():
                return None
            case jobs.Begin():
                return None if self.lane.own_start is not None else self.door.decide(moment)
            case jobs.Intend(transaction, attempt, access):
                if self._overtaken(job):
                    return None
                # The first intent names the slices in full; a retry can't change them.
                slices = transaction.slices if attempt == 1 else ()
                return Intent(
                    nonce, now, run, self.door.lineage, transaction.id, attempt, self.settings.mode,
                    access.principal, access.expires_at, slices,
                )  # fmt: skip
            case jobs.Name(transaction, attempt, operation):
                known = self.ledger.transactions[transaction.id]
                named = any(a.number == attempt and a.operation for a in known.attempts)
                if named:
                    return None
                return Operation(nonce, now, run, transaction.id, attempt, operation)
            case jobs.Conclude(transaction, rows, extents):
                if self.ledger.transactions[transaction.id].committed is not None:
                    return None
                return Committed(nonce, now, run, transaction.id, rows, extents)
            case jobs.Finish():
                start = self.ledger.last_start
                assert start is not None
                return None if self.ledger.ended(start[1]) else End(nonce, now, run)

    def _overtaken(self, job: jobs.Intend) -> bool:
        """Whether the intent stands, or the log has moved on so that it must not be made."""
        known = self.ledger.transactions.get(job.transaction.id)
        if known is not None:
            return known.committed is not None or len(known.attempts) >= job.attempt
        return any(self.ledger.transaction_of(piece.id) for piece in job.transaction.slices)

    def settled(self, job: jobs.Job, moment: ev.Moment) -> list[ev.Action]:
        """Go on where a job's entry stands."""
        match job:
            case jobs.Survey():
                self.checking = True
                return self.door.survey(moment)
            case jobs.Begin():
                return self._begun(moment)
            case jobs.Seal():
                return self._sealed(job, moment)
            case jobs.Intend():
                return self._intended(job, moment)
            case jobs.Name():
                assert self.commit is not None
                return self._route(self.commit.named(), moment)
            case jobs.Conclude(transaction, rows, _):
                return self._committed(transaction, rows, moment)
            case jobs.Finish():
                self.finished = True
                return self._release_all()

    def _intended(self, job: jobs.Intend, moment: ev.Moment) -> list[ev.Action]:
        assert self.commit is not None
        known = self.ledger.transactions.get(job.transaction.id)
        if known is None or known.committed is not None or len(known.attempts) != job.attempt:
            self.commit = None
            return self._pump(moment)
        return self._route(self.commit.intended(known), moment)

    def _committed(self, transaction: Transaction, rows: int, moment: ev.Moment) -> list[ev.Action]:
        gone = {piece.id for piece in transaction.slices}
        self.slices = [piece for piece in self.slices if piece.id not in gone]
        self.commit = None
        text = (
            f"transaction {transaction.id} committed: {rows} rows of checkpoints "
            f"{', '.join(str(s.checkpoint) for s in transaction.slices[:20])}"
        )
        said: list[ev.Action] = [ev.Say("INFO", text), ev.Delete(transaction.parts)]
        return said + self._pump(moment) + self._release()
