"""Done only on evidence: what is found, what is not, what can't be known."""

from __future__ import annotations

import json

import pytest

from exactly_once_kusto.errors import (
    CommitRefusedError,
    EvidenceExpiredError,
    StagingError,
    StorageUnavailableError,
    SuspectError,
    TargetError,
    TargetUnavailableError,
    WorkerError,
)
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.judging import Verdict, judge
from exactly_once_kusto.protocol.outcome import Extent, Failed, Skipped, Transaction
from exactly_once_kusto.protocol.ports import Settings
from exactly_once_kusto.protocol.slices import encode_part
from exactly_once_kusto.testing.crash import LittleFlink
from exactly_once_kusto.testing.memory import Command, MemoryTarget

from .stage import Stage, checkpoint, run_until, run_until_action


def released(flink, checkpoint: int):
    return lambda: checkpoint in flink.process.released


def stopped(stage: Stage, flink) -> Exception | None:
    """Run until the process stops; what it stopped with."""
    process = flink.process
    process.run(lambda: not process.coordinator.slices)
    return process.error


def test_a_partial_success_is_suspect_and_everything_is_kept(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    checkpoint(flink, rows=4, settle=False)
    run_until_action(flink, ev.Poll)
    stage.target.advance(stage.target.commands[0], share=0.5)
    error = stopped(stage, flink)
    assert isinstance(error, SuspectError)
    assert "4 rows were staged" in str(error)
    assert "2 rows found in 1 extent(s)" in str(error)
    assert stage.staging.parts, "parts were deleted although the transaction is suspect"
    assert "committed" not in stage.kinds()


def test_more_rows_than_were_staged_is_suspect(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Poll)
    stage.target.advance_all()
    rows, tags = stage.target.extents[1]
    stage.target.extents[2] = (rows, tags)
    assert isinstance(stopped(stage, flink), SuspectError)


def test_skipped_without_rows_is_an_error_not_a_loop(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Poll)
    command = stage.target.commands[0]
    command.phase, command.status = "ended", Skipped()
    assert isinstance(stopped(stage, flink), SuspectError)


def test_a_tag_alone_does_not_count_as_committed(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Poll)
    stage.target.advance(stage.target.commands[0], share=0.0)
    assert isinstance(stopped(stage, flink), SuspectError)
    assert "committed" not in stage.kinds()


def test_a_lost_reply_is_looked_for_and_not_sent_again(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    stage.target.on_submit = lambda: "lose-reply"
    checkpoint(flink, settle=False)
    flink.drain()
    assert len(stage.target.commands) == 1
    flink.finish()
    assert flink.verdict().ok


def test_a_lost_request_is_sent_again_only_after_its_attempt_is_closed(stage: Stage) -> None:
    stage.target.access_lifetime_s = 300.0
    flink = stage.job("a")
    flink.start()
    answers = iter(["lose-request"])
    stage.target.on_submit = lambda: next(answers, "take")
    began = stage.world.now
    checkpoint(flink, settle=False)
    flink.drain()
    assert stage.world.now >= began + 300.0 + Settings().settle_s
    assert stage.kinds().count("intent") == 2
    flink.finish()
    assert flink.verdict().ok


def test_without_an_expiry_an_unknown_attempt_is_closed_by_the_settle_time(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    answers = iter(["lose-request"])
    stage.target.on_submit = lambda: next(answers, "take")
    began = stage.world.now
    checkpoint(flink, settle=False)
    flink.drain()
    assert stage.world.now >= began + Settings().settle_s
    assert flink.verdict().ok


def test_a_running_operation_is_awaited_however_long_it_takes(stage: Stage) -> None:
    """A successor adopts the known operation; no second command while it runs."""
    flink = stage.job("a")
    flink.start()
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Poll)
    flink.restart()
    process = flink.process
    deadline = stage.world.now + 7200
    process.run(lambda: stage.world.now > deadline, steps_max=100_000)
    assert len(stage.target.commands) == 1
    stage.target.advance_all()
    flink.finish()
    assert flink.verdict().ok


def test_late_operation_records_are_waited_for(stage: Stage) -> None:
    """No record is not 'never ran': the settle time passes before the next attempt."""
    stage.target.records_visible = False
    flink = stage.job("a")
    flink.start()
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Poll)
    flink.restart()
    process = flink.process
    began = stage.world.now
    process.run(lambda: stage.world.now > began + Settings().settle_s / 2)
    assert len(stage.target.commands) == 1
    stage.target.records_visible = True
    flink.finish()
    assert len(stage.target.commands) == 1
    assert flink.verdict().ok


def test_nothing_found_after_the_evidence_could_expire_is_put_before_a_person(
    stage: Stage,
) -> None:
    stage.target.kept_s = 3600.0
    flink = stage.job("a")
    flink.start()
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Poll)
    stage.target.advance_all()
    stage.target.drop_tags()
    stage.target.commands.clear()
    stage.world.now += 4000.0
    process = flink.restart()
    process.run(lambda: not process.coordinator.slices)
    assert isinstance(process.error, EvidenceExpiredError)
    assert "A person has to decide" in str(process.error)
    assert len(stage.target.rows()) == 3


