"""The failure matrix of docs/guarantee.md, row by row: writers, checkpoints, the coordinator.

Each test says the verdict and the point of its row. Kusto and storage are in
test_failure_matrix_kusto.py, jobs, people and batches in test_failure_matrix_jobs.py. A scene that
does not come to its crash point fails.
"""

from __future__ import annotations

import pytest

from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.entries import Committed, Intent, Operation
from exactly_once_kusto.protocol.outcome import Accepted
from exactly_once_kusto.testing.scenarios import Point, Scenario
from tests.simulation.scenes import HOUR_S, finish_well, tried_checkpoints, tried_parts
from tests.simulation.stories_of_commits import (
    ACCESS_S,
    DAY_S,
    NOT_ATOMIC,
    SETTLE_S,
    TAGS_EXPIRE,
    asleep_before_its_request,
)

# ---- writers


def test_blocks_of_a_killed_writer_are_never_seen() -> None:
    scene = Scenario()
    scene.job.emit(0, 2)
    scene.simulation.writer(scene.job, 0)
    assert any("block" in line for line in scene.simulation.world.notes or ())
    assert scene.parts() == {}
    scene.kill(scene.job)
    finish_well(scene)
    assert scene.parts() == {}


def test_a_part_sealed_before_the_barrier_passed_is_left_and_another_is_written() -> None:
    scene = Scenario()
    scene.job.emit(0, 1)
    scene.job.trigger()
    scene.simulation.writer(scene.job, 0)
    scene.simulation.writer(scene.job, 0)
    (left,) = scene.parts().items()
    scene.kill(scene.job)
    finish_well(scene)
    assert list(scene.parts().items()) == [left]
    assert left[0] not in tried_parts(scene)
    assert tried_parts(scene)


def test_a_writer_that_wakes_late_writes_under_another_name() -> None:
    scene = Scenario()
    scene.job.emit(0, 1)
    scene.simulation.writer(scene.job, 0)
    scene.job.trigger()
    sleeper = scene.pause(scene.job)
    scene.checkpoint(scene.job)
    successors = scene.parts()
    while sleeper.writer_takes(0):
        pass
    assert len(scene.parts()) == len(successors) + 1
    assert successors.items() <= scene.parts().items()
    finish_well(scene)
    assert not tried_parts(scene) & (scene.parts().keys() - successors.keys())


# ---- the coordinator and checkpoints


@pytest.mark.parametrize("killed", ["before the snapshot", "behind it", "when it was complete"])
def test_a_restore_has_the_slices_or_the_replay_makes_new_ones(killed: str) -> None:
    scene = Scenario()
    if killed == "before the snapshot":
        scene.job.emit(0, 1)
        scene.job.trigger()
        while scene.run().writer_takes(0):
            pass
        scene.get_ready(scene.run())
        scene.simulation.channel(scene.job, 0)
        assert scene.run().coordinator.machine.parts
    elif killed == "behind it":
        scene.job.emit(0, 1)
        assert scene.snapshot(scene.job) in scene.job.completable()
    else:
        scene.checkpoint(scene.job, notify=False)
    (first,) = scene.parts()
    scene.kill(scene.job)
    finish_well(scene)
    assert (first in tried_parts(scene)) == (killed == "when it was complete")
    assert scene.simulation.truth.shown["a0"] == 1


@pytest.mark.parametrize("how", ["aborted", "subsumed", "a savepoint"])
def test_slices_of_a_checkpoint_that_was_not_told_go_with_the_next(how: str) -> None:
    scene = Scenario()
    if how == "a savepoint":
        number = scene.savepoint(scene.job).number
    else:
        scene.job.emit(0, 1)
        number = scene.snapshot(scene.job)
        if how == "aborted":
            scene.job.abort(number)
            assert scene.run().coordinator_hears()
    scene.work(scene.run())
    assert not scene.kusto.operations
    following = scene.checkpoint(scene.job)
    assert number not in scene.job.pending
    scene.work(scene.run())
    assert tried_checkpoints(scene) == [[number, following.number]]
    finish_well(scene)


def test_a_completion_that_nobody_was_told_is_proved_by_the_restore() -> None:
    """The JobManager dies behind the completion; the job goes on from the retained checkpoint."""
    scene = Scenario()
    kept = scene.checkpoint(scene.job, notify=False)
    scene.work(scene.run())
    assert not scene.kusto.operations
    successor = scene.kill(scene.job)
    scene.work(successor)
    assert tried_checkpoints(scene) == [[kept.number]]
    finish_well(scene)


