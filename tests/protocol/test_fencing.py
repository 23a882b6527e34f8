"""One name, one running job: who is fenced, who takes over, and who stops for good."""

from __future__ import annotations

from collections import Counter

from exactly_once_kusto.errors import DecodeError, FencedError, NameTakenError
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.testing.drive import Process

from .stage import Stage, checkpoint, run_until_action


def test_a_second_job_fences_the_first_before_it_snapshots_again(stage: Stage) -> None:
    first = stage.job("a", branch="a-")
    first.start()
    checkpoint(first)
    second = stage.job("b", branch="b-")
    second.start()
    first.produce(1)
    assert first.snapshot() is None
    assert first.process is not None
    assert isinstance(first.process.error, FencedError)
    assert first.process.error.restartable
    assert "job b on host host" in str(first.process.error)


def test_two_sinks_of_one_job_under_one_name_do_not_fence_each_other_for_ever(
    stage: Stage,
) -> None:
    first = stage.job("a", branch="a-")
    first.start()
    other = Process(stage.world, stage.log, stage.target)
    other.send(ev.Opened("a", "another operator", "host", 0, None))
    other.run(lambda: other.ready)
    assert isinstance(other.error, NameTakenError)
    assert not other.error.restartable
    assert "two sinks of job a have this name" in str(other.error)
    checkpoint(first)
    first.finish()
    assert first.process is not None
    assert first.process.error is None


def test_a_damaged_entry_stops_the_run_with_the_ledger_s_address_and_what_to_do(
    stage: Stage,
) -> None:
    flink = stage.job("a")
    flink.start()
    checkpoint(flink)
    stage.log.entries[2] = stage.log.entries[2][:-5]
    before = list(stage.log.entries)
    error = flink.restart().error
    assert isinstance(error, DecodeError)
    assert not error.restartable
    assert str(error).startswith("memory://log: ledger entry 3: damaged or cut short")
    assert "put the entry back from a copy" in str(error)
    assert stage.log.entries == before


def test_two_jobs_never_take_turns(stage: Stage) -> None:
    first = stage.job("a", branch="a-")
    first.start()
    checkpoint(first)
    second = stage.job("b", branch="b-")
    second.start()
    assert first.snapshot() is None
    process = first.restart()
    assert isinstance(process.error, NameTakenError)
    assert not process.error.restartable
    checkpoint(second)
    second.finish()
    assert second.process is not None
    assert second.process.error is None
    assert Counter(stage.target.rows()).most_common(1)[0][1] == 1


def test_a_fenced_job_goes_on_when_the_other_has_ended(stage: Stage) -> None:
    first = stage.job("a", branch="a-")
    first.start()
    checkpoint(first)
    second = stage.job("b", branch="b-")
    second.start()
    second.finish()
    assert first.restart().error is None


def test_a_sleeper_of_the_same_job_is_taken_over_again(stage: Stage) -> None:
    """Paused before its `start`, it wakes when its successor runs: Flink restarts, nobody dies."""
    flink = stage.job("a")
    flink.start()
    checkpoint(flink)
    sleeper = flink.start(flink.latest(), run=False)
    sleeper.run(lambda: any(isinstance(action, ev.Append) for action in sleeper.todo))
    flink.restart()
    checkpoint(flink)
    sleeper.run(lambda: sleeper.ready)
    flink.produce(2)
    stopped = flink.snapshot()
    if stopped is None:
        assert flink.process is not None
        assert isinstance(flink.process.error, FencedError)
        assert flink.restart().error is None
    flink.finish()
    assert flink.verdict().ok


def test_a_zombie_past_its_intent_does_not_double_its_rows(stage: Stage) -> None:
    """It is paused before its request; the successor waits until its attempt is closed."""
    stage.target.access_lifetime_s = 100.0
    flink = stage.job("a")
    flink.start()
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Submit)
    zombie = flink.process
    assert zombie is not None
    flink.restart()
    began = stage.world.now
    flink.finish()
    assert stage.world.now >= began + 100.0, "the attempt was not closed by its access's expiry"
    assert flink.verdict().ok
    zombie.run(lambda: not zombie.todo)
    assert isinstance(zombie.error, FencedError)


def test_a_zombie_that_submits_before_its_access_expires_commits_the_transaction(
    stage: Stage,
) -> None:
    stage.target.access_lifetime_s = 100.0
    stage.target.atomic = False
    flink = stage.job("a")
    flink.start()
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Submit)
    zombie = flink.process
    assert zombie is not None
    flink.restart()
    zombie.step()
    flink.finish()
    assert flink.verdict().ok
    assert len(stage.target.commands) == 1, "a second request was sent while the first was open"


def test_a_fenced_process_does_not_append(stage: Stage) -> None:
    first = stage.job("a", branch="a-")
    first.start()
    checkpoint(first, settle=False)
    run_until_action(first, ev.Append)
    second = stage.job("b", branch="b-")
    second.start()
    process = first.process
    assert process is not None
    process.run(lambda: not process.todo)
    assert isinstance(process.error, FencedError)
    assert stage.kinds() == ["start", "start"]