def test_the_ledger_outlives_the_tag(stage: Stage) -> None:
    """Committed, every tag dropped, restored from the checkpoint before: no second copy."""
    flink = stage.job("a")
    flink.start()
    snapshot = checkpoint(flink)
    stage.target.drop_tags()
    stage.target.commands.clear()
    process = flink.start(snapshot)
    assert process.error is None
    flink.finish()
    assert flink.verdict().ok


def half_done(stage: Stage) -> tuple[LittleFlink, Command]:
    """A command has ended with half of its 4 rows in."""
    flink = stage.job("a")
    flink.start()
    checkpoint(flink, rows=4, settle=False)
    run_until_action(flink, ev.Poll)
    command = stage.target.commands[0]
    stage.target.advance(command, share=0.5)
    command.status = Failed("partially succeeded", permanent=False)
    return flink, command


def half_done_and_filled_up(stage: Stage) -> tuple[LittleFlink, Command]:
    """A command has half of its 4 rows in; they were merged with 2 rows of others."""
    flink, command = half_done(stage)
    stage.target.merge(others=("theirs-1", "theirs-2"))
    return flink, command


def test_a_count_that_a_merge_has_filled_up_is_suspect_where_the_command_failed(
    stage: Stage,
) -> None:
    flink, _ = half_done_and_filled_up(stage)
    error = stopped(stage, flink)
    assert isinstance(error, SuspectError)
    assert "4 rows were staged in 1 part(s), 4 rows found in 1 extent(s)" in str(error)
    assert stage.staging.parts
    assert "committed" not in stage.kinds()


def test_it_is_not_believed_before_the_record_says_how_the_command_ended(stage: Stage) -> None:
    flink, _ = half_done_and_filled_up(stage)
    stage.target.records_visible = False
    process = flink.process
    assert process is not None
    process.run(lambda: any(isinstance(action, ev.Look) for action in process.todo))
    process.step()
    assert "committed" not in stage.kinds()
    stage.target.records_visible = True
    assert isinstance(stopped(stage, flink), SuspectError)


