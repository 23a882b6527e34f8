"""The failure matrix of docs/guarantee.md, row by row: what Kusto and the storage do."""

from __future__ import annotations

import pytest

from exactly_once_kusto.errors import CommitRefusedError, StorageUnavailableError, SuspectError
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.entries import Committed, Operation
from exactly_once_kusto.protocol.outcome import Lost, NotSent, Refused
from exactly_once_kusto.testing.scenarios import Scenario
from exactly_once_kusto.testing.schedules import Setting
from exactly_once_kusto.testing.simulated_requests import (
    LATE,
    NOT_SENT,
    REPLY_LOST,
    REQUEST_LOST,
    THROTTLED,
)
from tests.simulation.scenes import HOUR_S, finish_well
from tests.simulation.stories_of_commits import (
    NOT_ATOMIC,
    SETTLE_S,
)


def test_rows_that_differ_are_suspect_and_everything_is_kept() -> None:
    scene = Scenario()
    scene.checkpoint(scene.job, rows=2)
    scene.do(scene.run(), Operation)
    staged = scene.parts()
    scene.end_command(scene.kusto.alive()[0], fault=3)
    scene.work(scene.run())
    told = str(scene.refusal(scene.job, SuspectError))
    assert "2 rows were staged" in told
    assert "1 rows found" in told
    assert scene.parts() == staged
    assert len(scene.kusto.operations) == 1
    finish_well(scene)


WAYS = {
    "throttled": (THROTTLED, Refused),
    "not sent": (NOT_SENT, NotSent),
    "request lost": (REQUEST_LOST, Lost),
    "reply lost": (REPLY_LOST, Lost),
    "request late": (LATE, Lost),
}


@pytest.mark.parametrize("way", WAYS)
def test_checkpoints_go_on_while_a_request_goes_wrong(way: str) -> None:
    fault, kind = WAYS[way]
    scene = Scenario(NOT_ATOMIC)
    scene.checkpoint(scene.job)
    answer = scene.do(scene.run(), ev.Submit, fault)
    assert isinstance(answer, ev.Submitted)
    assert isinstance(answer.submission, kind)
    for _ in range(3):
        scene.checkpoint(scene.job)
        scene.pass_time(scene.run(), SETTLE_S)
    if scene.kusto.late:
        scene.kusto.deliver(0)
    scene.pass_time(scene.run(), HOUR_S)
    finish_well(scene)
    assert scene.kusto.most_at_once == 1
    assert scene.simulation.restarts == 0


def test_a_command_lost_in_a_restart_of_kusto_is_tried_again() -> None:
    scene = Scenario(NOT_ATOMIC)
    scene.checkpoint(scene.job)
    scene.do(scene.run(), Operation)
    scene.kusto_reads()
    scene.kusto.restart()
    assert not scene.kusto.alive()
    scene.pass_time(scene.run(), HOUR_S)
    assert len(scene.kusto.operations) == 2
    finish_well(scene)
    assert scene.kusto.most_at_once == 1


def test_an_hour_without_kusto_stops_no_checkpoint_and_costs_few_commands() -> None:
    scene = Scenario()
    scene.get_ready(scene.run())
    scene.kusto.reachable = False
    for _ in range(12):
        scene.checkpoint(scene.job)
        scene.pass_time(scene.run(), HOUR_S / 12)
    assert len(scene.job.completed) == 12
    assert len(scene.run().coordinator.machine.slices) == 12
    assert not scene.kusto.operations
    scene.kusto.reachable = True
    finish_well(scene)
    assert len(scene.kusto.operations) <= 3
    assert scene.simulation.restarts == 0


def test_an_ingest_longer_than_any_timeout_is_awaited_not_started_again() -> None:
    """Thirty hours: Kusto's record of the operation is gone after six."""
    scene = Scenario(NOT_ATOMIC)
    scene.checkpoint(scene.job)
    scene.do(scene.run(), Operation)
    (command,) = scene.kusto.alive()
    scene.kusto_reads()
    for _ in range(3):
        scene.pass_time(scene.run(), 10 * HOUR_S)
        scene.kill(scene.job)
    assert scene.kusto.record(command.id) is None
    scene.pass_time(scene.run(), HOUR_S)
    assert scene.kusto.alive() == [command]
    scene.end_command(command)
    scene.pass_time(scene.run(), HOUR_S)
    assert isinstance(scene.entries()[-1], Committed)
    assert len(scene.kusto.operations) == 1
    finish_well(scene)


def test_a_part_that_cannot_be_read_stops_the_job_until_it_is_put_back() -> None:
    scene = Scenario(Setting(writers=2))
    scene.job.emit(1, 1)
    kept = scene.checkpoint(scene.job)
    scene.do(scene.run(), Operation)
    gone, *others = scene.parts()
    assert others
    content = scene.subject.objects.content.pop(gone)
    scene.kusto_reads()
    scene.pass_time(scene.run(), HOUR_S)
    told = str(scene.refusal(scene.job, CommitRefusedError))
    assert "Download_SourceNotFound" in told
    assert not scene.simulation.truth.shown
    assert not any(isinstance(each, Committed) for each in scene.entries())
    scene.subject.objects.content[gone] = content
    again = scene.clone(kept)
    scene.excuse_nothing()
    scene.finish(again)
    assert again.finished
    finish_well(scene)


def test_storage_away_at_the_barrier_costs_the_checkpoint_not_the_rows() -> None:
    scene = Scenario()
    scene.get_ready(scene.run())
    scene.subject.objects.reachable = False
    scene.job.emit(0, 1)
    number = scene.job.trigger()
    scene.flow(scene.job)
    assert isinstance(scene.run().error(), StorageUnavailableError)
    assert number not in scene.job.completable()
    scene.look_after()
    assert scene.simulation.restarts == 1
    scene.subject.objects.reachable = True
    finish_well(scene)
