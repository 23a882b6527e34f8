"""The coordinator: a state machine at parallelism 1. Events in, actions out; it waits for nothing.

    Opened ─▶ survey the log ─▶ preflight ─▶ append `start` ─▶ Ready
    PartArrived, SnapshotAsked ─▶ look for a later start ─▶ slices (ids minted here) ─▶ KeepState
    CheckpointCompleted ─▶ slices are due ─▶ group ─▶ Commit (commit.py) ─▶ Release
    InputEnded + last checkpoint ─▶ all in ─▶ append `end` ─▶ Release
    in a batch: InputEnded ─▶ append `batch` with all slices ─▶ all in ─▶ append `end` ─▶ Release

Three lanes, one action under way in each: the log (log_lane.py), the target, and what is only
tidied. Committing goes on in the background while checkpoints are taken (FLIP-191 would do it on
the task's thread; docs/architecture.md says why not). Whatever is in a snapshot is committed by
this run or the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from exactly_once_kusto.errors import ExactlyOnceError, SuspectError, WorkerError
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol import jobs
from exactly_once_kusto.protocol.admission import Admission
from exactly_once_kusto.protocol.backlog import Backlog, Waiting
from exactly_once_kusto.protocol.commit import Commit
from exactly_once_kusto.protocol.committing import Committing
from exactly_once_kusto.protocol.entries import Batch, Committed, End, Entry, Intent, Operation
from exactly_once_kusto.protocol.grouping import seal
from exactly_once_kusto.protocol.ledger import Ledger
from exactly_once_kusto.protocol.log_lane import WAKE as LOG_WAKE
from exactly_once_kusto.protocol.log_lane import LogLane
from exactly_once_kusto.protocol.ports import Settings
from exactly_once_kusto.protocol.slices import (
    Part,
    Slice,
    State,
    decode_part,
    encode_state,
)

BATCH = -1
"""Where a checkpoint's number would stand, in a batch."""


