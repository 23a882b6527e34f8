"""The rewind guard: each test is a story in which an older wording failed."""

from __future__ import annotations

import json
from collections import Counter

from exactly_once_kusto.errors import RewindError, TargetError
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.ports import Settings

from .stage import Stage, checkpoint, run_until_action

ALLOW = Settings(on_rewind="allow")


def test_an_older_checkpoint_is_refused_with_the_list_and_leaves_no_trace(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    old = checkpoint(flink)
    checkpoint(flink)
    checkpoint(flink)
    before = list(stage.log.entries)
    process = stage.job("b").start(old)
    assert isinstance(process.error, RewindError)
    assert not process.error.restartable
    text = str(process.error)
    assert "checkpoint 1 was restored" in text
    assert "2 later transaction(s)" in text
    assert "checkpoints 2, 3 rows, committed" in text
    assert "checkpoints 3, 3 rows, committed" in text
    assert "'on-rewind' = 'allow'" in text
    assert stage.log.entries == before


def test_a_mistaken_start_beside_a_running_job_does_not_stop_it(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    old = checkpoint(flink)
    checkpoint(flink)
    assert isinstance(stage.job("b").start(old).error, RewindError)
    checkpoint(flink)
    flink.finish()
    assert flink.process is not None
    assert flink.process.error is None
    assert flink.verdict().ok


def test_later_commits_that_were_only_intended_are_a_rewind_too(stage: Stage) -> None:
    """The guard counts intents: `committed` may be missing although the rows are in."""
    flink = stage.job("a")
    flink.start()
    old = checkpoint(flink)
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Poll)
    stage.target.advance_all()
    assert stage.kinds()[-1] == "operation"
    process = stage.job("b").start(old)
    assert isinstance(process.error, RewindError)
    assert "all rows are in the table" in str(process.error)
    assert stage.kinds()[-1] == "operation"


def test_what_is_not_in_the_table_is_said_so_in_the_refusal(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    old = checkpoint(flink)
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Submit)
    process = stage.job("b").start(old)
    assert isinstance(process.error, RewindError)
    assert "not recorded as committed, 0 rows found" in str(process.error)


def test_allowed_rows_of_both_branches_are_there_once_each(stage: Stage) -> None:
    """Same checkpoint numbers, other rows: a tag made from the number would lose the second."""
    flink = stage.job("a", branch="old-")
    flink.start()
    old = checkpoint(flink)
    checkpoint(flink)
    checkpoint(flink)
    again = stage.job("b", ALLOW, branch="new-")
    again.checkpoint, again.completed = old.number, [old]
    assert again.start(old).error is None
    checkpoint(again)
    again.finish()
    expected = Counter(f"old-{n}" for n in range(9)) + Counter(f"new-{n}" for n in range(3, 6))
    assert Counter(stage.target.rows()) == expected
    kinds = stage.kinds()
    assert kinds[kinds.index("rewind-accepted") + 1] == "start"


def test_an_accepted_rewind_is_not_refused_at_its_own_failover(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    old = checkpoint(flink)
    checkpoint(flink)
    again = stage.job("b", ALLOW, branch="new-")
    again.checkpoint = old.number
    assert again.start(old).error is None
    refusing = stage.job("b", branch="new-")
    refusing.attempt, refusing.checkpoint = again.attempt, again.checkpoint
    assert refusing.start(old).error is None, "the floor was not raised by `rewind-accepted`"


def test_a_second_rewind_of_the_accepted_branch_is_seen(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    old = checkpoint(flink)
    checkpoint(flink)
    again = stage.job("b", ALLOW, branch="new-")
    again.checkpoint = old.number
    again.start(old)
    checkpoint(again)
    assert isinstance(stage.job("c").start(old).error, RewindError)


def test_two_branches_of_one_savepoint_do_not_hide_each_other_by_number(stage: Stage) -> None:
    """b commits checkpoints 2 and 3; a's own checkpoint 2 has the same number, other rows."""
    flink = stage.job("a", branch="a-")
    flink.start()
    savepoint = checkpoint(flink)
    kept = checkpoint(flink)
    branch = stage.job("b", ALLOW, branch="b-")
    branch.checkpoint = savepoint.number
    branch.start(savepoint)
    checkpoint(branch)
    checkpoint(branch)
    process = stage.job("c").start(kept)
    assert isinstance(process.error, RewindError), "numbers were compared, not slices"


def test_an_ordinary_failover_is_no_rewind(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    for _ in range(3):
        checkpoint(flink, settle=False)
        run_until_action(flink, ev.Submit)
        assert flink.restart().error is None
    flink.finish()
    assert flink.verdict().ok


def test_retries_of_an_older_transaction_are_no_rewind(stage: Stage) -> None:
    """A later intent for the same slices is a retry; only first intents count."""
    flink = stage.job("a")
    flink.start()
    answers = iter(["refuse", "refuse"])
    stage.target.on_submit = lambda: next(answers, "take")
    snapshot = checkpoint(flink)
    flink.drain()
    assert stage.kinds().count("intent") == 3
    process = flink.start(snapshot)
    assert process.error is None


def test_a_restored_state_of_another_lineage_is_judged_by_its_own(stage: Stage) -> None:
    """A fresh run under a used name has a lineage of its own: no rewind of the old one."""
    flink = stage.job("a", branch="a-")
    flink.start()
    last = checkpoint(flink)
    fresh = stage.job("b", branch="b-")
    fresh.start()
    checkpoint(fresh)
    fresh.finish()
    process = stage.job("c").start(last)
    assert process.error is None


def test_a_failover_before_the_first_checkpoint_keeps_its_lineage(stage: Stage) -> None:
    flink = stage.job("a")
    first = flink.start()
    second = flink.start(None)
    assert second.error is None
    assert first.coordinator.door.lineage == second.coordinator.door.lineage


def test_a_job_that_lost_its_state_is_a_rewind_to_nothing(stage: Stage) -> None:
    """The job id is known and did not end: starting without state would write every row again."""
    flink = stage.job("a")
    flink.start()
    checkpoint(flink)
    assert isinstance(flink.start(None).error, RewindError)


def test_a_run_after_a_clean_end_is_a_new_lineage(stage: Stage) -> None:
    """Application mode may give every run the same job id."""
    flink = stage.job("a")
    first = flink.start()
    flink.produce(3)
    flink.finish()
    assert stage.kinds()[-1] == "end"
    second = stage.job("a").start()
    assert second.error is None
    assert first.coordinator.door.lineage != second.coordinator.door.lineage


def test_the_guard_is_asked_again_when_its_number_was_taken(stage: Stage) -> None:
    """Between the guard's reading and its `start` the old job intends one more transaction."""
    flink = stage.job("a")
    flink.start()
    old = checkpoint(flink)
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Append)
    clone = stage.job("b")
    process = clone.start(old, run=False)
    process.run(lambda: any(isinstance(a, ev.Append) for a in process.todo))
    assert process.error is None
    assert flink.process is not None
    flink.process.step()
    assert stage.kinds()[-1] == "intent"
    process.run(lambda: process.ready)
    assert isinstance(process.error, RewindError)
    assert stage.kinds()[-1] == "intent"


def test_an_acceptance_without_its_start_accepts_nothing(stage: Stage) -> None:
    """The allowed run died between the two entries; a careful one comes next."""
    flink = stage.job("a")
    flink.start()
    old = checkpoint(flink)
    checkpoint(flink)
    allowed = stage.job("b", ALLOW).start(old, run=False)
    allowed.run(lambda: stage.kinds()[-1] == "rewind-accepted")
    careful = stage.job("c").start(old)
    assert isinstance(careful.error, RewindError)


def test_a_refusal_keeps_its_list_when_the_table_can_not_be_read(stage: Stage) -> None:
    flink = stage.job("a")
    flink.start()
    old = checkpoint(flink)
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Submit)
    process = stage.job("b").start(old, run=False)
    process.run(lambda: any(isinstance(a, ev.Look) for a in process.todo))
    process.todo.clear()
    process.send(ev.PortBroke(TargetError("no such table")))
    assert isinstance(process.error, RewindError)
    assert "outcome unknown" in str(process.error)


def test_an_intended_slice_is_not_regrouped_after_an_accepted_rewind(stage: Stage) -> None:
    """Slices 1 and 2 are in one open intent; a state that only holds slice 1 is restored."""
    stage.target.reachable = False
    flink = stage.job("a", branch="a-")
    flink.start()
    first = checkpoint(flink, settle=False)
    checkpoint(flink, settle=False)
    stage.target.reachable = True
    run_until_action(flink, ev.Submit)
    intended = json.loads(stage.log.entries[-1])
    assert len(intended["slices"]) == 2
    again = stage.job("b", ALLOW, branch="b-")
    again.checkpoint = first.number
    assert again.start(first).error is None
    checkpoint(again)
    again.finish()
    assert stage.target.commands[0].transaction.id == intended["transaction"]
    assert len(stage.target.commands[0].transaction.slices) == 2
    wanted = Counter(f"a-{n}" for n in range(6)) + Counter(f"b-{n}" for n in range(3, 6))
    assert Counter(stage.target.rows()) == wanted


def test_access_is_minted_before_the_intent_that_names_its_expiry(stage: Stage) -> None:
    stage.target.access_lifetime_s = 300.0
    flink = stage.job("a")
    flink.start()
    checkpoint(flink, settle=False)
    run_until_action(flink, ev.Mint)
    assert "intent" not in stage.kinds()
    minted_at = stage.world.now
    stage.world.now += 5.0
    run_until_action(flink, ev.Append)
    run_until_action(flink, ev.Submit)
    intent = json.loads(stage.log.entries[-1])
    assert intent["expires_at"] == minted_at + 5.0 + 300.0
    assert intent["principal"] == "memory"