def test_a_count_that_fits_decides_where_the_command_completed(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    checkpoint(flink, rows=4, settle=False)
    run_until_action(flink, ev.Poll)
    stage.target.advance(stage.target.commands[0])
    stage.target.merge()
    assert stopped(stage, flink) is None
    assert flink.verdict().ok


def test_merged_extents_are_counted_over_all_their_tags(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    checkpoint(flink)
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Poll)
    stage.target.advance_all()
    stage.target.merge()
    flink.restart()
    flink.finish()
    assert flink.verdict().ok
    assert stage.kinds().count("intent") == 2


def test_a_permanent_refusal_stops_with_the_targets_own_words(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    stage.target.on_submit = lambda: "refuse-for-good"
    checkpoint(flink, settle=False)
    error = stopped(stage, flink)
    assert isinstance(error, CommitRefusedError)
    assert "refused by the test" in str(error)
    assert not error.restartable
    assert stage.staging.parts


def test_after_the_cause_is_mended_the_same_transaction_is_tried_again(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    stage.target.on_submit = lambda: "refuse-for-good"
    checkpoint(flink, settle=False)
    assert stopped(stage, flink) is not None
    stage.target.on_submit = lambda: "take"
    assert flink.restart().error is None
    flink.finish()
    assert flink.verdict().ok
    transactions = {
        json.loads(e)["transaction"] for e in stage.log.entries if b'"kind":"intent"' in e
    }
    assert len(transactions) == 1


def test_a_slice_is_only_ever_committed_through_its_first_transaction(stage: Stage) -> None:
    """Two slices are intended apart; after a restart they are not regrouped into one command."""
    flink = stage.job("a", Settings(group_parts_max=1))
    flink.start()
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Submit)
    checkpoint(flink, settle=False)
    flink.settings = Settings()
    flink.restart()
    flink.finish()
    assert [len(c.transaction.slices) for c in stage.target.commands] == [1, 1]
    assert flink.verdict().ok


def test_waiting_slices_go_together_up_to_the_limit(stage: Stage) -> None:
    flink = stage.job("a", Settings(group_parts_max=4))
    stage.target.reachable = False
    flink.start()
    for _ in range(10):
        checkpoint(flink, settle=False)
    stage.target.reachable = True
    flink.finish()
    assert [len(c.transaction.slices) for c in stage.target.commands] == [4, 4, 2]
    assert flink.verdict().ok


def test_an_outage_does_not_hold_up_checkpoints(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    checkpoint(flink)
    stage.target.reachable = False
    for _ in range(20):
        began = stage.world.now
        snapshot = checkpoint(flink, settle=False)
        run_until(flink, released(flink, snapshot.number))
        waited = stage.world.now - began
        assert waited <= Settings().commit_wait_s
    assert waited == 0, "a checkpoint waited although the target was known to fail"
    stage.target.reachable = True
    flink.finish()
    assert flink.verdict().ok


def test_an_aborted_checkpoint_s_rows_come_with_the_next(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    flink.produce(3)
    aborted = flink.snapshot()
    assert aborted is not None
    assert flink.process is not None
    flink.process.send(ev.CheckpointAborted(aborted.number))
    assert not flink.process.todo, "an aborted checkpoint's slices were committed"
    checkpoint(flink)
    flink.finish()
    assert flink.verdict().ok


def test_a_savepoint_that_is_never_notified_is_committed_with_the_next(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    flink.produce(3)
    savepoint = flink.snapshot()
    assert savepoint is not None
    flink.complete(savepoint, notify=False)
    checkpoint(flink)
    assert len(stage.target.rows()) == 6


def test_a_missing_table_stops_before_anything_is_written(stage: Stage) -> None:
    stage.target.preflight_error = TargetError("table Demo.T does not exist")
    process = stage.job("a").start()
    assert isinstance(process.error, TargetError)
    assert stage.log.entries == []


def test_a_target_that_is_away_at_the_start_is_checked_before_the_first_commit(
    stage: Stage,
) -> None:
    stage.target.preflight_error = TargetUnavailableError("connection refused")
    flink = stage.job("a")
    assert flink.start().error is None
    checkpoint(flink, settle=False)
    stage.target.preflight_error = TargetError("table Demo.T does not exist")
    assert isinstance(stopped(stage, flink), TargetError)
    assert stage.target.commands == []


def test_a_ledger_that_stays_away_fails_the_task(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()

    def away(after: int) -> list[tuple[int, bytes]]:
        raise StorageUnavailableError("disk gone")

    class Away:
        address = stage.log.address
        read = staticmethod(away)
        append = stage.log.append

    assert flink.process is not None
    flink.process.log = Away()
    flink.produce(1)
    assert flink.snapshot() is None
    assert isinstance(flink.process.error, StorageUnavailableError)
    assert flink.process.error.restartable


@pytest.mark.parametrize(
    ("rows", "extents", "verdict"),
    [
        (3, [], Verdict.NONE),
        (3, [Extent("a", 0, ("t",))], Verdict.NONE),
        (3, [Extent("a", 3, ("t",))], Verdict.ALL),
        (3, [Extent("a", 1, ("t",)), Extent("b", 2, ("t",))], Verdict.ALL),
        (3, [Extent("a", 2, ("t",))], Verdict.FEWER),
        (3, [Extent("a", 4, ("t",), named=True)], Verdict.MORE),
        (3, [Extent("a", 4, ("t",))], Verdict.UNCHECKABLE),
        (3, [Extent("a", 8, ("t", "u"))], Verdict.ALL),
        (3, [Extent("a", 7, ("t", "u"))], Verdict.UNCHECKABLE),
        (3, [Extent("a", 8, ("t", "stranger"))], Verdict.UNCHECKABLE),
    ],
)
def test_rows_are_judged_by_what_the_ledger_knows(rows, extents, verdict) -> None:
    assert judge("t", rows, extents, {"t": rows, "u": 5}) is verdict


def test_an_attempt_closed_by_time_is_open_again_when_something_runs(stage: Stage) -> None:
    """The settle time passed unseen, then the record appears: no second command beside it."""
    stage.target.atomic = False
    stage.target.records_visible = False
    flink = stage.job("a")
    flink.start()
    stage.target.on_submit = lambda: "lose-reply"
    checkpoint(flink, settle=False)
    process = flink.process
    process.run(lambda: process.coordinator.commit is not None and process.coordinator.commit.blind)
    stage.target.records_visible = True
    deadline = stage.world.now + 600
    process.run(lambda: stage.world.now > deadline)
    assert len(stage.target.commands) == 1, "a second request was sent beside the first"
    flink.finish()
    assert flink.verdict().ok


def test_evidence_of_a_failed_operation_may_have_expired_too(stage: Stage) -> None:
    """Its rows may be in, in part, and their tags gone: nothing found proves nothing."""
    stage.target.kept_s = 3600.0
    flink, command = half_done(stage)
    stage.target.drop_tags()
    command.extent = None
    stage.world.now += 4000.0
    process = flink.restart()
    process.run(lambda: not process.coordinator.slices)
    assert isinstance(process.error, EvidenceExpiredError)


def test_another_sink_s_later_ingests_do_not_hold_up_the_closing(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    answers = iter(["lose-request"])
    stage.target.on_submit = lambda: next(answers, "take")
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Look)
    stage.world.now += 2 * Settings().settle_s
    stranger = Transaction("other-sink", flink.process.todo[0].transaction.slices)
    stage.target.commands.append(Command("op-other", stranger, stage.world.now, "running"))
    process = flink.process
    process.run(lambda: stage.kinds().count("intent") == 2)
    assert process.error is None


def test_looks_while_waiting_for_a_stranger_are_few(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    stage.target.on_submit = lambda: "lose-request"
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Look)
    stranger = Transaction("other-sink", flink.process.todo[0].transaction.slices)
    stage.target.commands.append(Command("op-other", stranger, stage.world.now, "running"))
    process, began = flink.process, stage.world.now
    process.run(lambda: stage.world.now > began + 600)
    assert process.calls < 800, f"{process.calls} port calls in ten minutes of waiting"


def test_preflights_do_not_multiply_in_an_outage(stage: Stage) -> None:
    stage.target.preflight_error = TargetUnavailableError("connection refused")
    flink = stage.job("a")
    flink.start()
    process = flink.process
    for _ in range(50):
        checkpoint(flink, settle=False)
        process.run(lambda: not process.todo)
    assert len([key for _, key in process.wakes if key == "check"]) <= 1


def test_a_delete_that_is_refused_does_not_stop_the_job(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()

    def refuse(parts: object) -> None:
        raise StagingError("can't delete: not permitted")

    class Keeping(MemoryTarget):
        delete = staticmethod(refuse)

    flink.process.target = Keeping(
        stage.staging,
        clock=lambda: stage.world.now,
        extents=stage.target.extents,
        commands=stage.target.commands,
    )
    checkpoint(flink)
    flink.finish()
    assert flink.process.error is None
    assert flink.verdict().ok
    assert any("left for the sweep" in line for line in flink.process.said)


def test_a_part_after_the_final_snapshot_is_loud(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    flink.finish()
    flink.process.send(ev.PartArrived(encode_part(stage.staging.seal(["late"]))))
    assert isinstance(flink.process.error, WorkerError)


def test_retries_do_not_write_the_slices_again(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    answers = iter(["refuse"] * 3)
    stage.target.on_submit = lambda: next(answers, "take")
    checkpoint(flink)
    flink.drain()
    intents = [json.loads(e) for e in stage.log.entries if b'"kind":"intent"' in e]
    assert [len(intent["slices"]) for intent in intents] == [1, 0, 0, 0]
    flink.finish()
    assert flink.verdict().ok