POINTS = (
    (Intent, False),
    (Intent, True),
    (ev.Submit, False),
    (ev.Submit, True),
    (Operation, False),
    (Operation, True),
    (ev.Poll, True),
)
NAMED = [f"{'behind' if done else 'before'} {point.__name__}" for point, done in POINTS]


@pytest.mark.parametrize(("point", "done"), POINTS, ids=NAMED)
def test_at_most_one_command_is_sent_wherever_it_is_killed(point: Point, done: bool) -> None:
    """The command still runs for an hour, and Kusto's own check is no help."""
    scene = Scenario(NOT_ATOMIC)
    scene.checkpoint(scene.job)
    if done:
        scene.do(scene.run(), point, heard=False)
    else:
        scene.bring(scene.run(), point)
    successor = scene.kill(scene.job)
    scene.pass_time(successor, HOUR_S)
    assert len(scene.kusto.operations) == 1
    assert len(tried_checkpoints(scene)) == 1
    finish_well(scene)
    assert scene.kusto.most_at_once == 1


def test_killed_before_committed_finds_the_rows_under_the_tag() -> None:
    scene = Scenario(NOT_ATOMIC)
    scene.checkpoint(scene.job)
    scene.do(scene.run(), Operation)
    scene.kusto_works()
    scene.bring(scene.run(), Committed)
    successor = scene.kill(scene.job)
    scene.work(successor)
    assert isinstance(scene.entries()[-1], Committed)
    assert len(scene.kusto.operations) == 1
    finish_well(scene)


@pytest.mark.parametrize("gone", ["nothing", "tags expired", "extents merged", "records lost"])
def test_behind_committed_the_word_of_the_ledger_is_enough(gone: str) -> None:
    scene = Scenario(TAGS_EXPIRE)
    for _ in range(2):
        scene.checkpoint(scene.job)
        scene.do(scene.run(), Operation)
        scene.kusto_works()
        scene.do(scene.run(), Committed)
    successor = scene.kill(scene.job)
    if gone == "tags expired":
        scene.pass_time(None, 2 * DAY_S)
        scene.expire_tags()
    elif gone == "extents merged":
        scene.kusto.merge()
        assert len(scene.kusto.extents) == 1
    elif gone == "records lost":
        scene.kusto.forget_records()
    scene.work(successor)
    assert successor.coordinator.ready
    assert not successor.coordinator.machine.slices
    assert len(scene.kusto.operations) == 2
    scene.excuse_nothing()
    scene.subject.asked.clear()
    finish_well(scene)


# ---- sleepers


def test_a_sleeper_past_its_intent_is_closed_before_another_attempt_begins() -> None:
    scene, sleeper, successor = asleep_before_its_request(NOT_ATOMIC)
    scene.pass_time(successor, HOUR_S)
    first, second = (each for each in scene.entries() if isinstance(each, Intent))
    assert first.transaction == second.transaction
    assert first.expires_at == first.time + ACCESS_S
    assert second.time >= first.expires_at + SETTLE_S
    answer = scene.do(sleeper, ev.Submit)
    assert isinstance(answer, ev.Submitted)
    assert not isinstance(answer.submission, Accepted)
    assert len(scene.kusto.operations) == 1
    finish_well(scene)


@pytest.mark.parametrize("woken", ["before the successor", "beside it", "behind its commit"])
def test_a_sleeper_harms_nothing_wherever_it_sleeps_and_whenever_it_wakes(woken: str) -> None:
    """Also before its own `start`: it is an attempt with something to commit from its restore."""
    slept = 0
    for steps in range(40):
        scene = Scenario(NOT_ATOMIC)
        scene.checkpoint(scene.job, notify=False)
        run = scene.kill(scene.job)
        if scene.work(run, steps) < steps:
            break
        slept += 1
        sleeper = scene.pause(scene.job)
        if woken == "before the successor":
            scene.work(sleeper)
        elif woken == "beside it":
            scene.get_ready(scene.run())
            scene.work(scene.run())
            scene.work(sleeper)
        else:
            for _ in range(4):
                scene.pass_time(scene.run(), HOUR_S)
                scene.kusto_works()
            scene.work(sleeper)
        finish_well(scene)
        assert scene.kusto.most_at_once == 1, steps
    assert slept >= 10
