"""Operations: every documented state, history windows on the turned clock, cancellation."""

from __future__ import annotations

import threading

import pytest
from azure.kusto.data import ClientRequestProperties
from azure.kusto.data.exceptions import KustoApiError, KustoServiceError, KustoThrottlingError

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.emulator import loading

HOUR_S = 3600
DAY_S = 24 * HOUR_S
QUERY = ".append async T <| print n = 7"


@pytest.fixture(autouse=True)
def _table(kusto) -> None:
    kusto.rows(".create table T (n:long)")


def ingest(numbers, asynchronous: bool = True, count: int = 5, copies: int = 1) -> str:
    word = "async " if asynchronous else ""
    listed = ", ".join(f"'{numbers(count, f'{i}.parquet')}'" for i in range(copies))
    return (
        f".ingest {word}into table T ({listed}) with (format='parquet', tags='[\"ingest-by:x\"]')"
    )


def states(kusto, operation: str) -> list[str]:
    rows = kusto.rows(f".show operations | where OperationId == '{operation}' | project State")
    return [row[0] for row in rows]


@pytest.mark.parametrize("state", ["Throttled", "BadInput", "Canceled", "Abandoned", "Failed"])
def test_an_operation_ends_in_the_state_that_was_set(
    kusto, kusto_emulator, numbers, state: str
) -> None:
    kusto_emulator.faults.set({"on": "ingest", "do": "end", "state": state, "times": 2})
    operation = kusto.one(ingest(numbers))
    assert kusto.ended(operation)["State"] == state
    assert states(kusto, operation) == ["InProgress", state]
    with pytest.raises((KustoServiceError, KustoThrottlingError)) as caught:
        kusto.rows(ingest(numbers, asynchronous=False))
    assert isinstance(caught.value, KustoThrottlingError) == (state == "Throttled")
    assert kusto.one("T | count") == 0
    with pytest.raises(KustoApiError, match=f"its state is {state}"):
        kusto.rows(f".show operation {operation} details")
    assert kusto.ended(kusto.one(ingest(numbers)))["State"] == "Completed"


def test_a_scheduled_operation_goes_on_when_its_time_has_come(
    kusto, kusto_emulator, numbers
) -> None:
    kusto_emulator.faults.set({"on": "ingest", "do": "schedule", "seconds": 60})
    operation = kusto.one(ingest(numbers))
    assert states(kusto, operation) == ["Scheduled"]
    kusto_emulator.faults.clear()
    wait_until(
        lambda: states(kusto, operation)[-1] == "Completed", 20, "the operation's end", poll_s=0.02
    )
    assert states(kusto, operation) == ["Scheduled", "InProgress", "Completed"]


def test_a_partial_success_has_some_extents_in_and_tagged(kusto, kusto_emulator, numbers) -> None:
    kusto_emulator.faults.set(
        {"on": "ingest", "do": "partial", "extents": 2, "code": "Download_UnknownError"}
    )
    operation = kusto.one(ingest(numbers, copies=3))
    assert kusto.ended(operation)["State"] == "PartiallySucceeded"
    assert kusto.one("T | count") == 10
    assert len(kusto.rows(".show table T extents where tags has 'ingest-by:x'")) == 2
    details = kusto.rows(f".show operation {operation} details | project HasErrors")
    assert details == [[False], [False], [True]]
    failures = kusto.table(f".show ingestion failures with (OperationId='{operation}')")
    assert [row["ErrorCode"] for row in failures] == ["Download_UnknownError"]
    # And the tag keeps the rest out for good.
    once = ingest(numbers, asynchronous=False, copies=3).replace(
        "tags=", "ingestIfNotExists='[\"x\"]', tags="
    )
    kusto.rows(once)
    assert kusto.one("T | count") == 10


def test_an_ingestion_from_a_query_can_be_canceled_and_leaves_nothing(
    kusto, kusto_emulator
) -> None:
    kusto_emulator.faults.set({"on": "append", "do": "delay-commit", "seconds": 60})
    operation = kusto.one(QUERY)
    kusto_emulator.faults.wait_fired(1)
    row = kusto.table(f".cancel operation {operation} with (Reason='not needed')")[0].to_dict()
    assert row["Operation"] == "TableAppend"
    assert (row["CancellationState"], row["ReasonPhrase"]) == (
        "Canceled successfully",
        "not needed",
    )
    ended = kusto.ended(operation)
    assert (ended["State"], ended["Status"]) == ("Canceled", "not needed")
    assert kusto.rows("T") == []
    again = kusto.table(f".cancel operation {operation}")[0]
    assert again["CancellationState"] == "Cancel failed"
    assert kusto.ended(kusto.one(QUERY))["State"] == "Completed"
    assert kusto.rows("T") == [[7]]


