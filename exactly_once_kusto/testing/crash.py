"""A small Flink around one coordinator: checkpoints, kills, restores, zombies; and who counts rows.

The seed of the simulator: a job counts rows from a source, cuts checkpoints, is killed where the
test says and restored from its latest checkpoint. `verdict` compares row identities, not counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.ports import Settings
from exactly_once_kusto.protocol.slices import encode_part
from exactly_once_kusto.protocol.steps import PortAction
from exactly_once_kusto.testing.drive import Process
from exactly_once_kusto.testing.memory import MemoryLog, MemoryStaging, MemoryTarget
from exactly_once_kusto.testing.world import World


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What Flink keeps: the source's position and the coordinator's bytes."""

    number: int
    position: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """Row identities that are missing, there more than once, or there before their checkpoint."""

    lost: tuple[str, ...] = ()
    duplicated: tuple[str, ...] = ()
    early: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing lost, duplicated or early."""
        return not (self.lost or self.duplicated or self.early)


@dataclass(slots=True)
class LittleFlink:
    """One job over shared staging, log and target. `branch` marks the rows it produces."""

    world: World
    staging: MemoryStaging
    log: MemoryLog
    target: MemoryTarget
    job: str = "job-1"
    settings: Settings = field(default_factory=Settings)
    branch: str = ""
    position: int = 0
    sealed_to: int = 0
    checkpoint: int = 0
    completed: list[Checkpoint] = field(default_factory=list)
    history: set[str] = field(default_factory=set)
    """Rows of completed checkpoints, of all branches."""
    process: Process | None = None
    zombies: list[Process] = field(default_factory=list)
    attempt: int = 0
    crash: Callable[[str, PortAction], bool] = lambda side, action: False

    def start(self, restored: Checkpoint | None = None, run: bool = True) -> Process:
        """Start or restart the coordinator from `restored`, or afresh."""
        self.attempt += 1
        self.process = Process(
            self.world, self.log, self.target, settings=self.settings, crash=self.crash
        )
        self.position = self.sealed_to = 0 if restored is None else restored.position
        given = None if restored is None else ev.Restored(restored.number, (restored.state,))
        self.process.send(ev.Opened(self.job, "operator", "host", self.attempt, given))
        process = self.process
        if run:
            process.run(lambda: process.ready)
        return process

    def latest(self) -> Checkpoint | None:
        """The checkpoint that a failover restores."""
        return self.completed[-1] if self.completed else None

    def restart(self) -> Process:
        """Restart from the latest completed checkpoint."""
        return self.start(self.latest())

    def produce(self, rows: int) -> None:
        """Let the source move on."""
        self.position += rows

    def names(self, start: int, end: int) -> list[str]:
        """The rows between two positions of the source."""
        return [f"{self.branch}{n}" for n in range(start, end)]

    def snapshot(self) -> Checkpoint | None:
        """Send the barrier; None if the coordinator stopped."""
        process = self._running()
        self.checkpoint += 1
        number = self.checkpoint
        rows = self.names(self.sealed_to, self.position)
        if rows:
            process.send(ev.PartArrived(encode_part(self.staging.seal(rows))))
        self.sealed_to = self.position
        process.send(ev.SnapshotAsked(number))
        process.run(lambda: number in process.states)
        if process.error is not None:
            return None
        return Checkpoint(number, self.position, process.states[number])

    def complete(self, snapshot: Checkpoint, notify: bool = True) -> None:
        """The checkpoint is complete; the notification may never come."""
        first = self.completed[-1].position if self.completed else 0
        self.completed.append(snapshot)
        self.history.update(self.names(first, snapshot.position))
        if notify:
            self._running().send(ev.CheckpointCompleted(snapshot.number))

    def settle(self, checkpoint: int) -> None:
        """Let the target work until Flink may go on after `checkpoint`, or the process stops."""
        process = self._running()

        def released() -> bool:
            self.target.advance_all()
            return checkpoint in process.released

        process.run(released)

    def drain(self) -> None:
        """Let process and target work until no slice waits, or the process stops."""
        process = self._running()

        def empty() -> bool:
            self.target.advance_all()
            return not process.coordinator.slices

        process.run(empty)

    def finish(self) -> None:
        """End of input: the last checkpoint, and everything is in when it returns."""
        process = self._running()
        process.send(ev.InputEnded())
        snapshot = self.snapshot()
        if snapshot is None:
            return
        self.complete(snapshot)
        self.settle(snapshot.number)

    def verdict(self, expected: Counter[str] | None = None) -> Verdict:
        """Compare the target's rows with `expected`, or with the history, once each."""
        wanted = Counter(self.history) if expected is None else expected
        seen = Counter(self.target.rows())
        return Verdict(
            lost=tuple(sorted((wanted - seen).elements())),
            duplicated=tuple(sorted(row for row in seen if seen[row] > max(1, wanted[row]))),
            early=tuple(sorted(row for row in seen if row not in self.history)),
        )

    def _running(self) -> Process:
        assert self.process is not None, "start() comes first"
        return self.process
