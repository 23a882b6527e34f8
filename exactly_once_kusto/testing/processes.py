"""The processes of one attempt: the real coordinator and writers, driven one port call at a time.

They do what the workers do (`flink.coordinator_loop`, `flink.writer_loop`), but only when told to:
so a process can be killed beside any port call, or paused there and woken later.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from dataclasses import dataclass, field
from typing import get_args

from exactly_once_kusto.errors import ExactlyOnceError, TransientError
from exactly_once_kusto.flink.writer_loop import prepare
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.coordinator import Coordinator
from exactly_once_kusto.protocol.ports import Brake, LedgerStore, Target, Writer
from exactly_once_kusto.protocol.steps import (
    LogAction,
    PortAction,
    TargetAction,
    TidyAction,
    perform,
)
from exactly_once_kusto.testing.flink_job import Attempt, Barrier, Ended, Item, PartSent, Rows
from exactly_once_kusto.testing.simulated_sink import Names, Subject
from exactly_once_kusto.testing.world import Gate, World

LANES = 3
LANE_OF: dict[type, int] = {
    **dict.fromkeys(get_args(LogAction), 0),
    **dict.fromkeys(get_args(TargetAction), 1),
    **dict.fromkeys(get_args(TidyAction), 2),
}


@dataclass(slots=True)
class WriterProcess:
    """One writer subtask. `error`: what made the task fail."""

    index: int
    gate: Gate
    writer: Writer
    brake: Brake
    batch: bool = False
    error: ExactlyOnceError | None = None

    def take(self, item: Item) -> list[Item]:
        """Take what came down the channel; return what goes on to the coordinator."""
        try:
            if isinstance(item, Rows):
                self.writer.write(Names(item.names))
                return []
            if isinstance(item, Barrier):
                self._look_at_brake()
            return [*map(PartSent, prepare(self.writer)), item]
        except ExactlyOnceError as error:
            self.error = error
            return []

    def _look_at_brake(self) -> None:
        """As the driver does (`writer_loop.wait_at_barrier`), but time does not pass."""
        with contextlib.suppress(TransientError):
            self.brake.is_on()


@dataclass(slots=True)
class CoordinatorProcess:
    """One coordinator: a state machine, and three lanes that perform what it asks."""

    world: World
    gate: Gate
    machine: Coordinator
    log: LedgerStore
    target: Target
    brake: Brake
    lanes: tuple[deque[PortAction], ...] = field(
        default_factory=lambda: tuple(deque() for _ in range(LANES))
    )
    replies: list[ev.Event | None] = field(default_factory=lambda: [None] * LANES)
    """What a port has answered and the machine has not heard yet, by lane."""
    wakes: list[tuple[float, int, str]] = field(default_factory=list)
    states: dict[int, bytes] = field(default_factory=dict)
    """What was snapshotted and not yet acknowledged."""
    released: set[int] = field(default_factory=set)
    ready: bool = False
    error: ExactlyOnceError | None = None

    @property
    def alive(self) -> bool:
        """Whether it can do anything yet."""
        return self.error is None and self.gate.alive

    def send(self, event: ev.Event) -> None:
        """Give the machine an event, and put what it asks into the lanes."""
        for action in self.machine.handle(event, self.world.moment()):
            lane = LANE_OF.get(type(action))
            if lane is None:
                self._to_flink(action)
            else:
                self.lanes[lane].append(action)  # type: ignore[arg-type]

    def _to_flink(self, action: ev.Action) -> None:
        match action:
            case ev.Wake(key, delay_s):
                self.wakes.append((self.world.now + delay_s, len(self.wakes), key))
            case ev.Ready():
                self.ready = True
            case ev.KeepState(checkpoint, data):
                self.states[checkpoint] = data
            case ev.Release(checkpoint):
                self.released.add(checkpoint)
            case ev.Stop(error):
                self.error = error
                self.world.note(f"{self.gate.name} stops: {type(error).__name__}: {error}")
            case ev.Say(level, message):
                if self.world.notes is not None:
                    self.world.note(f"{self.gate.name} says {level} {message}")

    def busy_lanes(self) -> list[int]:
        """Return the lanes in which something is to be done."""
        return [i for i in range(LANES) if self.lanes[i] or self.replies[i] is not None]

    def step(self, lane: int, hold: bool = False) -> None:
        """Perform the next action of a lane; `hold`: the machine hears the answer a step later.

        Raises:
            Crashed: the process was killed beside one of its port calls.
        """
        reply, self.replies[lane] = self.replies[lane], None
        if reply is None:
            reply = perform(self.lanes[lane].popleft(), self.log, self.target, self.brake)
            if hold:
                self.replies[lane] = reply
                return
        self.send(reply)

    def next_wake(self) -> float | None:
        """Return when it wants to be woken next."""
        return min(self.wakes)[0] if self.wakes else None

    def wake_due(self) -> bool:
        """Send the wake-ups whose time has come; whether there were any."""
        due = sorted(each for each in self.wakes if each[0] <= self.world.now)
        self.wakes = [each for each in self.wakes if each[0] > self.world.now]
        for _, _, key in due:
            if self.alive:
                self.send(ev.Woken(key))
        return bool(due)


@dataclass(slots=True)
class Running:
    """An attempt of a job with its processes."""

    job: str
    attempt: Attempt
    coordinator: CoordinatorProcess
    writers: list[WriterProcess]
    batch: bool = False

    def kill(self) -> None:
        """End all its processes, wherever they are."""
        self.coordinator.gate.alive = False
        for writer in self.writers:
            writer.gate.alive = False

    @property
    def alive(self) -> bool:
        """Whether all its processes can go on."""
        writers = all(each.gate.alive and each.error is None for each in self.writers)
        return writers and self.coordinator.alive

    def began(self) -> float:
        """Return under which number of the log its `start` stands; infinite if it has none."""
        number = self.coordinator.machine.lane.own_start
        return math.inf if number is None else number

    def error(self) -> ExactlyOnceError | None:
        """Return what made one of its tasks fail, if that is known."""
        found = [each.error for each in self.writers if each.error is not None]
        return self.coordinator.error or (found[0] if found else None)

    def writer_takes(self, index: int) -> bool:
        """Let a writer take its next item; False if there is none."""
        item = self.attempt.next_for(index)
        if item is None:
            return False
        for made in self.writers[index].take(item):
            self.attempt.send(index, made)
        return True

    def coordinator_takes(self, channel: int) -> Item | None:
        """Let the coordinator take the next item of a channel; return what it saw."""
        item = self.attempt.take(channel)
        if isinstance(item, PartSent):
            self.coordinator.send(ev.PartArrived(item.data))
        elif isinstance(item, Barrier):
            self.coordinator.send(ev.SnapshotAsked(item.checkpoint))
        elif isinstance(item, Ended):
            self.coordinator.send(ev.InputEnded())
        return item

    def coordinator_hears(self) -> bool:
        """Let the coordinator hear the next notice; False if there is none."""
        notice = self.attempt.take_notice()
        if notice is None:
            return False
        kind = ev.CheckpointCompleted if notice.complete else ev.CheckpointAborted
        self.coordinator.send(kind(notice.checkpoint))
        return True


def start(world: World, subject: Subject, job: str, attempt: Attempt, batch: bool) -> Running:
    """Start the processes of an attempt and open its coordinator."""
    tag = f"{job}.{attempt.number}"
    gate = Gate(world, f"coordinator {tag}")
    ports = subject.ports(gate)
    log = ports.ledger()
    machine = Coordinator(subject.name, log.address, subject.settings)
    coordinator = CoordinatorProcess(world, gate, machine, log, ports.target(), ports.brake())
    writers = [
        _writer(world, subject, f"writer {tag}/{i}", i, batch) for i in range(attempt.writers)
    ]
    restored = attempt.restored
    given = None if restored is None else ev.Restored(restored.number, (restored.state,))
    world.note(f"{gate.name} opens, restored {restored and restored.number}")
    opened = ev.Opened(job, "operator", "host", attempt.number, given, batch)
    coordinator.send(opened)
    return Running(job, attempt, coordinator, writers, batch)


def _writer(world: World, subject: Subject, name: str, index: int, batch: bool) -> WriterProcess:
    gate = Gate(world, name)
    ports = subject.ports(gate)
    return WriterProcess(index, gate, ports.writer(), ports.brake(), batch)
