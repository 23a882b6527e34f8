"""Flink's side of a job, as a sink sees it: channels, barriers, alignment, checkpoints, notices.

Bookkeeping only: no sink, no clock, no dice; what happens next is the caller's choice. The same
rules make the simulator's schedules and judge what a real Flink was seen to do (acceptor.py).

Sources: Flink's documentation, Stateful Stream Processing (barriers, alignment) and Savepoints
(intermediate savepoints are not used for recovery, and not notified); FLIP-147 (checkpoints after
tasks have finished); classes CheckpointCoordinator, SubtaskCheckpointCoordinatorImpl, StreamTask,
SingleCheckpointBarrierHandler. docs/reference/simulator-flink.md: what a real Flink was seen to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows on their way to a writer, by name."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Barrier:
    """A checkpoint's barrier."""

    checkpoint: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Sent on instead of a barrier by a writer that had heard before that it is aborted."""

    checkpoint: int


@dataclass(frozen=True, slots=True)
class Ended:
    """No rows or parts come after this."""


@dataclass(frozen=True, slots=True)
class PartSent:
    """A writer's part on its way to the coordinator."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Notice:
    """What the JobManager tells the coordinator of a checkpoint: complete, or aborted."""

    checkpoint: int
    complete: bool


Item = Rows | Barrier | Cancelled | Ended | PartSent


@dataclass(frozen=True, slots=True)
class Retained:
    """A completed checkpoint or savepoint: where the source stood, and the coordinator's bytes."""

    number: int
    position: int
    state: bytes
    savepoint: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    """A checkpoint under way. `state` is None until the coordinator has acknowledged."""

    number: int
    position: int
    savepoint: bool
    state: bytes | None = None
    stop: bool = False


