"""The second phase against a local Kusto: submitted once, followed, counted; done on evidence."""

from __future__ import annotations

import time

import pytest

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.errors import TargetError, TargetUnavailableError
from exactly_once_kusto.protocol.judging import Verdict, judge
from exactly_once_kusto.protocol.outcome import (
    Accepted,
    Access,
    Completed,
    Failed,
    Lost,
    Missing,
    NotSent,
    Refused,
    Running,
    Skipped,
)
from exactly_once_kusto.storage.address import open_object
from tests.kusto.conftest import rows, stage, transaction

DEADLINE_S = 20.0


def follow(target, made, operation):
    """Poll until the operation has ended."""

    def ended():
        status = target.poll(made, operation)
        return None if isinstance(status, Running) else status

    return wait_until(ended, DEADLINE_S, "the operation's end", poll_s=0.02)


def commit(target, made):
    submission = send(target, made)
    assert isinstance(submission, Accepted), submission
    return submission.operation, follow(target, made, submission.operation)


def verdict(made, sighting):
    return judge(made.id, made.rows, sighting.extents, {})


@pytest.fixture
def table(kusto):
    return kusto.table()


@pytest.fixture(params=["file", "azurite"])
def sink(request, kusto, table):
    """The sink on both kinds of staging."""
    if request.param == "file":
        return kusto.sink(table)
    azurite = request.getfixturevalue("azurite")
    return kusto.sink(table, staging=f"{azurite.container('staging')}/{table.lower()}")


def send(target, made, attempt=1):
    """Mint the attempt's access, send its one request."""
    target.mint(made, attempt)
    return target.submit(made, attempt)


def contents(part):
    store, name = open_object(part.address)
    return store.read(name)


def replace(part, data):
    """What another hand may do."""
    store, name = open_object(part.address)
    store.delete(name)
    if data is not None:
        assert store.create(name, data)


@pytest.fixture
def target(kusto, sink):
    return kusto.target(sink)


def test_all_parts_of_a_transaction_come_in_with_one_command_and_are_counted(
    kusto, table, sink, target
):
    target.preflight()
    made = transaction(stage(sink, rows((1, "a"), (2, None)), rows((3, "'ü\n\\"))))
    access = target.mint(made, 1)
    if sink.staging.startswith("file:"):
        assert access == Access("local", None)
    else:
        assert 880 < access.expires_at - time.time() <= 900
    operation, status = commit(target, made)
    assert status == Completed()
    sighting = target.look(made, [operation], time.time())
    assert sum(extent.rows for extent in sighting.extents) == 3
    assert all(extent.named and extent.tags == (made.id,) for extent in sighting.extents)
    assert verdict(made, sighting) is Verdict.ALL
    assert kusto.query(f"{table} | order by id asc") == [
        {"id": 1, "note": "a"},
        {"id": 2, "note": ""},
        {"id": 3, "note": "'ü\n\\"},
    ]
    commands = [r for r in kusto.command(".show commands") if made.id in r["Text"]]
    assert len(commands) == 1


def test_a_second_command_under_the_tag_is_skipped(kusto, table, sink, target):
    made = transaction(stage(sink, rows((1, "a"))))
    assert commit(target, made)[1] == Completed()
    operation, status = commit(target, made)
    assert status == Skipped()
    sighting = target.look(made, [operation], time.time())
    assert verdict(made, sighting) is Verdict.ALL
    assert not sighting.extents[0].named
    assert kusto.query(f"{table} | count") == [{"Count": 1}]


def test_other_transactions_are_not_seen(sink, target):
    first = transaction(stage(sink, rows((1, "a"))))
    second = transaction(stage(sink, rows((2, "b"))))
    commit(target, first)
    sighting = target.look(second, [], time.time())
    assert (sighting.extents, sighting.busy, sighting.kept_s) == ((), False, None)


def test_after_a_lost_reply_the_rows_are_found_by_the_tag(kusto, table, sink, target):
    kusto.emulator.faults.set({"on": "ingest", "do": "drop-reply"})
    made = transaction(stage(sink, rows((1, "a"))))
    since = time.time()
    assert isinstance(send(target, made), Lost)
    seen = lambda: verdict(made, target.look(made, [], since)) is Verdict.ALL  # noqa: E731
    wait_until(seen, DEADLINE_S, "all rows")
    assert kusto.query(f"{table} | count") == [{"Count": 1}]