def test_a_scheduled_ingestion_that_is_canceled_ends(kusto, kusto_emulator) -> None:
    kusto_emulator.faults.set({"on": "append", "do": "schedule", "seconds": 60})
    operation = kusto.one(QUERY)
    row = kusto.table(f".cancel operation {operation}")[0]
    assert row["CancellationState"] == "Canceled successfully"
    wait_until(
        lambda: states(kusto, operation) == ["Scheduled", "Canceled"], 20, "the end", poll_s=0.02
    )
    assert kusto.rows("T") == []


def test_an_operation_that_fails_as_nobody_foresaw_is_failed_and_not_in_progress_for_ever(
    kusto, numbers, monkeypatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loading, "_sources", full)
    ended = kusto.ended(kusto.one(ingest(numbers)))
    assert ended["State"] == "Failed"
    assert "No space left on device" in ended["Status"]
    with pytest.raises(KustoApiError, match="No space left"):
        kusto.rows(ingest(numbers, asynchronous=False))
    assert kusto.rows(
        ".show operations | summarize count() by State | where State == 'Failed'"
    ) == [["Failed", 2]]


def test_an_ingestion_from_files_can_not_be_canceled(kusto, kusto_emulator, numbers) -> None:
    kusto_emulator.faults.set({"on": "ingest", "do": "delay-apply", "seconds": 60})
    operation = kusto.one(ingest(numbers))
    row = kusto.table(f".cancel operation {operation}")[0]
    assert row["CancellationState"] == "Cancel failed"
    assert "only ingestions from queries" in row["ReasonPhrase"]
    kusto_emulator.faults.clear()
    assert kusto.ended(operation)["State"] == "Completed"


def test_details_are_kept_where_the_pages_say_so(kusto, numbers) -> None:
    operation = kusto.one(ingest(numbers))
    kusto.ended(operation)
    assert kusto.rows(f".show operation {operation} details | project HasErrors") == [[False]]
    done = kusto.table(ingest(numbers, asynchronous=False))[0]["OperationId"]
    with pytest.raises(KustoApiError, match="no results to show"):
        kusto.rows(f".show operation {done} details")
    for persists in (False, True):
        with_ = f"with (persistDetails={str(persists).lower()})"
        operation = kusto.one(f".append async T {with_} <| print n = 1")
        assert kusto.ended(operation)["State"] == "Completed"
        if persists:
            assert len(kusto.rows(f".show operation {operation} details")) == 1
        else:
            with pytest.raises(KustoApiError, match="no results to show"):
                kusto.rows(f".show operation {operation} details")


def test_a_failing_query_fails_its_operation(kusto) -> None:
    operation = kusto.one(".append async T <| Nowhere | project n")
    ended = kusto.ended(operation)
    assert ended["State"] == "Failed"
    assert "Nowhere" in ended["Status"]


def test_history_goes_back_as_far_as_documented(kusto, kusto_emulator, numbers) -> None:
    operation = kusto.one(ingest(numbers))
    kusto.ended(operation)
    with pytest.raises(KustoApiError):
        kusto.rows(".ingest into table T ('/nowhere') with (format='parquet')")

    def counts() -> list[int]:
        return [
            len(kusto.rows(f".show operations {operation}")),
            kusto.one(".show operations | count"),
            kusto.one(".show ingestion failures | count"),
            kusto.one(".show commands | count"),
        ]

    clock = kusto_emulator.clock
    assert counts() == [1, 3, 1, 2]
    clock.advance(5.9 * HOUR_S)
    assert counts() == [1, 3, 1, 2]
    clock.advance(0.2 * HOUR_S)
    assert counts() == [0, 3, 1, 2]
    clock.advance(13.5 * DAY_S)
    assert counts() == [0, 3, 1, 2]
    clock.advance(0.5 * DAY_S)
    assert counts() == [0, 0, 0, 2]
    clock.advance(16.5 * DAY_S)
    assert counts() == [0, 0, 0, 0]


@pytest.mark.parametrize(("action", "early"), [("late-record", []), ("late-end", ["InProgress"])])
def test_a_record_appears_late_on_the_turned_clock(
    kusto, kusto_emulator, numbers, action: str, early: list[str]
) -> None:
    kusto_emulator.faults.set({"on": "ingest", "do": action, "seconds": 60})
    operation = kusto.one(ingest(numbers))
    wait_until(lambda: kusto.one("T | count") == 5, 20, "the rows", poll_s=0.01)
    assert states(kusto, operation) == early
    assert [row["State"] for row in kusto.table(f".show operations {operation}")] == early
    with pytest.raises(KustoApiError, match="InProgress" if early else "not found"):
        kusto.rows(f".show operation {operation} details")
    kusto_emulator.clock.advance(61)
    assert len(kusto.rows(f".show operation {operation} details")) == 1
    assert states(kusto, operation) == ["InProgress", "Completed"]
    assert kusto.ended(operation)["State"] == "Completed"


