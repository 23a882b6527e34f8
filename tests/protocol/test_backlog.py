"""What waits: grouped into few commands, held back where asked, limited, and told how old it is."""

from __future__ import annotations

import json

import pytest

from exactly_once_kusto.errors import StorageUnavailableError
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.ports import Settings
from exactly_once_kusto.protocol.slices import encode_part
from exactly_once_kusto.testing.crash import LittleFlink

from .stage import Stage, checkpoint

HELD = Settings(hold_age_s=60.0)
"""A minute, or until something else lets them go."""


def intents(stage: Stage) -> list[list[int]]:
    """The checkpoints of each first intent's slices."""
    entries = [json.loads(entry) for entry in stage.log.entries]
    return [
        [piece[1] for piece in entry["slices"]]
        for entry in entries
        if entry["kind"] == "intent" and entry["attempt"] == 1
    ]


def work(flink: LittleFlink) -> None:
    """Perform what is due without turning the clock."""
    process = flink.process
    assert process is not None
    while process.todo:
        process.step()
        flink.target.advance_all()


# ---- outage


def test_slices_of_an_outage_go_in_few_commands(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    checkpoint(flink)
    stage.target.reachable = False
    for _ in range(40):
        checkpoint(flink)
    assert flink.process is not None
    assert len(flink.process.coordinator.slices) == 40
    stage.target.reachable = True
    flink.finish()
    assert flink.verdict().ok
    # The slice whose commit the outage has interrupted is a transaction of its own.
    assert [len(group) for group in intents(stage)] in ([1, 1, 39], [1, 40])


def test_the_age_of_the_oldest_waiting_slice_is_known_also_after_a_restore(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    stage.target.reachable = False
    checkpoint(flink)
    sealed = stage.world.now
    stage.world.now = sealed + 500.0
    process = flink.restart()
    waiting = process.coordinator.waiting_at(stage.world.now)
    assert waiting.slices == 1
    assert 490.0 <= waiting.oldest_s <= 510.0
    assert process.coordinator.waiting_at(sealed - 100).oldest_s == 0.0, "a clock that jumped back"


# ---- hold


def test_slices_are_held_until_the_oldest_is_old_enough(stage: Stage) -> None:
    flink = stage.job("a", HELD)
    flink.start()
    began = stage.world.now
    for _ in range(3):
        checkpoint(flink, settle=False)
        work(flink)
    assert flink.process is not None
    assert intents(stage) == []
    assert flink.process.released == [1, 2, 3], "a checkpoint waited for rows that are held back"
    flink.drain()
    assert intents(stage) == [[1, 2, 3]]
    assert 60.0 <= stage.world.now - began <= 62.0
    assert flink.verdict().ok


def test_slices_are_held_until_they_are_large_enough(stage: Stage) -> None:
    flink = stage.job("a", Settings(hold_age_s=60.0, hold_bytes=9))  # a row has one byte here
    flink.start()
    for _ in range(2):
        checkpoint(flink, rows=3, settle=False)
        work(flink)
    assert intents(stage) == []
    checkpoint(flink, rows=3, settle=False)
    work(flink)
    assert intents(stage) == [[1, 2, 3]]


def test_a_full_group_is_not_held(stage: Stage) -> None:
    flink = stage.job("a", Settings(hold_age_s=60.0, group_parts_max=2))
    flink.start()
    for _ in range(3):
        checkpoint(flink, settle=False)
        work(flink)
    assert intents(stage) == [[1, 2]]


def test_nothing_is_held_at_the_end_of_input(stage: Stage) -> None:
    flink = stage.job("a", HELD)
    flink.start()
    checkpoint(flink, settle=False)
    work(flink)
    before = stage.world.now
    flink.finish()
    assert flink.verdict().ok
    assert stage.world.now - before < 30.0


def test_one_table_is_not_held_up_by_another(stage: Stage) -> None:
    flink = stage.job("a", Settings(hold_age_s=60.0, hold_bytes=3))
    process = flink.start()
    for destination, rows in (("small", ["x"]), ("large", ["a", "b", "c"])):
        process.send(ev.PartArrived(encode_part(stage.staging.seal(rows, destination))))
    process.send(ev.SnapshotAsked(1))
    process.run(lambda: 1 in process.states)
    process.send(ev.CheckpointCompleted(1))
    work(flink)
    assert sorted(stage.target.rows()) == ["a", "b", "c"]
    flink.drain()
    assert sorted(stage.target.rows()) == ["a", "b", "c", "x"]
    assert len(intents(stage)) == 2, "two tables went into one command"


def test_held_slices_are_in_the_state_and_committed_after_the_restore(stage: Stage) -> None:
    flink = stage.job("a", HELD)
    flink.start()
    for _ in range(3):
        checkpoint(flink, settle=False)
        work(flink)
    flink.restart()
    flink.finish()
    assert flink.verdict().ok
    assert intents(stage) == [[1, 2, 3]]


# ---- limit


def test_above_the_limit_the_writers_are_held_back_and_let_go_below(stage: Stage) -> None:
    flink = stage.job("a", Settings(pending_slices_max=3))
    process = flink.start()
    stage.target.reachable = False
    for _ in range(2):
        checkpoint(flink)
        work(flink)
    assert not process.brake.is_on()
    checkpoint(flink)
    work(flink)
    assert process.brake.is_on()
    (warning,) = [line for line in process.said if "held back" in line]
    assert warning.startswith("WARNING 3 slices wait for the target, the limit is 3")
    assert "'pending-slices-max'" in warning
    checkpoint(flink)  # one that was on its way: not refused, nothing lost
    stage.target.reachable = True
    flink.drain()
    work(flink)
    assert not process.brake.is_on()
    flink.finish()
    assert flink.verdict().ok


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (Settings(pending_bytes_max=3), "'pending-bytes-max'"),
        (Settings(pending_state_bytes_max=10), "bytes of state"),
    ],
)
def test_bytes_are_limited_too(stage: Stage, settings: Settings, named: str) -> None:
    flink = stage.job("a", settings)
    process = flink.start()
    stage.target.reachable = False
    checkpoint(flink, rows=5)
    work(flink)
    assert process.brake.is_on()
    assert any(named in line for line in process.said)


