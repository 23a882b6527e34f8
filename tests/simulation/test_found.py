"""What the simulator has found in the sink, each as the schedule that found it."""

from __future__ import annotations

from exactly_once_kusto.errors import SuspectError
from exactly_once_kusto.testing.schedules import Schedule, Setting, Turn
from exactly_once_kusto.testing.simulation import begin, conclude, simulate

HALF_DONE = Setting(writers=1, faulty=1, fault=3, merges=1, foreign=1)
"""The first command brings in half of its rows; they are merged with as many of others."""


def test_a_count_that_a_merge_has_filled_up_is_not_believed() -> None:
    schedule = Schedule(HALF_DONE, (Turn("round", 1),))
    simulation = begin(schedule.setting)
    for turn in schedule.turns:
        simulation.turn(turn)
    outcome = conclude(simulation, schedule)
    assert outcome.judgement.ok, simulate(schedule, told=True).story()
    (error,) = simulation.given_up.values()
    assert isinstance(error, SuspectError)
    assert "2 rows were staged in 1 part(s), 2 rows found in 1 extent(s)" in str(error)
    assert simulation.truth.shown.total() == 1, "the half was not done: nothing was tried here"


def test_nor_is_it_before_the_record_of_the_command_appears() -> None:
    late = Setting(writers=1, faulty=1, fault=3, merges=1, foreign=1, records_late_s=30.0)
    outcome = simulate(Schedule(late, (Turn("round", 1),)))
    assert outcome.judgement.ok, outcome.judgement


def test_a_merge_that_changes_nothing_asks_nobody() -> None:
    """All rows in, then merged among themselves or with the answer lost: the count decides."""
    for lost, loss in ((0, 0), (1, 2)):
        setting = Setting(writers=2, merges=1, foreign=0, lost=lost, loss=loss)
        simulation = begin(setting)
        for turn in (Turn("round", 1), Turn("merge"), Turn("round", 2), Turn("merge")):
            simulation.turn(turn)
        assert conclude(simulation, Schedule(setting, ())).judgement.ok
        assert not simulation.given_up
