"""Batch: no checkpoints, no state, repeated tasks; what the `batch` entry lists goes in."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest

from exactly_once_kusto.errors import NameTakenError, SuspectError, WorkerError
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.coordinator import BATCH
from exactly_once_kusto.protocol.slices import encode_part
from exactly_once_kusto.protocol.steps import PortAction
from exactly_once_kusto.testing.drive import Process
from exactly_once_kusto.testing.world import Crashed

from .stage import Stage

ROWS = [["a", "b"], ["c"]]


def run(
    stage: Stage,
    attempt: int = 0,
    job: str = "job-1",
    operator: str = "operator",
    rows: Sequence[Sequence[str]] = ROWS,
    crash: Callable[[str, PortAction], bool] = lambda side, action: False,
) -> Process:
    """Run a batch from its beginning, as Flink does after each failure."""
    process = Process(stage.world, stage.log, stage.target, crash=crash)
    process.send(ev.Opened(job, operator, "host", attempt, None, batch=True))
    process.run(lambda: process.ready)
    if process.error is not None:
        return process
    for part in rows:
        process.send(ev.PartArrived(encode_part(stage.staging.seal(part))))
    process.send(ev.InputEnded())

    def released() -> bool:
        stage.target.advance_all()
        return BATCH in process.released and not process.todo

    process.run(released)
    return process


def rerun(stage: Stage, kill: Callable[[str, PortAction], bool], runs_max: int = 10) -> int:
    """Run until it is done; return how often it was killed."""
    for attempt in range(runs_max):
        try:
            process = run(stage, attempt, crash=kill)
        except Crashed:
            continue
        assert process.error is None, process.error
        return attempt
    raise AssertionError(f"{runs_max} runs were not enough")


class KillAt:
    """Kills at given port calls, counted over all runs."""

    def __init__(self, *points: tuple[int, str]) -> None:
        self.points = set(points)
        self.calls = 0

    def __call__(self, side: str, action: PortAction) -> bool:
        self.calls += side == "before"
        return (self.calls, side) in self.points


def test_a_batch_is_listed_before_its_first_command(stage: Stage) -> None:
    assert run(stage).error is None
    assert stage.kinds() == ["start", "batch", "intent", "operation", "committed", "end"]
    assert sorted(stage.target.rows()) == ["a", "b", "c"]
    assert stage.staging.parts == {}


def test_a_batch_without_rows_ends(stage: Stage) -> None:
    assert run(stage, rows=[]).error is None
    assert stage.kinds() == ["start", "batch", "end"]


def test_no_row_is_lost_or_doubled_by_kills_at_any_port_call() -> None:
    counted = KillAt()
    rerun(Stage(), counted)
    assert counted.calls > 10
    # A second kill may hit the repetition, which is a few calls longer.
    points = list(itertools.product(range(1, counted.calls + 6), ("before", "after")))
    for pair in itertools.combinations(points, 2):
        stage = Stage()
        kills = rerun(stage, KillAt(*pair))
        assert kills > 0 or pair[0][0] > counted.calls, f"nothing was killed at {pair}"
        assert sorted(stage.target.rows()) == ["a", "b", "c"], f"killed at {pair}"


def test_a_repetition_with_other_parts_commits_the_first_ones_and_deletes_its_own(
    stage: Stage,
) -> None:
    with pytest.raises(Crashed):
        run(stage, crash=lambda side, action: isinstance(action, ev.Submit) and side == "after")
    listed = len(stage.staging.parts)
    assert run(stage, 1, rows=[["c", "a", "b"]]).error is None
    assert listed == 2
    assert sorted(stage.target.rows()) == ["a", "b", "c"]
    assert stage.staging.parts == {}


def test_a_run_with_other_rows_under_the_id_of_an_unfinished_batch_is_not_discarded(
    stage: Stage,
) -> None:
    with pytest.raises(Crashed):
        run(stage, crash=lambda side, action: isinstance(action, ev.Submit) and side == "after")
    kept = len(stage.staging.parts)
    error = run(stage, rows=[["n1", "n2"], ["n3"], ["n4"]]).error
    assert isinstance(error, SuspectError)
    assert not error.restartable
    assert "has listed 3 rows, this one has staged 4" in str(error)
    assert len(stage.staging.parts) == kept + 3, "parts were deleted"


def test_a_second_sink_of_a_batch_is_refused_also_after_the_first_has_ended(stage: Stage) -> None:
    assert run(stage, operator="A").error is None
    error = run(stage, attempt=1, operator="B", rows=[["x", "y"]]).error
    assert isinstance(error, NameTakenError)
    assert "two sinks of job job-1 have this name" in str(error)


def test_an_unfinished_batch_goes_on_after_another_has_ended(stage: Stage) -> None:
    with pytest.raises(Crashed):
        run(stage, crash=lambda side, action: isinstance(action, ev.Mint))
    assert run(stage, job="job-2", rows=[["x"]]).error is None
    assert run(stage).error is None  # after a failover of the JobManager attempts count anew
    assert sorted(stage.target.rows()) == ["a", "b", "c", "x"]


def test_a_repetition_after_the_end_finds_everything_in(stage: Stage) -> None:
    assert run(stage).error is None
    assert run(stage, 1).error is None
    assert sorted(stage.target.rows()) == ["a", "b", "c"]


def test_a_new_run_under_the_id_of_an_ended_batch_is_refused(stage: Stage) -> None:
    assert run(stage).error is None
    before = list(stage.log.entries)
    error = run(stage, attempt=0).error
    assert isinstance(error, NameTakenError)
    assert not error.restartable
    assert "job-1 has ended" in str(error)
    assert stage.log.entries == before


def test_another_batch_under_the_name_adds_its_rows(stage: Stage) -> None:
    assert run(stage).error is None
    assert run(stage, job="job-2", rows=[["x"]]).error is None
    assert sorted(stage.target.rows()) == ["a", "b", "c", "x"]


def test_another_batch_after_one_that_was_killed_is_not_a_rewind(stage: Stage) -> None:
    with pytest.raises(Crashed):
        run(stage, crash=lambda side, action: isinstance(action, ev.Submit) and side == "after")
    stage.target.advance_all()
    process = run(stage, job="job-2", rows=[["x"]])
    assert process.error is None
    assert any("was used before" in line for line in process.said)
    assert sorted(stage.target.rows()) == ["a", "b", "c", "x"]


def test_a_part_after_the_end_of_input_is_not_swallowed(stage: Stage) -> None:
    process = Process(stage.world, stage.log, stage.target)
    process.send(ev.Opened("job-1", "operator", "host", 0, None, batch=True))
    process.run(lambda: process.ready)
    process.send(ev.InputEnded())
    process.send(ev.PartArrived(encode_part(stage.staging.seal(["late"]))))
    assert isinstance(process.error, WorkerError)