def test_a_dropped_request_is_lost_too_and_leaves_nothing(kusto, sink, target):
    kusto.emulator.faults.set({"on": "ingest", "do": "drop-request"})
    made = transaction(stage(sink, rows((1, "a"))))
    assert isinstance(send(target, made), Lost)
    sighting = target.look(made, [], time.time())
    assert (sighting.extents, sighting.busy) == ((), False)


def test_a_command_that_still_runs_makes_a_look_busy(kusto, sink, target):
    kusto.emulator.faults.set({"on": "ingest", "do": "delay-apply", "seconds": 60})
    made = transaction(stage(sink, rows((1, "a"))))
    submission = send(target, made)
    assert target.poll(made, submission.operation) == Running()
    assert target.look(made, [], time.time()).busy
    # It started before the attempt in question, whatever the clocks say.
    assert not target.look(made, [], time.time() + 3600).busy
    kusto.emulator.faults.clear()
    assert follow(target, made, submission.operation) == Completed()
    assert verdict(made, target.look(made, [submission.operation], 0)) is Verdict.ALL


def test_throttling_is_refused_for_now(kusto, sink, target):
    kusto.emulator.faults.set({"on": "ingest", "do": "throttle"})
    answer = send(target, transaction(stage(sink, rows((1, "a")))))
    assert isinstance(answer, Refused)
    assert not answer.permanent


@pytest.mark.parametrize("permanent", [True, False])
def test_a_failed_operation_says_whether_to_try_again(kusto, sink, target, permanent):
    kusto.emulator.faults.set(
        {
            "on": "ingest",
            "do": "fail",
            "code": "Download_Forbidden",
            "message": "no access",
            "permanent": permanent,
        }
    )
    made = transaction(stage(sink, rows((1, "a"))))
    operation, status = commit(target, made)
    assert isinstance(status, Failed)
    assert status.permanent is permanent
    assert "ended as Failed" in status.message
    assert "no access" in status.message
    assert target.look(made, [operation], time.time()).extents == ()


def test_a_table_that_is_gone_is_refused_with_kusto_s_text(kusto, table, sink, target):
    made = transaction(stage(sink, rows((1, "a"))))
    kusto.command(f".drop table {table}")
    answer = send(target, made)
    assert isinstance(answer, Refused)
    assert answer.permanent
    assert table in answer.message
    with pytest.raises(TargetError, match=table):
        target.look(made, [], time.time())


def test_a_deleted_part_is_named_and_nothing_is_sent(kusto, sink, target):
    parts = stage(sink, rows((1, "a")), rows((2, "b")))
    replace(parts[1], None)
    made = transaction(parts)
    answer = send(target, made)
    assert isinstance(answer, Refused)
    assert answer.permanent
    assert f"part {parts[1].address} is gone (1 rows)" in answer.message
    assert not [r for r in kusto.command(".show commands") if made.id in r["Text"]]


@pytest.mark.parametrize("keep_length", [True, False])
def test_a_changed_part_is_named_and_nothing_is_sent(sink, target, keep_length):
    parts = stage(sink, rows((1, "a")))
    data = contents(parts[0])
    replace(parts[0], bytes(len(data)) if keep_length else data[:-1])
    answer = send(target, transaction(parts))
    assert isinstance(answer, Refused)
    assert answer.permanent
    assert f"part {parts[0].address} was changed after it was sealed" in answer.message


def test_an_operation_that_nobody_knows_is_missing(sink, target):
    made = transaction(stage(sink, rows((1, "a"))))
    assert target.poll(made, "00000000-1111-2222-3333-444444444444") == Missing()


def test_parts_are_deleted_once_and_again(sink, target):
    parts = stage(sink, rows((1, "a")), rows((2, "b")))
    target.delete(parts)
    target.delete(parts)
    assert [contents(part) for part in parts] == [None, None]


def test_a_slice_goes_where_it_was_sealed_for_whatever_the_options_say_now(kusto, table, sink):
    made = transaction(stage(sink, rows((1, "a"))))
    other = kusto.target(kusto.sink(kusto.table()))
    assert commit(other, made)[1] == Completed()
    assert kusto.query(f"{table} | count") == [{"Count": 1}]