def test_nobody_is_held_back_when_nothing_waits(stage: Stage) -> None:
    flink = stage.job("a", Settings(pending_state_bytes_max=700))
    process = flink.start()
    stage.target.reachable = False
    for _ in range(6):
        checkpoint(flink)
    work(flink)
    assert process.brake.is_on()
    stage.target.reachable = True
    flink.drain()
    work(flink)
    assert not process.brake.is_on()


def test_a_sign_that_a_dead_run_puts_up_late_is_taken_away_in_time(stage: Stage) -> None:
    flink = stage.job("a")
    process = flink.start()
    work(flink)
    process.brake.put_on("a late request of a run that was given up")
    for _ in range(60):
        checkpoint(flink, rows=0)
        work(flink)
    assert not process.brake.is_on()


def test_a_sign_that_an_earlier_run_has_left_is_taken_away(stage: Stage) -> None:
    flink = stage.job("a")
    process = flink.start(run=False)
    process.brake.put_on("left by a run that was killed")
    process.run(lambda: process.ready and not process.todo)
    assert not process.brake.is_on()


def test_a_run_that_is_restored_over_the_limit_holds_the_writers_back_at_once(stage: Stage) -> None:
    flink = stage.job("a", Settings(pending_slices_max=2))
    flink.start()
    stage.target.reachable = False
    for _ in range(3):
        checkpoint(flink)
    process = flink.restart()
    work(flink)
    assert process.brake.is_on()


# ---- the ledger's storage is away


class AwayLog:
    """The log of a stage, which can't be reached while `away`."""

    def __init__(self, stage: Stage) -> None:
        self.log = stage.log
        self.away = False

    @property
    def address(self) -> str:
        return self.log.address

    def read(self, after: int) -> object:
        if self.away:
            raise StorageUnavailableError("the mount is gone")
        return self.log.read(after)

    def append(self, number: int, data: bytes) -> bool:
        if self.away:
            raise StorageUnavailableError("the mount is gone")
        return self.log.append(number, data)


def test_a_ledger_that_is_away_delays_the_snapshot_and_stops_nothing(stage: Stage) -> None:
    flink = stage.job("a")
    process = flink.start()
    log = AwayLog(stage)
    process.log = log  # type: ignore[assignment]
    checkpoint(flink)
    log.away, back_at = True, stage.world.now + 300.0
    flink.produce(3)
    process.send(ev.PartArrived(encode_part(stage.staging.seal(flink.names(3, 6)))))
    flink.sealed_to = 6
    process.send(ev.SnapshotAsked(2))
    process.run(lambda: stage.world.now >= back_at)
    assert process.error is None
    assert 2 not in process.states
    assert 3 <= sum("the mount is gone" in line for line in process.said) <= 12
    log.away = False
    process.run(lambda: 2 in process.states)
    flink.checkpoint = 2
    flink.finish()
    assert process.error is None
    assert flink.verdict().ok


def test_a_ledger_that_stays_away_ends_the_run_in_the_end(stage: Stage) -> None:
    flink = stage.job("a", Settings(log_wait_s=120.0))
    process = flink.start()
    log = AwayLog(stage)
    process.log = log  # type: ignore[assignment]
    log.away, began = True, stage.world.now
    process.send(ev.SnapshotAsked(1))
    process.run(lambda: False)
    assert isinstance(process.error, StorageUnavailableError)
    assert process.error.restartable
    assert 120.0 <= stage.world.now - began <= 131.0
