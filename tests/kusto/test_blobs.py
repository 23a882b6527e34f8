"""The second phase where parts are blobs: what holds for access that expires, and for many."""

from __future__ import annotations

import logging

import pytest

from exactly_once_kusto.protocol.outcome import Completed, Failed, NotSent
from exactly_once_kusto.storage.address import AZURITE_KEY
from tests.kusto.conftest import rows, stage, transaction
from tests.kusto.test_commit import commit, contents, follow, replace, send


@pytest.fixture
def table(kusto):
    return kusto.table()


@pytest.fixture
def blob_sink(kusto, table, azurite):
    return kusto.sink(table, staging=azurite.container("staging"), access_lifetime_s=10.0)


def test_no_access_is_in_what_outlives_a_command(kusto, table, blob_sink, caplog):
    """The SAS is in the request alone: not in Kusto's journals, our logs, nor in what is kept."""
    caplog.set_level(logging.DEBUG)
    target = kusto.target(blob_sink)
    made = transaction(stage(blob_sink, rows((1, "a")), rows((2, "b"))))
    operation, status = commit(target, made)
    assert status == Completed()
    shown = [str(kusto.command(f".show {what}")) for what in ("commands", "operations")]
    shown.append(str(kusto.command(f".show operation {operation} details")))
    kept = [repr(target.mint(made, 2)), repr(made), repr(target), caplog.text]
    for text in shown + kept:
        assert "sig=" not in text
        assert AZURITE_KEY not in text
    assert made.parts[0].address in shown[-1], "the details name the blob: the test looks there"


def test_a_blob_that_cannot_be_read_fails_the_command_without_showing_its_access(
    kusto, table, blob_sink
):
    """It is deleted between our look and Kusto's reading."""
    target = kusto.target(blob_sink)
    made = transaction(stage(blob_sink, rows((1, "a")), rows((2, "b"))))
    kusto.emulator.faults.set({"on": "ingest", "do": "delay-apply", "seconds": 0.5})
    submission = send(target, made)
    replace(made.parts[1], None)
    status = follow(target, made, submission.operation)
    assert isinstance(status, Failed)
    assert status.permanent
    assert "Download_SourceNotFound" in status.message
    assert "sig=" not in status.message
    assert kusto.query(f"{table} | count") == [{"Count": 0}]


def test_a_request_without_access_or_with_one_that_ends_soon_is_not_sent(kusto, blob_sink):
    target = kusto.target(blob_sink)
    made = transaction(stage(blob_sink, rows((1, "a"))))
    assert target.submit(made, 1) == NotSent("no access was minted for attempt 1")
    target.mint(made, 1)
    identity, number, until = target._access
    target._access = (identity, number, until - 6.0)
    assert target.submit(made, 1) == NotSent(
        "its access was half over before it was sent: staging answers slowly"
    )
    assert not [r for r in kusto.command(".show commands") if made.id in r["Text"]]


def test_hundreds_of_blobs_go_in_one_command(kusto, table, blob_sink):
    target = kusto.target(blob_sink)
    made = transaction(stage(blob_sink, *(rows((i, "a")) for i in range(240))))
    _, status = commit(target, made)
    assert status == Completed()
    assert kusto.query(f"{table} | summarize count(), dcount(id)")[0]["count_"] == 240
    target.delete(made.parts)
    assert contents(made.parts[0]) is None


def test_storage_that_is_away_sends_nothing(kusto, blob_sink, azurite):
    target = kusto.target(blob_sink)
    made = transaction(stage(blob_sink, rows((1, "a"))))
    azurite.stop()
    try:
        answer = send(target, made)
    finally:
        azurite.start()
    assert isinstance(answer, NotSent)
    assert "staging can't be looked at" in answer.message
