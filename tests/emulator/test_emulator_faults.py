"""Faults: each does what it says, as often as it says, and tells that it did."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from azure.kusto.data.exceptions import KustoApiError, KustoNetworkError, KustoThrottlingError

from exactly_once_kusto.emulator import Faults, KustoEmulator
from exactly_once_kusto.emulator.commands import Command
from exactly_once_kusto.emulator.faults import KINDS
from exactly_once_kusto.emulator.process import RemoteFaults

from .conftest import Kusto


@pytest.fixture(autouse=True)
def _table(kusto) -> None:
    kusto.rows(".create table T (n:long)")


def ingest(numbers) -> str:
    return f".ingest into table T ('{numbers(5)}') with (format='parquet')"


def test_a_dropped_reply_raises_but_the_rows_are_there(kusto, kusto_emulator, numbers) -> None:
    kusto_emulator.faults.set({"on": "ingest", "do": "drop-reply"})
    with pytest.raises(KustoNetworkError):
        kusto.rows(ingest(numbers))
    assert kusto.one("T | count") == 5
    assert kusto_emulator.faults.fired() == 1


def test_a_dropped_reply_of_an_async_ingest_loses_only_the_id(
    kusto, kusto_emulator, numbers
) -> None:
    kusto_emulator.faults.set({"on": "ingest", "do": "drop-reply"})
    with pytest.raises(KustoNetworkError):
        kusto.rows(f".ingest async into table T ('{numbers(5)}') with (format='parquet')")
    operation = kusto.rows(".show operations | project OperationId")[0][0]
    assert kusto.ended(operation)["State"] == "Completed"
    assert kusto.one("T | count") == 5


def test_a_dropped_request_changes_nothing(kusto, kusto_emulator, numbers) -> None:
    kusto_emulator.faults.set({"on": "ingest", "do": "drop-request"})
    with pytest.raises(KustoNetworkError):
        kusto.rows(ingest(numbers))
    assert kusto.one("T | count") == 0
    assert kusto.rows(".show operations") == []
    kusto.rows(ingest(numbers))
    assert kusto.one("T | count") == 5


def test_the_nth_match_is_hit_and_only_that(kusto, kusto_emulator) -> None:
    kusto_emulator.faults.set({"on": "operations", "do": "drop-reply", "after": 2})
    outcomes = []
    for _ in range(4):
        try:
            kusto.rows(".show operations")
            outcomes.append(True)
        except KustoNetworkError:
            outcomes.append(False)
    assert outcomes == [True, True, False, True]
    assert kusto.one("T | count") == 0  # other kinds are not touched


def test_throttling_is_429_as_often_as_asked(kusto, kusto_emulator, numbers) -> None:
    kusto_emulator.faults.set({"on": "ingest", "do": "throttle", "times": 2})
    for _ in range(2):
        with pytest.raises(KustoThrottlingError):
            kusto.rows(ingest(numbers))
    kusto.rows(ingest(numbers))
    assert kusto.one("T | count") == 5


@pytest.mark.parametrize("permanent", [True, False])
def test_an_ingest_fails_with_the_code_that_was_set(
    kusto, kusto_emulator, numbers, permanent: bool
) -> None:
    kusto_emulator.faults.set(
        {"on": "ingest", "do": "fail", "code": "Download_UnknownError", "permanent": permanent}
    )
    command = f".ingest async into table T ('{numbers(5)}') with (format='parquet')"
    operation = kusto.one(command)
    assert kusto.ended(operation)["State"] == "Failed"
    failure = kusto.table(f".show ingestion failures with (OperationId='{operation}')")[0]
    assert failure["ErrorCode"] == "Download_UnknownError"
    assert failure["FailureKind"] == ("Permanent" if permanent else "Transient")
    assert kusto.one("T | count") == 0
    assert kusto.ended(kusto.one(command))["State"] == "Completed"


def test_another_command_is_refused_with_the_code_that_was_set(kusto, kusto_emulator) -> None:
    kusto_emulator.faults.set({"on": "extents", "do": "fail", "code": "Forbidden", "status": 403})
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(".show table T extents")
    assert caught.value.http_response.status_code == 403
    assert caught.value.get_api_error().code == "Forbidden"
    assert caught.value.get_api_error().permanent is False


def test_a_delayed_reply_comes_when_the_fault_is_cleared(kusto, kusto_emulator) -> None:
    kusto_emulator.faults.set({"on": "query", "do": "delay-reply", "seconds": 60})
    replies: list = []
    waiting = threading.Thread(target=lambda: replies.append(kusto.rows("T | count")))
    waiting.start()
    kusto_emulator.faults.wait_fired(1)
    assert replies == []
    kusto_emulator.faults.clear()
    waiting.join(10)
    assert replies == [[[0]]]


def test_a_delay_takes_its_time(kusto, kusto_emulator) -> None:
    kusto_emulator.faults.set({"on": "query", "do": "delay-request", "seconds": 0.3})
    begun = time.monotonic()
    kusto.rows("T | count")
    assert time.monotonic() - begun >= 0.3


def test_only_commands_that_contain_the_text_are_hit(kusto, kusto_emulator) -> None:
    kusto_emulator.faults.set({"on": "any", "do": "throttle", "times": None, "contains": "Other"})
    kusto.rows("T | count")
    for _ in range(3):
        with pytest.raises(KustoThrottlingError):
            kusto.rows(".create table Other (a:long)")
    assert kusto_emulator.faults.fired() == 3


def test_faults_are_set_shown_and_cleared_over_http(kusto, kusto_emulator) -> None:
    faults = RemoteFaults(kusto_emulator.cluster)
    faults.set({"on": "query", "do": "throttle"})
    faults.add({"on": "tables", "do": "drop-reply", "times": 3})
    assert [(r["on"], r["do"], r["fired"]) for r in faults.rules()] == [
        ("query", "throttle", 0),
        ("tables", "drop-reply", 0),
    ]
    with pytest.raises(KustoThrottlingError):
        kusto.rows("T | count")
    faults.wait_fired(1)
    faults.clear()
    assert (faults.rules(), faults.fired()) == ([], 0)
    with pytest.raises(ValueError, match="'do' is 'explode'"):
        faults.set({"on": "query", "do": "explode"})


@pytest.mark.parametrize(
    "given",
    [
        {"on": "query"},
        {"do": "throttle"},
        {"on": "query", "do": "throttle", "time": 1},
        {"on": "query", "do": "throttle", "times": 0},
        {"on": "query", "do": "delay-reply", "seconds": -1},
        {"on": "query", "do": "delay-reply", "seconds": "x"},
        {"on": "query", "do": "delay-reply", "seconds": 1e300},
        {"on": "query", "do": "delay-reply", "seconds": float("nan")},
        {"on": "query", "do": "throttle", "contains": 5},
        {"on": "query", "do": "throttle", "permanent": "yes"},
        {"on": "query", "do": "throttle", "after": True},
        {"on": "query", "do": "fail", "status": 200},
        {"on": "query", "do": "fail", "message": None},
        {"on": "queries", "do": "fail"},
        {"on": "queued-blob", "do": "duplicate-message", "table": "T"},
    ],
)
def test_what_is_no_fault_is_refused(given: dict) -> None:
    with pytest.raises(ValueError, match=r"fault|do|seconds|status|on"):
        Faults().set(given)


def test_a_fault_may_be_for_one_table(kusto, kusto_emulator) -> None:
    kusto.rows(".create table U (n:long)")
    kusto_emulator.faults.set({"on": "any", "do": "throttle", "times": None, "table": "U"})
    kusto.rows(".ingest inline into table T <| 1")
    kusto.rows(".show table T extents")
    kusto.rows("T | where n == 1 // TUT")
    for text in (
        ".ingest inline into table U <| 1",
        ".show tables (T, U) extents",
        ".move extents all from table U to table T",
        ".alter-merge table U policy retention softdelete = 1d",
        "union T, U",
    ):
        with pytest.raises(KustoThrottlingError):
            kusto.rows(text)
    assert kusto_emulator.faults.fired() == 5


def test_a_fault_may_be_for_one_database(tmp_path) -> None:
    with KustoEmulator(tmp_path / "k", databases=["Demo", "Other"]) as running:
        kusto = Kusto(running.cluster)
        running.faults.set({"on": "query", "do": "throttle", "database": "other"})
        kusto.rows("print 1")
        with pytest.raises(KustoThrottlingError):
            kusto.rows("print 1", database="Other")
        kusto.client.close()


def test_every_kind_of_command_can_be_hit_by_a_fault() -> None:
    def kinds(command: type[Command]) -> set[str]:
        return {command.kind}.union(*(kinds(below) for below in command.__subclasses__()))

    assert kinds(Command) - {""} <= set(KINDS)
    told = (Path(__file__).parents[2] / "docs" / "reference" / "emulator.md").read_text("utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in told] == []