def test_a_mapping_leads_into_the_named_column(kusto):
    table = kusto.table("['My id']:long, note:string, other:long")
    sink = kusto.sink(table, mapping={"id": "My id"})
    target = kusto.target(sink)
    target.preflight()
    assert commit(target, transaction(stage(sink, rows((7, "a")))))[1] == Completed()
    assert kusto.query(table) == [{"My id": 7, "note": "a", "other": None}]


def test_a_table_whose_name_needs_quotes_is_reached(kusto):
    kusto.command(".create table ['where my-data.v1'] (id:long, note:string)")
    sink = kusto.sink("where my-data.v1", name="quoted")
    target = kusto.target(sink)
    target.preflight()
    made = transaction(stage(sink, rows((1, "a"))))
    operation, status = commit(target, made)
    assert status == Completed()
    assert verdict(made, target.look(made, [operation], time.time())) is Verdict.ALL


def test_a_staging_path_with_quotes_and_blanks_is_reached(kusto, table, tmp_path):
    folder = tmp_path / 'it\'s a "dir"; %41 ü'
    sink = kusto.sink(table, staging=folder.as_uri())
    target = kusto.target(sink)
    target.preflight()
    assert commit(target, transaction(stage(sink, rows((1, "a")))))[1] == Completed()


def test_tags_of_a_merged_extent_are_all_told(kusto, table, sink, target):
    # As a merge leaves it: one extent, two tags, the rows of both.
    first, second = (transaction(stage(sink, rows((i, "a")))) for i in (1, 2))
    tags = f'["ingest-by:{first.id}","ingest-by:{second.id}","drop-by:x"]'
    kusto.command(f".append {table} with (tags='{tags}') <| print id=long(1), note='a'")
    (extent,) = target.look(first, [], time.time()).extents
    assert extent.tags == tuple(sorted((first.id, second.id)))


def test_how_long_evidence_is_kept_comes_from_table_then_database(kusto, table, sink, target):
    made = transaction(stage(sink, rows((1, "a"))))

    def kept():
        return target.look(made, [], time.time()).kept_s

    tags = '[{"TagPrefix":"drop-by:","RetentionPeriod":"00:10:00"}'
    try:
        kusto.command(
            ".alter database Demo policy extent_tags_retention "
            f"""'{tags},{{"TagPrefix":"ingest-by:","RetentionPeriod":"3.00:00:00"}}]'"""
        )
        assert kept() == 3 * 86_400
        kusto.command(
            f".alter table {table} policy extent_tags_retention "
            f"""'{tags},{{"TagPrefix":"ingest-by:","RetentionPeriod":"02:00:00"}}]'"""
        )
        assert kept() == 7200
        kusto.command(f".alter-merge table {table} policy retention softdelete = 1h")
        assert kept() == 3600
        kusto.command(f".alter table {table} policy extent_tags_retention '{tags}]'")
        kusto.command(f".alter-merge table {table} policy retention softdelete = 365000d")
        assert kept() is None
    finally:
        kusto.command(".delete database Demo policy extent_tags_retention")


def test_a_target_that_does_not_answer_is_no_verdict(kusto, sink):
    # A port that nobody listens on: the destination was sealed with it.
    away = kusto.sink("Gone", cluster="http://127.0.0.1:1")
    target = kusto.target(away)
    made = transaction(stage(away, rows((1, "a"))))
    assert isinstance(send(target, made), NotSent)
    for ask in (
        target.preflight,
        lambda: target.poll(made, "00000000-1111-2222-3333-444444444444"),
        lambda: target.look(made, [], 0.0),
    ):
        with pytest.raises(TargetUnavailableError, match=r"127\.0\.0\.1:1 did not answer"):
            ask()


def test_a_reply_lost_while_reading_is_no_verdict(kusto, sink, target):
    made = transaction(stage(sink, rows((1, "a"))))
    for kind in ("extents", "operations", "policy"):
        kusto.emulator.faults.set({"on": kind, "do": "drop-reply"})
        with pytest.raises(TargetUnavailableError, match="did not answer"):
            target.look(made, [], time.time())