@dataclass(slots=True)
class Attempt:
    """One execution of the job: the channels between its tasks, and what is on them.

    A failed attempt whose tasks live on by mistake keeps its channels: nothing new comes in, and
    nobody listens to what it acknowledges.
    """

    number: int
    writers: int
    position: int = 0
    """Rows that the source has emitted, from the beginning of the source."""
    restored: Retained | None = None
    input_ended: bool = False
    """The source has ended for all writers."""
    inputs_ended: set[int] = field(default_factory=set)
    """Writers for which it has: each subtask of the source ends at its own time."""
    inputs: list[deque[Item]] = field(init=False)
    """From the source to each writer."""
    outputs: list[deque[Item]] = field(init=False)
    """From each writer to the coordinator."""
    notices: deque[Notice] = field(default_factory=deque)
    blocked: set[int] = field(default_factory=set)
    """Channels whose barrier has arrived, while those of others have not: alignment."""
    aligning: int | None = None
    current: int = 0
    """The newest checkpoint of which a barrier or its cancellation was taken."""
    concurrent: int = 1
    """Flink's max-concurrent-checkpoints: a task remembers no more aborted checkpoints than that,
    so of two the older one may still be snapshotted after its notice."""
    aborted: list[int] = field(default_factory=list)
    """Those remembered, whose barriers the coordinator ignores."""
    newest_aborted: int = 0
    reported: int = -1
    """The newest checkpoint heard to be complete, or restored: older ones are not told any more."""
    dropped: list[set[int]] = field(init=False)
    """By writer: checkpoints whose abortion it heard of before their barrier."""
    ends: set[int] = field(default_factory=set)
    sent: list[list[Item]] = field(init=False)
    """All that each writer has ever sent: in a batch Flink may keep it for a repetition."""

    def __post_init__(self) -> None:
        self.inputs = [deque() for _ in range(self.writers)]
        self.outputs = [deque() for _ in range(self.writers)]
        self.sent = [[] for _ in range(self.writers)]
        self.dropped = [set() for _ in range(self.writers)]
        if self.restored is not None:
            self.reported = self.restored.number

    def emit(self, writer: int, names: tuple[str, ...]) -> None:
        """Let the source send rows to a writer."""
        self.position += len(names)
        self.inputs[writer].append(Rows(names))

    def end_input(self, writer: int | None = None) -> None:
        """Let the source end, for one writer or for all; barriers may still come."""
        for each in range(self.writers) if writer is None else (writer,):
            if each not in self.inputs_ended:
                self.inputs_ended.add(each)
                self.inputs[each].append(Ended())
        self.input_ended = len(self.inputs_ended) == self.writers

    def next_for(self, writer: int) -> Item | None:
        """Take what comes next to a writer; None if nothing does.

        It does not see the barrier of a checkpoint that it has heard to be aborted.
        """
        channel = self.inputs[writer]
        while channel:
            item = channel.popleft()
            if not isinstance(item, Barrier) or item.checkpoint not in self.dropped[writer]:
                return item
            self.send(writer, Cancelled(item.checkpoint))
        return None

    def send(self, writer: int, item: Item) -> None:
        """Send something from a writer to the coordinator."""
        self.outputs[writer].append(item)
        self.sent[writer].append(item)

    def written(self) -> bool:
        """Whether every writer has come to its end."""
        return self.input_ended and all(Ended() in each for each in self.sent)

    def repeat(self, former: Attempt) -> None:
        """Take what the writers of a former attempt have sent; they are not run again (batch)."""
        self.position, self.input_ended = former.position, True
        self.inputs_ended = set(former.inputs_ended)
        self.sent = [list(each) for each in former.sent]
        self.outputs = [deque(each) for each in former.sent]

    def open_channels(self) -> list[int]:
        """Return the channels from which the coordinator may take something now."""
        return [i for i, each in enumerate(self.outputs) if each and i not in self.blocked]

    def take(self, writer: int) -> Item | None:
        """Take the next item of a channel; return it where the coordinator sees it.

        A barrier is seen when it has come from all channels, the end likewise. A newer barrier, or
        the cancellation of its checkpoint, ends the alignment on an older one.
        """
        item = self.outputs[writer].popleft()
        match item:
            case Ended():
                self.ends.add(writer)
                return item if len(self.ends) == self.writers else None
            case Cancelled(checkpoint):
                if checkpoint > self.current or checkpoint == self.aligning:
                    self.current = checkpoint
                    self._aligned()
                return None
            case Barrier(checkpoint):
                return item if self._arrived(checkpoint, writer) else None
            case _:
                return item

    def _arrived(self, checkpoint: int, writer: int) -> bool:
        """Whether the coordinator snapshots now."""
        if checkpoint < self.current or (checkpoint == self.current and self.aligning is None):
            return False
        if checkpoint > self.current:
            self._aligned()
        self.current = self.aligning = checkpoint
        self.blocked.add(writer)
        if len(self.blocked) < self.writers:
            return False
        self._aligned()
        forgotten_long_ago = checkpoint + self.concurrent < self.newest_aborted
        return checkpoint not in self.aborted and not forgotten_long_ago

    def take_notice(self) -> Notice | None:
        """Take the next notice; None if there is none. An alignment goes on whatever is heard."""
        while self.notices:
            notice = self.notices.popleft()
            number = notice.checkpoint
            if not notice.complete:
                if number > self.current or number == self.aligning:
                    self.aborted = [*self.aborted, number][-self.concurrent :]
                    self.newest_aborted = max(self.newest_aborted, number)
                return notice
            if number > self.reported:
                self.reported = number
                return notice
        return None

    def _aligned(self) -> None:
        self.blocked.clear()
        self.aligning = None


