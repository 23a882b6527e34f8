"""A kill before and after every port call of a whole job: each row once, none before its time."""

from __future__ import annotations

import itertools

import pytest

from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.testing.crash import LittleFlink
from exactly_once_kusto.testing.memory import MemoryLog, MemoryStaging, MemoryTarget
from exactly_once_kusto.testing.world import Crashed, World


class KillAt:
    """Kills at the n-th port call, on one side of it."""

    def __init__(self, *points: tuple[int, str]) -> None:
        self.points = set(points)
        self.calls = 0

    def __call__(self, side: str, action: object) -> bool:
        if side == "before":
            self.calls += 1
        return (self.calls, side) in self.points


def road(kill: KillAt) -> tuple[LittleFlink, int]:
    """Three checkpoints and the end of input, restarted after each kill."""
    world = World()
    staging = MemoryStaging()
    target = MemoryTarget(staging, clock=lambda: world.now)
    flink = LittleFlink(world, staging, MemoryLog(), target, crash=kill)
    kills = 0
    for _ in range(20):
        try:
            process = flink.restart()
            assert process.error is None, process.error
            while len(flink.completed) < 3:
                flink.produce(5)
                snapshot = flink.snapshot()
                assert snapshot is not None, process.error
                flink.complete(snapshot)
                flink.settle(snapshot.number)
            flink.finish()
        except Crashed:
            kills += 1
            assert not flink.verdict().early, flink.verdict()
            continue
        return flink, kills
    raise AssertionError("twenty restarts were not enough")


@pytest.fixture(scope="module")
def calls() -> int:
    kill = KillAt()
    flink, _ = road(kill)
    assert flink.verdict().ok, flink.verdict()
    assert kill.calls > 20
    return kill.calls


def test_no_row_is_lost_or_doubled_by_one_kill_at_any_port_call(calls: int) -> None:
    for point in itertools.product(range(1, calls + 1), ("before", "after")):
        flink, kills = road(KillAt(point))
        assert kills == 1, f"nothing was killed at {point}"
        assert flink.verdict().ok, f"killed at {point}: {flink.verdict()}"
        assert len(flink.history) >= 15


def test_no_row_is_lost_or_doubled_by_two_kills(calls: int) -> None:
    sides = ("before", "after")
    for first, second in itertools.combinations(range(1, calls + 1), 2):
        for side, other in itertools.product(sides, sides):
            flink, kills = road(KillAt((first, side), (second, other)))
            assert kills == 2
            assert flink.verdict().ok, f"killed at {first} {side}, {second} {other}"


def test_a_duplicate_would_be_seen(calls: int) -> None:
    """The checker itself can fail: a second copy of an extent is a doubled row."""
    flink, _ = road(KillAt())
    flink.target.extents[99] = flink.target.extents[1]
    assert flink.verdict().duplicated
    del flink.target.extents[99], flink.target.extents[1]
    assert flink.verdict().lost


def test_parts_are_deleted_once_they_are_in(calls: int) -> None:
    flink, _ = road(KillAt())
    assert flink.process is not None
    for action in [a for a in flink.process.todo if isinstance(a, ev.Delete)]:
        flink.process.step(flink.process.todo.index(action))
    assert flink.staging.parts == {}
