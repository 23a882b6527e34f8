"""The judge itself can say each of its five words, and says none of them without reason."""

from __future__ import annotations

import math

import pytest

from exactly_once_kusto.errors import FencedError, SuspectError
from exactly_once_kusto.testing.schedules import Schedule, Setting, Turn, draw
from exactly_once_kusto.testing.simulated_kusto import Habits, Ingest, Service
from exactly_once_kusto.testing.simulated_storage import Objects
from exactly_once_kusto.testing.simulation import begin, conclude, simulate
from exactly_once_kusto.testing.truth import Truth
from exactly_once_kusto.testing.world import World


@pytest.fixture
def truth() -> Truth:
    truth = Truth()
    truth.prove("a", 3)
    truth.owe("a", 3)
    return truth


def test_a_row_that_never_came_is_lost(truth: Truth) -> None:
    truth.show(["a0", "a2"])
    assert truth.judge().lost == ("a1",)


def test_a_row_that_came_twice_is_doubled_unless_that_was_allowed(truth: Truth) -> None:
    truth.show(["a0", "a1", "a2"])
    truth.show(["a1", "a2"])
    assert truth.judge().duplicated == ("a1", "a2")
    truth.allow_again("a", 2)
    assert truth.judge().duplicated == ("a1",)


def test_a_row_before_its_checkpoint_is_early_also_when_the_checkpoint_comes(truth: Truth) -> None:
    truth.show(["a0", "a1", "a2", "a3"])
    truth.prove("a", 4)
    assert truth.judge().early == ("a3",)


def test_rows_that_a_merge_or_a_policy_takes_away_afterwards_were_shown() -> None:
    setting = Setting(writers=1)
    simulation = begin(setting)
    for turn in (Turn("round", 1), Turn("settle"), Turn("merge"), Turn("round", 1)):
        simulation.turn(turn)
    assert conclude(simulation, Schedule(setting, ())).judgement.ok


def test_a_job_that_goes_in_circles_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its coordinator never snapshots: no checkpoint, no end, and no person is asked."""
    monkeypatch.setattr("exactly_once_kusto.protocol.coordinator.Coordinator._seal", lambda *_: [])
    assert simulate(Schedule(Setting(), (Turn("round"),))).judgement.stuck == ("job-1",)


def test_a_person_who_is_asked_without_need_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def suspects(*_: object) -> object:
        raise SuspectError("for no reason")

    monkeypatch.setattr("exactly_once_kusto.protocol.commit.Commit.looked", suspects)
    judgement = simulate(Schedule(Setting(), (Turn("round"),))).judgement
    assert judgement.unknown == ("job-1 (SuspectError)",)


def test_an_error_that_is_no_question_to_a_person_ends_no_job_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FencedError, "restartable", False)
    found = {simulate(draw(seed)).judgement.unknown for seed in range(300)}
    assert any("FencedError" in text for each in found for text in each)


def test_only_a_half_that_was_filled_up_exactly_is_excused() -> None:
    """With the rows of an extent whose tags had expired: as many as are missing, not fewer."""
    for earlier, excused in ((2, ["b1", "b2"]), (1, [])):
        habits = Habits(merges=2, faulty=2, fault=3, tags_kept_s=60.0)
        objects = Objects({"a": b"a0 a1"[: 3 * earlier - 1], "b": b"b0 b1 b2"})
        service = Service(World(), objects, habits, lambda rows: None)
        for tag in "ab":
            command = service.start(Ingest(((tag, math.inf),), tag, tag))
            service.advance(command)
            service.advance(command)
            service.world.now += 61
            service.expire()
        assert [len(extent.rows) for extent in service.extents.values()] == [earlier + 1]
        assert service.unknowable() == excused