@dataclass(slots=True)
class Job:
    """One submission: its id, its checkpoints, and the attempt that runs now."""

    id: str
    source: str
    """Rows are named by source and number: `a0`, `a1` ..."""
    start_from: Retained | None = None
    """What the submission was told to restore."""
    attempt: Attempt | None = None
    attempts: int = 0
    completed: list[Retained] = field(default_factory=list)
    savepoints: list[Retained] = field(default_factory=list)
    pending: dict[int, Pending] = field(default_factory=dict)
    last_number: int = 0
    finished: bool = False
    length: int | None = None
    """How many rows the source has, once it has come to its end: a replay ends there too."""

    def __post_init__(self) -> None:
        if self.start_from is not None:
            self.last_number = self.start_from.number

    def latest(self) -> Retained | None:
        """Return what a failover restores: a checkpoint, never an intermediate savepoint."""
        return self.completed[-1] if self.completed else self.start_from

    def begin(self, writers: int) -> Attempt:
        """Begin the next attempt, from the latest checkpoint."""
        restored = self.latest()
        position = 0 if restored is None else restored.position
        self.attempt = Attempt(self.attempts, writers, position, restored)
        self.attempts += 1
        self.pending.clear()
        return self.attempt

    def emit(self, writer: int, count: int) -> None:
        """Let the source send its next rows to a writer, as far as it has any."""
        attempt = self._running()
        first = attempt.position
        if self.length is not None:
            count = min(count, self.length - first)
        if count > 0 and not attempt.input_ended and writer not in attempt.inputs_ended:
            attempt.emit(writer, tuple(f"{self.source}{first + i}" for i in range(count)))

    def end_input(self, writer: int | None = None) -> None:
        """Let the source come to its end, for one writer or for all that are left."""
        attempt = self._running()
        left = [i for i in range(attempt.writers) if i not in attempt.inputs_ended]
        if writer is not None and left != [writer]:
            attempt.end_input(writer)
            return
        if self.length is None:
            self.length = attempt.position
        if left and not attempt.input_ended:
            self.emit(left[0], self.length - attempt.position)
            attempt.end_input()

    def skip(self) -> None:
        """Use a number for a checkpoint that reaches no task."""
        self.last_number += 1

    def trigger(self, savepoint: bool = False, stop: bool = False) -> int:
        """Begin a checkpoint at the source; return its number.

        `stop`: a savepoint that the job stops with. It is told as a checkpoint is, but no failover
        restores it: what fails after its completion ends the job for good.
        """
        attempt = self._running()
        self.last_number += 1
        number = self.last_number
        self.pending[number] = Pending(number, attempt.position, savepoint or stop, stop=stop)
        for channel in attempt.inputs:
            channel.append(Barrier(number))
        return number

    def acknowledge(self, attempt: Attempt, checkpoint: int, state: bytes) -> None:
        """The coordinator has snapshotted. Acknowledgements of a former attempt are not heard."""
        pending = self.pending.get(checkpoint)
        if attempt is self.attempt and pending is not None:
            self.pending[checkpoint] = replace(pending, state=state)

    def completable(self) -> list[int]:
        """Return the checkpoints that are acknowledged by all."""
        return [number for number, each in self.pending.items() if each.state is not None]

    def complete(self, checkpoint: int, notify: bool = True) -> Retained:
        """A checkpoint is complete; older ones that are under way are subsumed: aborted.

        `notify`: the coordinator will hear of it, unless it dies before. Of a savepoint it never
        does, unless the job stops with it.
        """
        pending = self.pending.pop(checkpoint)
        assert pending.state is not None
        made = Retained(checkpoint, pending.position, pending.state, pending.savepoint)
        (self.savepoints if pending.savepoint else self.completed).append(made)
        if pending.savepoint and not pending.stop:
            return made
        if notify:
            self._running().notices.append(Notice(checkpoint, complete=True))
        for each in [each for each in self.pending.values() if each.number < checkpoint]:
            if not each.savepoint:
                self.abort(each.number, notify)
        return made

    def abort(self, checkpoint: int, notify: bool = True, first: Collection[int] = ()) -> None:
        """A checkpoint under way is given up.

        `first`: writers that hear of it before its barrier comes. They don't prepare; their rows
        go with the next checkpoint.
        """
        del self.pending[checkpoint]
        for writer in first:
            self._running().dropped[writer].add(checkpoint)
        if notify:
            self.tell_aborted(checkpoint)

    def tell_aborted(self, checkpoint: int) -> None:
        """Send the coordinator the notice of an abortion, which names the latest completion too.

        So a task hears of a completion that it has missed (StreamTask.notifyCheckpointAbortAsync).
        """
        latest, notices = self.latest(), self._running().notices
        if latest is not None:
            notices.append(Notice(latest.number, complete=True))
        notices.append(Notice(checkpoint, complete=False))

    def _running(self) -> Attempt:
        assert self.attempt is not None, "begin() comes first"
        return self.attempt
