"""A world with one log, one staging and one target, in which several jobs can live."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from exactly_once_kusto.protocol.ports import Settings
from exactly_once_kusto.testing.crash import Checkpoint, LittleFlink
from exactly_once_kusto.testing.memory import MemoryLog, MemoryStaging, MemoryTarget
from exactly_once_kusto.testing.world import World


@dataclass
class Stage:
    world: World = field(default_factory=World)
    staging: MemoryStaging = field(default_factory=MemoryStaging)
    log: MemoryLog = field(default_factory=MemoryLog)
    target: MemoryTarget = field(init=False)

    def __post_init__(self) -> None:
        self.target = MemoryTarget(self.staging, clock=lambda: self.world.now)

    def job(self, name: str, settings: Settings | None = None, branch: str = "") -> LittleFlink:
        return LittleFlink(
            self.world,
            self.staging,
            self.log,
            self.target,
            job=name,
            settings=settings or Settings(),
            branch=branch,
        )

    def kinds(self) -> list[str]:
        return [json.loads(entry)["kind"] for entry in self.log.entries]


def checkpoint(flink: LittleFlink, rows: int = 3, settle: bool = True) -> Checkpoint:
    """Produce rows, complete a checkpoint, and (by default) see its rows in."""
    flink.produce(rows)
    snapshot = flink.snapshot()
    assert snapshot is not None, flink.process and flink.process.error
    flink.complete(snapshot)
    if settle:
        flink.settle(snapshot.number)
    return snapshot


def run_until(flink: LittleFlink, condition: Callable[[], bool]) -> None:
    assert flink.process is not None
    flink.process.run(condition)


def run_until_action(flink: LittleFlink, kind: type) -> None:
    """Stop just before an action of this kind would be performed."""
    process = flink.process
    assert process is not None
    process.run(lambda: any(isinstance(action, kind) for action in process.todo))
    assert process.error is None, process.error
