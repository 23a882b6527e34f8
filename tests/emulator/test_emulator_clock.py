"""The clock that tests turn: every time written comes from it, and a restart keeps the turn."""

from __future__ import annotations

import datetime as dt
import threading

import pytest

from exactly_once_kusto.emulator.clock import Clock
from exactly_once_kusto.emulator.control import RemoteClock, RemoteUpkeep

from .conftest import Kusto

DAY = dt.timedelta(days=1)
LATER = dt.datetime(2040, 2, 29, 12)  # noqa: DTZ001 - UTC by convention


def test_time_goes_on_after_a_turn_in_either_direction() -> None:
    clock = Clock()
    for moment in (LATER, LATER - 30 * 365 * DAY):
        assert moment <= clock.set(moment) < moment + dt.timedelta(seconds=5)
        first, second = clock.now(), clock.now()
        assert moment <= first <= second
    before = clock.now()
    assert DAY <= clock.advance(DAY) - before < DAY + dt.timedelta(seconds=5)
    assert clock.advance(-86400) < before + dt.timedelta(seconds=5)
    assert abs(clock.reset() - Clock().now()) < dt.timedelta(seconds=5)


def test_a_moment_with_a_zone_is_that_moment() -> None:
    clock = Clock()
    zone = dt.timezone(dt.timedelta(hours=5))
    turned = clock.set(dt.datetime(2030, 1, 1, 5, tzinfo=zone))
    assert turned.replace(minute=0, second=0, microsecond=0) == dt.datetime(2030, 1, 1)  # noqa: DTZ001


def test_what_waits_for_a_moment_is_woken_by_a_turn() -> None:
    clock = Clock()
    came: list[bool] = []
    due = clock.now() + DAY
    waiting = threading.Thread(target=lambda: came.append(clock.wait_until(due)))
    waiting.start()
    clock.advance(2 * DAY)
    waiting.join(10)
    assert came == [True]
    assert clock.wait_until(clock.now() + DAY, gives_up=lambda: True) is False


def test_every_time_that_is_written_comes_from_the_clock(kusto, kusto_emulator) -> None:
    kusto_emulator.clock.set(LATER)
    kusto.rows(".create table T (n:long)")
    kusto.rows(".ingest inline into table T <| 1")
    hour = "between (datetime(2040-02-29 12:00) .. 1h)"
    assert kusto.one("T | count") == 1
    assert kusto.rows(f"T | where ingestion_time() {hour} | count") == [[1]]
    assert kusto.rows(f"print x = now() | where x {hour} | count") == [[1]]
    assert kusto.rows(f".show table T extents | where MaxCreatedOn {hour} | count") == [[1]]
    assert kusto.rows(f".show operations | where LastUpdatedOn {hour} | count") == [[1]]
    assert kusto.rows(f".show commands | where StartedOn {hour} | count") == [[1]]


def test_the_clock_and_upkeep_are_told_over_http(kusto, kusto_emulator) -> None:
    clock = RemoteClock(kusto_emulator.cluster)
    assert clock.set(LATER) >= LATER
    assert LATER <= kusto_emulator.clock.now() < LATER + DAY
    clock.advance(DAY)
    assert clock.now() >= LATER + DAY
    assert clock.offset == kusto_emulator.clock.offset
    clock.reset()
    assert kusto_emulator.clock.offset == dt.timedelta(0)
    with pytest.raises(ValueError, match="out of range"):
        clock.advance(1e12)
    upkeep = RemoteUpkeep(kusto_emulator.cluster)
    assert upkeep.set(merging=True)["merging"] is True
    assert kusto_emulator.upkeep.settings() == upkeep.settings()
    with pytest.raises(ValueError, match="'seconds' must be between"):
        upkeep.set(seconds=0)
    assert upkeep.run().dropped == 0


def test_a_turn_outlives_a_kill(process) -> None:
    kusto = Kusto(process.cluster)
    process.clock.set(LATER)
    process.restart()
    assert LATER <= process.clock.now() < LATER + DAY
    assert kusto.rows("print now() > datetime(2040-02-29)") == [[True]]


def test_a_fault_makes_the_clock_jump_back(kusto, kusto_emulator) -> None:
    kusto.rows(".create table T (n:long)")
    kusto_emulator.faults.set({"on": "ingest-inline", "do": "clock-jump", "seconds": -86400})
    kusto.rows(".ingest inline into table T <| 1")
    assert kusto.rows(".show table T extents | where MaxCreatedOn < now(-23h) | count") == [[0]]
    assert kusto_emulator.clock.offset.total_seconds() == -86400
    kusto_emulator.clock.reset()
    assert kusto.rows(".show table T extents | where MaxCreatedOn < now(-23h) | count") == [[1]]


def test_a_period_that_ended_while_the_emulator_was_down_ends_at_the_next_turn(process) -> None:
    kusto = Kusto(process.cluster)
    kusto.rows(".create table T (n:long)")
    policy = '[{"TagPrefix":"ingest-by:","RetentionPeriod":"02:00:00"}]'
    kusto.rows(f".alter table T policy extent_tags_retention '{policy}'")
    kusto.rows(".ingest inline into table T with (tags='[\"ingest-by:a\"]') <| 1")
    shown = ".show table T extents | project Tags"
    process.clock.advance(3600)
    process.restart()
    assert kusto.one(shown) == "ingest-by:a"
    process.clock.advance(1.1 * 3600)
    assert kusto.one(shown) == ""
    process.restart()
    assert (kusto.one(shown), kusto.one("T | count")) == ("", 1)
    assert process.clock.now() - Clock().now() > dt.timedelta(hours=2)


@pytest.mark.parametrize("moment", [dt.datetime.max, dt.datetime.min, dt.datetime(1969, 12, 31)])  # noqa: DTZ001,DTZ901
def test_the_clock_is_never_where_no_other_time_can_be_reckoned_from_it(
    kusto, kusto_emulator, moment: dt.datetime
) -> None:
    with pytest.raises(ValueError, match="out of range: the clock"):
        kusto_emulator.clock.set(moment)
    assert kusto.rows(".show operations") == []
    assert kusto_emulator.clock.offset == dt.timedelta(0)


def test_whoever_asks_for_the_time_does_not_wait_for_what_a_turn_sets_off() -> None:
    # An ingestion holds the writer's lock and asks for the time; what is due after a turn wants
    # that lock. Each waited for the other until a timeout failed both.
    clock = Clock()
    waits: list[bool] = []

    def listen() -> None:
        asking = threading.Thread(target=clock.now)
        asking.start()
        asking.join(2)
        waits.append(asking.is_alive())

    clock.on_turn(listen)
    clock.advance(DAY)
    clock.set(LATER)
    clock.reset()
    assert waits == [False] * 3


def test_turns_at_once_are_all_kept(kusto_emulator) -> None:
    clock = kusto_emulator.clock
    turns = [threading.Thread(target=lambda: clock.advance(DAY)) for _ in range(8)]
    for turn in turns:
        turn.start()
    for turn in turns:
        turn.join(30)
    assert clock.offset == 8 * DAY
    assert kusto_emulator._service.engine.turned() == 8 * DAY


def test_a_fault_makes_the_clock_jump_at_any_kind_of_request(kusto, kusto_emulator) -> None:
    kusto_emulator.faults.set({"on": "query", "do": "clock-jump", "seconds": 3600})
    kusto.rows("print 1")
    assert kusto_emulator.clock.offset == dt.timedelta(hours=1)
