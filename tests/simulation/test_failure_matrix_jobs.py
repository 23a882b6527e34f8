"""The failure matrix of docs/guarantee.md, row by row: jobs, people, batches, options.

Where a person had to be told, the error is taken off the list with `refusal`; what a job asks
after `excuse_nothing` is judged as unknown.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from exactly_once_kusto.errors import (
    ConfigurationError,
    FencedError,
    NameTakenError,
    RewindError,
    SuspectError,
    TargetError,
)
from exactly_once_kusto.kusto.columns import plan_columns
from exactly_once_kusto.kusto.destination import Destination, parse_destination
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.entries import Batch, Committed, End, Intent, Operation, Start
from exactly_once_kusto.testing.flink_job import Job
from exactly_once_kusto.testing.scenarios import NotReachedError, Point, Scenario
from exactly_once_kusto.testing.schedules import Setting
from exactly_once_kusto.testing.simulated_sink import COLUMNS
from tests.simulation.scenes import finish_well, tried_checkpoints
from tests.simulation.stories_of_commits import DAY_S, TAGS_EXPIRE
from tests.simulation.stories_of_starts import commit

BATCH = Setting(writers=2, batch=True, atomic=False)


def starts(scene: Scenario) -> list[str]:
    """Return the jobs that have started, in the order of the log."""
    return [each.job for each in scene.entries() if isinstance(each, Start)]


# ---- one job


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 3)])
def test_parts_and_slices_belong_to_no_subtask(before: int, after: int) -> None:
    scene = Scenario(Setting(writers=before))
    for index in range(before):
        scene.job.emit(index, 1)
    kept = scene.checkpoint(scene.job, rows=0, notify=False)
    assert len(scene.parts()) == before
    successor = scene.kill(scene.job, writers=after)
    assert successor.attempt.writers == after
    commit(scene, scene.job)
    assert tried_checkpoints(scene) == [[kept.number]]
    finish_well(scene)


def test_a_failover_before_the_first_checkpoint_keeps_the_lineage() -> None:
    scene = Scenario()
    scene.savepoint(scene.job)
    scene.kill(scene.job)
    scene.checkpoint(scene.job)
    first, second = (each for each in scene.entries() if isinstance(each, Start))
    assert (first.lineage, first.restored) == (second.lineage, second.restored)
    finish_well(scene)


def test_a_fresh_run_under_a_used_name_recovers_at_its_third_checkpoint() -> None:
    scene = Scenario()
    scene.checkpoint(scene.job)
    scene.finish(scene.job)
    assert isinstance(scene.entries()[-1], End)
    fresh = scene.fresh()
    for _ in range(2):
        scene.checkpoint(fresh)
    commit(scene, fresh)
    fresh.emit(0, 1)
    assert scene.snapshot(fresh) == 3
    scene.kill(fresh)
    scene.finish(fresh)
    assert fresh.finished
    ours, *theirs = (each.lineage for each in scene.entries() if isinstance(each, Start))
    assert len(theirs) == 2
    assert set(theirs) != {ours}
    finish_well(scene)


# ---- two jobs, and people


def test_a_clone_takes_the_name_and_the_first_does_not_take_it_back() -> None:
    scene = Scenario()
    clone = scene.clone(scene.savepoint(scene.job))
    scene.get_ready(scene.run(clone))
    running = scene.run()
    with pytest.raises(NotReachedError):
        scene.snapshot(scene.job)
    assert isinstance(running.coordinator.error, FencedError)
    scene.look_after()
    scene.get_ready(scene.run())
    told = str(scene.refusal(scene.job, NameTakenError))
    assert clone.id in told
    assert starts(scene) == [scene.job.id, clone.id]
    scene.excuse_nothing()
    scene.finish(clone)
    assert clone.finished
    finish_well(scene)


@pytest.mark.parametrize("known", ["committed", "tried"])
def test_an_old_checkpoint_beside_the_running_job_leaves_no_trace(known: str) -> None:
    scene = Scenario()
    old = scene.checkpoint(scene.job, notify=False)
    scene.checkpoint(scene.job)
    if known == "committed":
        commit(scene, scene.job)
    else:
        scene.do(scene.run(), Operation)
    before = scene.entries()
    mistake = scene.clone(old)
    scene.get_ready(scene.run(mistake))
    told = str(scene.refusal(mistake, RewindError))
    assert next(iter(scene.ledger().transactions)) in told
    assert scene.entries() == before
    scene.excuse_nothing()
    scene.finish(scene.job)
    assert scene.job.finished
    assert scene.simulation.restarts == 0
    finish_well(scene)


@pytest.mark.parametrize("later", ["committed", "rows in", "only intended"])
def test_an_older_savepoint_is_refused_by_what_was_tried_after_it(later: str) -> None:
    scene = Scenario()
    old = scene.savepoint(scene.job)
    scene.checkpoint(scene.job)
    if later == "committed":
        commit(scene, scene.job)
    elif later == "rows in":
        scene.do(scene.run(), Operation)
        scene.kusto_works()
    else:
        scene.bring(scene.run(), ev.Submit)
    scene.stop(scene.job)
    before = scene.entries()
    assert any(isinstance(each, Committed) for each in before) == (later == "committed")
    late = scene.clone(old)
    scene.get_ready(scene.run(late))
    told = str(scene.refusal(late, RewindError))
    said = {"committed": "committed", "rows in": "all rows are in", "only intended": "0 rows found"}
    assert said[later] in told
    assert scene.entries() == before
    scene.excuse_nothing()
    finish_well(scene)


def test_a_savepoint_restored_a_month_later_finds_the_word_of_the_ledger() -> None:
    """It holds a slice that was committed behind it; the tag is long gone."""
    scene = Scenario(TAGS_EXPIRE)
    scene.job.emit(0, 1)
    number = scene.snapshot(scene.job, stop=True)
    savepoint = scene.complete(scene.job, number)
    commit(scene, scene.job)
    scene.stop(scene.job)
    scene.pass_time(None, 30 * DAY_S)
    scene.expire_tags()
    again = scene.clone(savepoint)
    scene.excuse_nothing()
    scene.subject.asked.clear()
    scene.work(scene.run(again))
    assert scene.run(again).coordinator.ready
    assert not scene.run(again).coordinator.machine.slices
    assert len(scene.kusto.operations) == 1
    scene.finish(again)
    assert again.finished
    finish_well(scene)


# ---- options


def test_frozen_slices_are_committed_as_they_were_sealed() -> None:
    scene = Scenario()
    savepoint = scene.savepoint(scene.job)
    scene.stop(scene.job)
    subject = scene.subject
    subject.sink = replace(subject.sink, table="Others", database="Elsewhere")
    subject.destination = Destination.of(subject.sink, plan_columns(COLUMNS, None)).text()
    again = scene.clone(savepoint)
    scene.excuse_nothing()
    scene.checkpoint(again)
    commit(scene, again)
    known = scene.ledger().transactions.values()
    places = [parse_destination(each.transaction.destination) for each in known]
    assert [(each.database, each.table) for each in places] == [
        ("Simulated", "Rows"),
        ("Elsewhere", "Others"),
    ]
    finish_well(scene)


def test_a_changed_name_is_refused_and_leaves_no_ledger() -> None:
    scene = Scenario()
    savepoint = scene.savepoint(scene.job)
    scene.stop(scene.job)
    was = scene.subject.name
    scene.subject.sink = replace(scene.subject.sink, name="renamed")
    scene.subject.name = "renamed"
    again = scene.clone(savepoint)
    scene.get_ready(scene.run(again))
    told = str(scene.refusal(again, ConfigurationError))
    assert "'name'" in told
    assert scene.entries() == []
    scene.subject.sink = replace(scene.subject.sink, name=was)
    scene.subject.name = was
    scene.finish(scene.clone(savepoint))
    finish_well(scene)


def test_a_target_that_drops_tags_too_soon_is_refused_before_the_first_start() -> None:
    scene = Scenario(Setting(writers=1, tags_kept_s=60.0))
    scene.get_ready(scene.run())
    told = str(scene.refusal(scene.job, TargetError))
    assert "extent_tags_retention" in told
    assert scene.entries() == []
    finish_well(scene)


# ---- batch


def staged_batch() -> Scenario:
    """Return a batch all whose rows have been staged; nothing of it has been listed."""
    scene = Scenario(BATCH)
    scene.job.emit(0, 2)
    scene.job.emit(1, 1)
    scene.job.end_input()
    scene.flow(scene.job)
    assert len(scene.parts()) == 2
    return scene


def repeat_anew(scene: Scenario) -> Job:
    """Kill the batch; its writers stage everything once more."""
    former = set(scene.parts())
    scene.kill(scene.job)
    scene.job.end_input()
    scene.flow(scene.job)
    assert set(scene.parts()) - former
    return scene.job


def test_a_batch_killed_while_writing_has_ingested_nothing() -> None:
    scene = Scenario(BATCH)
    scene.job.emit(0, 2)
    scene.job.emit(1, 1)
    scene.simulation.writer(scene.job, 0)
    scene.work(scene.run())
    scene.kill(scene.job)
    assert not scene.kusto.operations
    assert not any(isinstance(each, Batch) for each in scene.entries())
    finish_well(scene)


BATCH_POINTS = (
    (Batch, False),
    (Batch, True),
    (Intent, True),
    (ev.Submit, False),
    (ev.Submit, True),
    (Operation, True),
    (Committed, False),
    (Committed, True),
    (End, False),
)
BATCH_NAMES = [f"{'behind' if done else 'before'} {point.__name__}" for point, done in BATCH_POINTS]


@pytest.mark.parametrize(("point", "done"), BATCH_POINTS, ids=BATCH_NAMES)
def test_a_repeated_batch_commits_what_its_first_run_has_listed(point: Point, done: bool) -> None:
    scene = staged_batch()
    first = set(scene.parts())
    late = point in (Committed, End)
    if late:
        scene.do(scene.run(), Operation)
        scene.kusto_works()
    if done:
        scene.do(scene.run(), point, heard=False)
    else:
        scene.bring(scene.run(), point)
    listed = (point, done) != (Batch, False)
    repeat_anew(scene)
    finish_well(scene)
    (batch,) = (each for each in scene.entries() if isinstance(each, Batch))
    names = {part.address.rpartition("/")[2] for each in batch.slices for part in each.parts}
    assert (names <= {name.rpartition("/")[2] for name in first}) == listed
    # What it was killed before deleting is left for the sweep; of the repetition nothing is.
    assert scene.parts().keys() <= first
    assert len(scene.kusto.operations) == 1
    assert isinstance(scene.entries()[-1], End)


def test_a_repetition_with_other_rows_is_suspect_and_nothing_is_deleted() -> None:
    scene = staged_batch()
    scene.do(scene.run(), Batch)
    assert scene.job.length == 3
    scene.job.length = 4
    repeat_anew(scene)
    staged = scene.parts()
    scene.work(scene.run())
    told = str(scene.refusal(scene.job, SuspectError))
    assert "has listed 3 rows, this one has staged 4" in told
    assert scene.parts() == staged
    assert not scene.kusto.operations
    finish_well(scene)
