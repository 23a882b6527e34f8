"""One attempt of a job, led along what its subtasks were seen to do (acceptor.py)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field

from exactly_once_kusto.testing.flink_job import (
    Attempt,
    Barrier,
    Cancelled,
    Ended,
    Job,
    PartSent,
    Rows,
)
from exactly_once_kusto.testing.records import Call, Seen, SeenJob


@dataclass(slots=True)
class Trace:
    """How far the records of one attempt are explained, and the state of the rules there."""

    seen_job: SeenJob
    index: int
    job: Job
    restored_next: int | None
    needed: frozenset[int]
    at: list[int] = field(default_factory=list)
    """Calls explained, by writer; the last one is the coordinator's."""
    ended: set[int] = field(default_factory=set)
    untold: set[int] = field(default_factory=set)
    """Aborted checkpoints of which some writer has heard and the coordinator has not yet."""
    skipping: bool = False
    """Of numbers that the coordinator never hears of, those that reach no task come last."""

    def __post_init__(self) -> None:
        if not self.at:
            records = (*self.seen.writers, self.seen.coordinator)
            self.at = [min(1, len(each)) if _opens(each) else 0 for each in records]

    @property
    def seen(self) -> Seen:
        """The records."""
        return self.seen_job.attempts[self.index]

    @property
    def attempt(self) -> Attempt:
        """The rules' attempt."""
        assert self.job.attempt is not None
        return self.job.attempt

    def consumed(self) -> int:
        """How many calls are explained."""
        return sum(self.at)

    def done(self) -> bool:
        """Whether all are."""
        return self.consumed() == self.seen.calls

    def next_of(self, writer: int) -> Call | None:
        """The writer's next call; none comes to a record that does not begin with `open`."""
        record, at = self.seen.writers[writer], self.at[writer]
        return record[at] if 0 < at < len(record) else None

    def left(self) -> tuple[Call, ...]:
        """What is left of the coordinator's record."""
        return self.seen.coordinator[self.at[-1] :]

    # ---- what the records demand

    def settle(self) -> None:
        """Do all that the records demand and the rules allow now, without a choice."""
        while any([self._write(i) for i in range(self.attempt.writers)]) or self._coordinate():
            pass

    def _write(self, writer: int) -> bool:
        """Let a writer take what comes next, if its record goes on so."""
        channel, call = self.attempt.inputs[writer], self.next_of(writer)
        if not channel and call is not None and call.name == "write":
            self.attempt.emit(writer, ("row",))
        while channel:
            head = channel[0]
            if not isinstance(head, Barrier) or head.checkpoint not in self.attempt.dropped[writer]:
                break
            channel.popleft()
            self.attempt.send(writer, Cancelled(head.checkpoint))
        if not channel:
            return False
        wanted = {Rows: "write", Barrier: "prepare", Ended: "prepare"}[type(channel[0])]
        silent = writer in self.ended  # after the end of input a barrier only passes
        if not silent and (call is None or call.name != wanted):
            return False
        item = self.attempt.next_for(writer)
        assert item is not None
        if not silent and call is not None:
            self.at[writer] += 1
            for part in call.parts:
                self.attempt.send(writer, PartSent(part.encode()))
        if not isinstance(item, Rows):
            self.attempt.send(writer, item)
        if isinstance(item, Ended):
            self.ended.add(writer)
        return True

    def _coordinate(self) -> bool:
        """Let the coordinator's next call happen, or what it doesn't see and nobody can mind."""
        if not self.left() or self.at[-1] == 0:
            return False
        if any(self._pass(channel) for channel in self.attempt.open_channels()):
            return True
        left = self.left()
        rules: dict[str, Callable[[Call], bool]] = {
            "part": self._part,
            "snapshot": self._snapshot,
            "end": self._end,
            "complete": self._complete,
            "abort": self._abort,
        }
        happened = left[0].name in rules and rules[left[0].name](left[0])
        self.at[-1] += happened
        return happened

    def _pass(self, channel: int) -> bool:
        """Take what the coordinator doesn't see, as soon as it would not see it.

        To take the barrier of a checkpoint that is never snapshotted holds up nothing that the
        barrier itself does not.
        """
        item = self.attempt.outputs[channel][0]
        if isinstance(item, PartSent):
            return False
        if isinstance(item, Barrier) and self.demands_snapshot(item.checkpoint):
            return False
        trial = _copy_attempt(self.attempt)
        if trial.take(channel) is not None:
            return False
        self.job.attempt = trial
        return True

    def _part(self, call: Call) -> bool:
        sent = PartSent(call.parts[0].encode())
        for channel in self.attempt.open_channels():
            if self.attempt.outputs[channel][0] == sent:
                self.attempt.take(channel)
                return True
        return False

    def _snapshot(self, call: Call) -> bool:
        """Take the barrier from all channels, once it is the next thing on all that are open."""
        attempt, barrier = self.attempt, Barrier(call.checkpoint or 0)
        ready = [i for i in attempt.open_channels() if attempt.outputs[i][0] == barrier]
        if len(ready) < attempt.writers:
            return False
        trial = _copy_attempt(attempt)
        if [trial.take(channel) for channel in ready][-1] != barrier:
            return False
        self.job.attempt = trial
        self.job.acknowledge(trial, barrier.checkpoint, b"")
        self._keep(barrier.checkpoint)
        return True

    def _keep(self, number: int) -> None:
        """Complete a savepoint that a later job starts from; nobody is told."""
        pending = self.job.pending.get(number)
        if number in self.needed and pending and pending.savepoint and not pending.stop:
            self.job.complete(number)

    def _end(self, call: Call) -> bool:
        attempt = self.attempt
        ends = [i for i in attempt.open_channels() if isinstance(attempt.outputs[i][0], Ended)]
        return bool(ends) and attempt.take(ends[0]) is not None

    def _complete(self, call: Call) -> bool:
        """A completion whose notice was lost comes with a later one: here it counts as this one."""
        number = call.checkpoint or 0
        if not self.attempt.notices:
            pending = self.job.pending.get(number)
            told = pending is not None and (not pending.savepoint or pending.stop)
            if told and number in self.job.completable():
                self.job.complete(number)
        return self._hear(number, complete=True)

    def _abort(self, call: Call) -> bool:
        number = call.checkpoint or 0
        if not self.attempt.notices:
            self._give_up(number)
        return self._hear(number, complete=False)

    def _give_up(self, number: int) -> None:
        if number in self.untold:
            self.untold.discard(number)
            self.job.tell_aborted(number)
        elif number in self.job.pending:
            self.job.abort(number)

    def _hear(self, number: int, complete: bool) -> bool:
        trial = _copy_attempt(self.attempt)
        notice = trial.take_notice()
        if notice is None or (notice.checkpoint, notice.complete) != (number, complete):
            return False
        self.job.attempt = trial
        return True

    # ---- what can be chosen

    def hopeless(self) -> bool:
        """Whether no checkpoint and no end of the input could bring the records further."""
        left, last = self.left(), self.job.last_number
        if not left:
            return False
        rest = [record[at:] for record, at in zip(self.seen.writers, self.at, strict=False)]
        dead = {i for i, calls in enumerate(rest) if not any(c.name == "prepare" for c in calls)}
        if dead - self.ended and any(c.name == "snapshot" and _above(c, last) for c in left):
            return True
        match left[0].name:
            case "part":
                return not any(left[0].parts[0] in call.parts for calls in rest for call in calls)
            case "snapshot" | "abort":
                return not _above(left[0], last)
            case "end":
                return len(self.attempt.inputs_ended) == self.attempt.writers
            case _:
                return True

    def may_end(self) -> list[int]:
        """Writers whose input may end here: they prepare once more, and then nothing comes."""
        left = [record[at:] for record, at in zip(self.seen.writers, self.at, strict=False)]
        return [
            i
            for i, calls in enumerate(left)
            if i not in self.attempt.inputs_ended and [c.name for c in calls] == ["prepare"]
        ]

    def demands_snapshot(self, number: int) -> bool:
        """Whether the coordinator will be asked for this snapshot."""
        return Call("snapshot", number) in self.left()

    def demands(self, number: int, later: bool = False) -> bool:
        """Whether it will hear of this checkpoint, or of a later one."""
        told = (c.checkpoint or 0 for c in self.left() if c.name in ("snapshot", "abort"))
        return any(each > number if later else each == number for each in told)

    def skip(self) -> None:
        """Use a number for a checkpoint that reaches no task."""
        self.job.skip()
        self.skipping = True

    def waiting(self) -> set[int]:
        """Writers that have taken all that was sent to them."""
        return {i for i, items in enumerate(self.attempt.inputs) if not items}

    def preparing(self) -> set[int]:
        """Writers that will be asked to prepare once more, and may be by the next barrier."""
        calls = {i: self.next_of(i) for i in self.waiting() - self.ended}
        return {i for i, call in calls.items() if call is not None and call.name == "prepare"}

    def trigger(self, first: tuple[int, ...]) -> None:
        """Trigger a checkpoint; writers in `first` hear of its abortion before its barrier."""
        number = self.job.last_number + 1
        self.skipping = self.skipping and not self.demands(number)
        self.job.trigger(savepoint=not self._restorable(number), stop=self._stops(number))
        if first:
            self.job.abort(number, notify=False, first=first)
            self.untold.add(number)

    def _stops(self, number: int) -> bool:
        return number in self.seen_job.stops

    def _restorable(self, number: int) -> bool:
        """Of a savepoint less is demanded: so it is one, unless it is told, or a failover's."""
        if number in self.seen_job.savepoints:
            return False
        return number == self.restored_next or Call("complete", number) in self.left()

    # ---- the search's needs

    def copy(self) -> Trace:
        """A copy that shares nothing that changes."""
        new = copy(self)
        new.job = copy(self.job)
        new.job.attempt = _copy_attempt(self.attempt)
        new.job.completed, new.job.savepoints = [*self.job.completed], [*self.job.savepoints]
        new.job.pending = dict(self.job.pending)
        new.at, new.ended, new.untold = [*self.at], {*self.ended}, {*self.untold}
        return new

    def mark(self) -> object:
        """All that what follows depends on."""
        job, attempt = self.job, self.attempt
        channels = tuple(map(tuple, (*attempt.inputs, *attempt.outputs)))
        pending = tuple((p.number, p.savepoint, p.state is None) for p in job.pending.values())
        latest = job.latest()
        return (
            *(self.index, tuple(self.at), job.last_number, channels, pending),
            *(latest and latest.number, tuple(each.number for each in job.savepoints)),
            *(frozenset(attempt.blocked), attempt.aligning, attempt.current),
            *(tuple(attempt.aborted), attempt.newest_aborted, attempt.reported),
            *(frozenset(attempt.inputs_ended), frozenset(attempt.ends), tuple(attempt.notices)),
            *(tuple(map(frozenset, attempt.dropped)), frozenset(self.untold), self.skipping),
        )

    def explain(self) -> str:
        """What is explained, and what came next."""
        lines = [f"attempt {self.index}: {self.consumed()} of {self.seen.calls} calls explained"]
        names = [*(f"writer {i}" for i in range(self.attempt.writers)), "coordinator"]
        records = (*self.seen.writers, self.seen.coordinator)
        for name, record, at in zip(names, records, self.at, strict=True):
            before = " ".join(map(str, record[max(0, at - 3) : at]))
            after = " ".join(map(str, record[at : at + 3])) or "(nothing)"
            lines.append(f"  {name}: ... {before} | then came: {after}")
        return "\n".join([*lines, f"  checkpoints under way: {sorted(self.job.pending)}"])


def _above(call: Call, number: int) -> bool:
    return call.checkpoint is not None and call.checkpoint > number


def _opens(record: tuple[Call, ...]) -> bool:
    return bool(record) and record[0].name == "open"


def _copy_attempt(attempt: Attempt) -> Attempt:
    new = copy(attempt)
    new.inputs, new.outputs = [*map(deque, attempt.inputs)], [*map(deque, attempt.outputs)]
    new.notices = deque(attempt.notices)
    new.blocked, new.ends = {*attempt.blocked}, {*attempt.ends}
    new.inputs_ended = {*attempt.inputs_ended}
    new.aborted, new.dropped = [*attempt.aborted], [*map(set, attempt.dropped)]
    new.sent = [[] for _ in attempt.sent]  # for repetitions of a batch only
    return new