@dataclass(slots=True)
class Coordinator:
    """One run of one sink. Feed it events with `handle`; perform what it returns (steps.py)."""

    name: str
    ledger_address: str
    settings: Settings
    ledger: Ledger = field(default_factory=Ledger)
    parts: list[Part] = field(default_factory=list)
    ready: bool = False
    input_ended: bool = False
    final_checkpoint: int | None = None
    finishing: bool = False
    finished: bool = False
    waiting: list[int] = field(default_factory=list)
    """Checkpoints whose completion Flink waits to return from."""
    stopped: ExactlyOnceError | None = None
    door: Admission = field(init=False)
    lane: LogLane = field(init=False)
    backlog: Backlog = field(init=False)
    committing: Committing = field(init=False)

    def __post_init__(self) -> None:
        on_rewind = self.settings.on_rewind
        self.door = Admission(self.name, self.ledger_address, on_rewind, self.ledger)
        self.lane = LogLane(self.name, self.ledger, self, self.settings.log_wait_s)
        self.backlog = Backlog(self.settings)
        self.committing = Committing(self.name, self.settings, self.ledger, self.backlog, self.lane)

    @property
    def commit(self) -> Commit | None:
        """The transaction that is on its way in."""
        return self.committing.commit

    @property
    def slices(self) -> list[Slice]:
        """The slices that wait: sealed, and not known to be committed."""
        return self.backlog.slices

    def waiting_at(self, now: float) -> Waiting:
        """Return how much waits, for metrics and the log."""
        return self.backlog.measure(now)

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
                if self.final_checkpoint is not None or (self.input_ended and self.door.batch):
                    raise WorkerError("a part arrived after the last seal: nobody would commit it")
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
                return self._list_batch(moment) if self.door.batch else []
            case ev.LogRead() | ev.Appended() | ev.NumberTaken() | ev.LogUnavailable():
                return self.lane.handle(event, moment)
            case ev.Woken(key):
                return self._woken(key, event, moment)
            case ev.Deleted(message):
                return [] if message is None else [ev.Say("WARNING", message)]
            case ev.BrakeSet(message):
                return [] if message is None else self.backlog.brake_failed(message)
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
            self.backlog.add(state.slices)
            self.backlog.due_to = event.restored.checkpoint
        return self.lane.add(jobs.Survey(), moment)

    def _begun(self, moment: ev.Moment) -> list[ev.Action]:
        self.ready = True
        done = (piece.id for piece in self.slices if self.ledger.is_committed(piece.id))
        self.backlog.forget(frozenset(done))
        said = self.door.greeting(len(self.slices), self.lane.own_start)
        return [*said, ev.Ready(), *self.backlog.brake(), *self._pump(moment)]

    # ---- checkpoints

    def _seal(self, checkpoint: int, moment: ev.Moment) -> list[ev.Action]:
        parts, self.parts = tuple(self.parts), []
        if self.input_ended and self.final_checkpoint is None:
            self.final_checkpoint = checkpoint
        return self.lane.add(jobs.Seal(checkpoint, parts), moment)

    def _sealed(self, job: jobs.Seal, moment: ev.Moment) -> list[ev.Action]:
        lineage = self.door.lineage
        self.backlog.add(seal(job.parts, job.checkpoint, lineage, self.settings, moment))
        state = State(
            self.name,
            self.ledger_address,
            lineage,
            self.ledger.position,
            tuple(self.slices),
        )
        data = encode_state(state)
        self.backlog.state_bytes = len(data)
        return [ev.KeepState(job.checkpoint, data), *self.backlog.brake()]

    def _list_batch(self, moment: ev.Moment) -> list[ev.Action]:
        parts, self.parts = tuple(self.parts), []
        return self.lane.add(jobs.ListBatch(parts), moment)

    def _listed(self, job: jobs.ListBatch, moment: ev.Moment) -> list[ev.Action]:
        """Commit what the job's first run has listed; parts of a repetition are not needed."""
        listed = self.ledger.batches[self.door.job].slices
        self.backlog.add(piece for piece in listed if not self.ledger.is_committed(piece.id))
        held = {part.address for piece in listed for part in piece.parts}
        surplus = tuple(part for part in job.parts if part.address not in held)
        said: list[ev.Action] = []
        rows, wanted = sum(p.rows for p in job.parts), sum(piece.rows for piece in listed)
        if surplus and rows != wanted:
            return [ev.Stop(self._other_rows(rows, wanted))]
        if surplus:
            text = f"a repetition of this batch: {len(surplus)} part(s) of it are not needed"
            said = [ev.Say("INFO", text), ev.Delete(surplus)]
        self.final_checkpoint = BATCH
        return said + self._completed(BATCH, moment)

    def _other_rows(self, rows: int, wanted: int) -> SuspectError:
        return SuspectError(
            f"sink '{self.name}': an earlier run of batch job {self.door.job} has listed {wanted} "
            f"rows, this one has staged {rows}. Either the source does not give the same rows "
            "again, or another batch has the same job id. Nothing was deleted or committed now; "
            "submit the batch under another job id, or under another 'name'"
        )

    def _completed(self, checkpoint: int, moment: ev.Moment) -> list[ev.Action]:
        self.backlog.due_to = max(self.backlog.due_to, checkpoint)
        self.waiting.append(checkpoint)
        actions = self._pump(moment)
        released = self._release()
        if checkpoint in self.waiting and not self._must_wait_for_all():
            return [*actions, *released, ev.Wake(f"wait-{checkpoint}", self.settings.commit_wait_s)]
        return actions + released

    def _must_wait_for_all(self) -> bool:
        """After the final checkpoint the task may not end before everything is in."""
        final = self.final_checkpoint
        return final is not None and self.backlog.due_to >= final

    def _release(self) -> list[ev.Action]:
        """Let Flink go on where nothing is left to wait for, or where waiting is no use."""
        if self._must_wait_for_all():
            return self._release_all() if self.finished else []
        no_use = self.committing.failing or self.committing.holding
        done = [c for c in self.waiting if no_use or not self.backlog.holds(c)]
        self.waiting = [c for c in self.waiting if c not in done]
        return [ev.Release(c) for c in done]

    def _release_all(self) -> list[ev.Action]:
        waiting, self.waiting = self.waiting, []
        return [ev.Release(c) for c in waiting]

    # ---- committing

    def _pump(self, moment: ev.Moment) -> list[ev.Action]:
        """Begin what can begin: one transaction at a time; the end when all is in."""
        if not self.ready or self.committing.busy:
            return []
        due = self.backlog.due()
        if not due:
            return self._finish(moment)
        hold = not (self.input_ended or self.backlog.brake_on)
        return self.committing.begin(due, moment, hold=hold)

    def _finish(self, moment: ev.Moment) -> list[ev.Action]:
        if self.finishing or self.parts or self.slices or not self._must_wait_for_all():
            return []
        self.finishing = True
        return self.lane.add(jobs.Finish(), moment)

    def _woken(self, key: str, event: ev.Woken, moment: ev.Moment) -> list[ev.Action]:
        if key == LOG_WAKE:
            return self.lane.handle(event, moment)
        if key.startswith("wait-"):
            checkpoint = int(key.removeprefix("wait-"))
            if checkpoint not in self.waiting or self._must_wait_for_all():
                return []
            self.waiting.remove(checkpoint)
            return [ev.Release(checkpoint)]
        return self._go_on(self.committing.woken(key, moment), moment)

    def _target_replied(self, event: ev.Event, moment: ev.Moment) -> list[ev.Action]:
        if self.door.unresolved and isinstance(event, ev.Looked | ev.TargetFailed):
            return self.door.note(event, moment)
        if isinstance(event, ev.Checked):
            actions = self.committing.checked(event, moment, ready=self.ready)
            if not self.ready and not _stops(actions):
                actions += self.lane.add(jobs.Begin(), moment)
            return self._go_on(actions, moment)
        return self._go_on(self.committing.replied(event, moment), moment)

    def _go_on(self, actions: list[ev.Action], moment: ev.Moment) -> list[ev.Action]:
        """Begin and release what can be, now that something has changed."""
        if _stops(actions):
            return actions
        return actions + self._pump(moment) + self._release()

    # ---- what the log's lane asks

    def decide(self, job: jobs.Job, moment: ev.Moment) -> Entry | ExactlyOnceError | None:
        """Say what a job appends on the log as it is now; None where it stands or is not needed."""
        run, nonce, now = self.door.run, moment.nonce, moment.now
        match job:
            case jobs.Survey() | jobs.Seal():
                return None
            case jobs.Begin():
                return None if self.lane.own_start is not None else self.door.decide(moment)
            case jobs.ListBatch(parts):
                if self.door.job in self.ledger.batches:
                    return None
                lineage = self.door.lineage
                slices = tuple(seal(parts, BATCH, lineage, self.settings, moment))
                return Batch(nonce, now, run, lineage, self.door.job, slices)
            case jobs.Intend(transaction, attempt, access):
                if self.ledger.overtakes(transaction, attempt):
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

    def settled(self, job: jobs.Job, moment: ev.Moment) -> list[ev.Action]:
        """Go on where a job's entry stands."""
        match job:
            case jobs.Survey():
                self.committing.checking = True
                return self.door.survey(moment)
            case jobs.Begin():
                return self._begun(moment)
            case jobs.Seal():
                return self._sealed(job, moment)
            case jobs.ListBatch():
                return self._listed(job, moment)
            case jobs.Finish():
                self.finished = True
                return self._release_all()
            case _:
                return self._go_on(self.committing.settled(job, moment), moment)


def _stops(actions: list[ev.Action]) -> bool:
    return any(isinstance(action, ev.Stop) for action in actions)