def test_the_client_request_id_is_in_show_commands_alone_and_only_at_the_end(
    kusto, kusto_emulator, numbers
) -> None:
    kusto_emulator.faults.set({"on": "ingest", "do": "delay-apply", "seconds": 60})
    properties = ClientRequestProperties()
    properties.client_request_id = "me;77"
    answer = kusto.client.execute("Demo", ingest(numbers), properties)
    operation = answer.primary_results[0][0]["OperationId"]
    seen = ".show commands | where ClientActivityId == 'me;77' | project RootActivityId"
    assert kusto.rows(seen) == []
    kusto_emulator.faults.clear()
    kusto.ended(operation)
    assert len(kusto.rows(seen)) == 1
    listed = str(kusto.rows(".show operations")) + str(kusto.rows(".show ingestion failures"))
    assert "me;77" not in listed


def test_an_error_after_applying_leaves_the_rows(kusto, kusto_emulator, numbers) -> None:
    kusto_emulator.faults.set({"on": "ingest", "do": "fail-reply", "status": 500})
    with pytest.raises(KustoApiError, match="a fault was set"):
        kusto.rows(ingest(numbers, asynchronous=False))
    assert kusto.one("T | count") == 5
    assert kusto.rows(".show operations | project State") == [["Completed"]]


def test_an_unreadable_source_fails_all_of_the_command(kusto, kusto_emulator, numbers) -> None:
    kusto_emulator.faults.set({"on": "ingest", "do": "unreadable-blob", "source": 1})
    operation = kusto.one(ingest(numbers, copies=2))
    assert kusto.ended(operation)["State"] == "Failed"
    failure = kusto.table(f".show ingestion failures with (OperationId='{operation}')")[0]
    assert failure["ErrorCode"] == "Download_Forbidden"
    assert failure["IngestionSourcePath"].endswith("1.parquet")
    assert kusto.one("T | count") == 0


def test_a_partial_read_ingests_less_and_calls_it_completed(
    kusto, kusto_emulator, tmp_path
) -> None:
    (tmp_path / "rows.csv").write_text("".join(f"{n}\n" for n in range(10)))
    command = f".ingest async into table T ('{tmp_path}/rows.csv')"
    kusto_emulator.faults.set({"on": "ingest", "do": "partial-read"})
    assert kusto.ended(kusto.one(command))["State"] == "Completed"
    assert kusto.one("T | count") == 5
    kusto_emulator.faults.set({"on": "ingest", "do": "partial-read", "bytes": 2})
    kusto.ended(kusto.one(command))
    assert kusto.one("T | count") == 6


def test_a_fault_with_a_chance_fires_as_its_seed_says(kusto, kusto_emulator) -> None:
    def outcomes(seed: int) -> str:
        kusto_emulator.faults.set(
            {"on": "query", "do": "throttle", "times": None, "chance": 0.5, "seed": seed}
        )
        told = ""
        for _ in range(20):
            try:
                kusto.rows("print 1")
                told += "."
            except KustoThrottlingError:
                told += "x"
        return told

    first = outcomes(1)
    assert {"x", "."} == set(first)
    assert outcomes(1) == first
    assert outcomes(2) != first


def test_canceling_and_committing_never_both_succeed(kusto, kusto_emulator) -> None:
    wins = 0
    for n in range(12):
        operation = kusto.one(f".append async T <| print n = {n}")
        states_: list[str] = []
        cancel = threading.Thread(
            target=lambda operation=operation, states_=states_: states_.append(
                kusto.table(f".cancel operation {operation}")[0]["CancellationState"]
            )
        )
        cancel.start()
        cancel.join(20)
        canceled = states_ == ["Canceled successfully"]
        wins += canceled
        assert kusto.ended(operation)["State"] == ("Canceled" if canceled else "Completed")
        assert kusto.rows(f"T | where n == {n} | count") == [[0 if canceled else 1]]
    assert kusto.one("T | count") == 12 - wins


def test_what_is_forgotten_leaves_nothing_behind_on_disk(kusto, kusto_emulator, numbers) -> None:
    kusto_emulator.faults.set({"on": "ingest", "do": "late-end", "seconds": 60})
    kusto.one(ingest(numbers))
    wait_until(lambda: kusto.one("T | count") == 5, 20, "the rows", poll_s=0.01)
    with pytest.raises(KustoApiError):
        kusto.rows(".ingest into table T ('/nowhere') with (format='parquet')")
    kept = ("operation", "result", "late", "failure", "command")

    def counts() -> list[int]:
        with kusto_emulator._service.engine.reader() as q:
            found = [q.execute(f'SELECT count(*) FROM "$emulator".{t}').fetchone() for t in kept]
        return [row[0] for row in found]

    assert counts() == [3, 1, 1, 1, 2]
    kusto_emulator.clock.advance(61)
    assert counts() == [3, 1, 0, 1, 2]
    kusto_emulator.clock.advance(14 * DAY_S)
    assert counts() == [0, 0, 0, 0, 2]
    kusto_emulator.clock.advance(16 * DAY_S)
    assert counts() == [0, 0, 0, 0, 0]
