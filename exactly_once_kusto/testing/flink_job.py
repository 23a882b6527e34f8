"""Flink's side of a job, as a sink sees it: channels, barriers, alignment, checkpoints, notices.

Bookkeeping only: no sink, no clock, no dice; what happens next is the caller's choice. The same
rules make the simulator's schedules and judge what a real Flink was seen to do (acceptor.py).

Sources: Flink's documentation, Stateful Stream Processing (barriers, alignment) and Savepoints
(intermediate savepoints are not used for recovery, and not notified); FLIP-147 (checkpoints after
tasks have finished); classes CheckpointCoordinator, SubtaskCheckpointCoordinatorImpl.
"""

from __future__ import annotations

from collections import deque
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


Item = Rows | Barrier | Ended | PartSent


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
    inputs: list[deque[Item]] = field(init=False)
    """From the source to each writer."""
    outputs: list[deque[Item]] = field(init=False)
    """From each writer to the coordinator."""
    notices: deque[Notice] = field(default_factory=deque)
    blocked: set[int] = field(default_factory=set)
    """Channels whose barrier has arrived, while those of others have not: alignment."""
    aligning: int | None = None
    cancelled: set[int] = field(default_factory=set)
    """Checkpoints whose barriers are ignored, because they were aborted before."""
    ends: set[int] = field(default_factory=set)
    sent: list[list[Item]] = field(init=False)
    """All that each writer has ever sent: in a batch Flink may keep it for a repetition."""

    def __post_init__(self) -> None:
        self.inputs = [deque() for _ in range(self.writers)]
        self.outputs = [deque() for _ in range(self.writers)]
        self.sent = [[] for _ in range(self.writers)]

    def emit(self, writer: int, names: tuple[str, ...]) -> None:
        """Let the source send rows to a writer."""
        self.position += len(names)
        self.inputs[writer].append(Rows(names))

    def end_input(self) -> None:
        """Let the source end; barriers may still come."""
        self.input_ended = True
        for channel in self.inputs:
            channel.append(Ended())

    def next_for(self, writer: int) -> Item | None:
        """Take what comes next to a writer; None if nothing does."""
        channel = self.inputs[writer]
        return channel.popleft() if channel else None

    def send(self, writer: int, item: Item) -> None:
        """Send something from a writer to the coordinator."""
        self.outputs[writer].append(item)
        self.sent[writer].append(item)

    def written(self) -> bool:
        """Whether every writer has come to its end."""
        return self.input_ended and not any(self.inputs)

    def repeat(self, former: Attempt) -> None:
        """Take what the writers of a former attempt have sent; they are not run again (batch)."""
        self.position, self.input_ended = former.position, True
        self.sent = [list(each) for each in former.sent]
        self.outputs = [deque(each) for each in former.sent]

    def open_channels(self) -> list[int]:
        """Return the channels from which the coordinator may take something now."""
        return [i for i, each in enumerate(self.outputs) if each and i not in self.blocked]

    def take(self, writer: int) -> Item | None:
        """Take the next item of a channel; return it where the coordinator sees it.

        A barrier is seen when it has come from all channels, the end likewise.
        """
        item = self.outputs[writer].popleft()
        if isinstance(item, Ended):
            self.ends.add(writer)
            return item if len(self.ends) == self.writers else None
        if not isinstance(item, Barrier):
            return item
        if item.checkpoint in self.cancelled:
            return None
        self.blocked.add(writer)
        self.aligning = item.checkpoint
        if len(self.blocked) < self.writers:
            return None
        self._aligned()
        return item

    def take_notice(self) -> Notice | None:
        """Take the next notice; None if there is none. An aborted checkpoint is not aligned on."""
        if not self.notices:
            return None
        notice = self.notices.popleft()
        if not notice.complete:
            self.cancelled.add(notice.checkpoint)
            if self.aligning == notice.checkpoint:
                self._aligned()
        return notice

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
        if count > 0 and not attempt.input_ended:
            attempt.emit(writer, tuple(f"{self.source}{first + i}" for i in range(count)))

    def end_input(self) -> None:
        """Let the source come to its end."""
        attempt = self._running()
        if self.length is None:
            self.length = attempt.position
        self.emit(0, self.length - attempt.position)
        if not attempt.input_ended:
            attempt.end_input()

    def trigger(self, savepoint: bool = False) -> int:
        """Begin a checkpoint at the source; return its number."""
        attempt = self._running()
        self.last_number += 1
        number = self.last_number
        self.pending[number] = Pending(number, attempt.position, savepoint)
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
        """A checkpoint is complete; older ones that are under way are subsumed.

        `notify`: the coordinator will hear of it, unless it dies before. A savepoint never is.
        """
        pending = self.pending.pop(checkpoint)
        assert pending.state is not None
        made = Retained(checkpoint, pending.position, pending.state, pending.savepoint)
        if pending.savepoint:
            self.savepoints.append(made)
            return made
        self.completed.append(made)
        for number in [n for n, each in self.pending.items() if n < checkpoint]:
            if not self.pending[number].savepoint:
                del self.pending[number]
        if notify:
            self._running().notices.append(Notice(checkpoint, complete=True))
        return made

    def abort(self, checkpoint: int, notify: bool = True) -> None:
        """A checkpoint under way is given up."""
        del self.pending[checkpoint]
        if notify:
            self._running().notices.append(Notice(checkpoint, complete=False))

    def _running(self) -> Attempt:
        assert self.attempt is not None, "begin() comes first"
        return self.attempt
