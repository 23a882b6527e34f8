"""Queued ingestion by Microsoft's client, through Azurite's queues, containers and tables."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from azure.core.credentials import AzureSasCredential
from azure.data.tables import TableClient
from azure.kusto.data.data_format import DataFormat
from azure.kusto.data.exceptions import KustoApiError, KustoThrottlingError
from azure.kusto.ingest import BlobDescriptor, ColumnMapping
from azure.kusto.ingest.exceptions import KustoQueueError
from azure.storage.blob import BlobClient, ContainerClient

from exactly_once_kusto.emulator.process import EmulatorProcess

from .queue_fixtures import WAIT_S, Queue, wait_until

NOW = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - as the emulator's clock


def test_a_file_is_in_its_table_and_success_is_reported(queue: Queue, csv) -> None:
    table = queue.table()
    result = queue.client.ingest_from_file(csv(5), queue.properties(table))
    assert result.status.value == "QUEUED"
    told = queue.reported("success", result.source_id)
    assert queue.count(table) == 5
    assert (told["Database"], told["Table"]) == ("Demo", table)
    assert "sig=" not in told["IngestionSourcePath"]
    shown = queue.kusto.table(f".show operations {told['OperationId']}")[0]
    assert shown["State"] == "Completed"
    assert str(shown["RootActivityId"]) == told["RootActivityId"]


def test_a_mapping_and_a_creation_time_of_the_client_count(queue: Queue, tmp_path) -> None:
    table = queue.table()
    path = tmp_path / "a.json"
    path.write_text('{"value": 7}\n')
    properties = queue.properties(
        table,
        data_format=DataFormat.JSON,
        column_mappings=[ColumnMapping("n", "long", path="$.value")],
        additional_properties={"creationTime": "2026-01-02T00:00:00Z"},
    )
    queue.client.ingest_from_file(str(path), properties)
    queue.reaches(table, 1)
    assert queue.kusto.rows(table) == [[7]]
    (extent,) = queue.kusto.table(f".show table {table} extents")
    assert extent["MinCreatedOn"].date() == dt.date(2026, 1, 2)


def test_a_batch_waits_for_its_time_and_the_clock_can_be_turned(queue: Queue, csv) -> None:
    table = queue.table()
    for _ in range(2):
        queue.client.ingest_from_file(csv(3), queue.properties(table, flush_immediately=False))
    waiting = queue.emulator._service.queued.waiting
    wait_until(lambda: waiting() == 2, WAIT_S, "both blobs to wait in a batch")
    assert queue.count(table) == 0
    queue.emulator.clock.advance(dt.timedelta(minutes=5, seconds=1))
    queue.reaches(table, 6)
    assert len(set(operations(queue, table))) == 1, "one command for both"


def test_a_batch_is_sealed_by_the_number_of_its_blobs(queue: Queue, csv) -> None:
    table = queue.table(MaximumNumberOfItems=3)
    for _ in range(3):
        queue.client.ingest_from_file(csv(2), queue.properties(table, flush_immediately=False))
    queue.reaches(table, 6)
    assert len(set(operations(queue, table))) == 1


def test_a_batch_is_sealed_by_its_size(queue: Queue, csv) -> None:
    table = queue.table(MaximumRawDataSizeMB=100)
    for megabytes in (60, 39):
        queue.send(sized(queue, table, csv, megabytes))
    waiting = queue.emulator._service.queued.waiting
    wait_until(lambda: waiting() == 2, WAIT_S, "two blobs of 99 MB to wait")
    queue.send(sized(queue, table, csv, 1))
    queue.reaches(table, 3)
    assert len(operations(queue, table)) == 1


def test_tagged_blobs_go_one_by_one_and_the_second_of_a_tag_is_lost(queue: Queue, csv) -> None:
    table = queue.table()
    first = queue.client.ingest_from_file(csv(3), only_once(queue, table, "x"))
    queue.reported("success", first.source_id)
    second = queue.client.ingest_from_file(csv(4), only_once(queue, table, "x"))
    other = queue.client.ingest_from_file(csv(5), only_once(queue, table, "y"))
    queue.reported("success", second.source_id)
    queue.reported("success", other.source_id)
    assert queue.count(table) == 8
    tags = {row["Tags"] for row in queue.kusto.table(f".show table {table} extents")}
    assert tags == {"ingest-by:x", "ingest-by:y"}
    assert len(operations(queue, table)) == 3


def test_a_message_that_comes_twice_is_ingested_twice(queue: Queue, csv) -> None:
    table = queue.table()
    queue.emulator.faults.set({"on": "queued-blob", "do": "duplicate-message", "contains": table})
    queue.client.ingest_from_file(csv(3), queue.properties(table))
    queue.reaches(table, 6)
    assert queue.emulator.faults.fired() == 1


def test_a_tagged_message_that_comes_twice_is_ingested_once(queue: Queue, csv) -> None:
    table = queue.table()
    queue.emulator.faults.set({"on": "queued-blob", "do": "duplicate-message", "contains": table})
    queue.client.ingest_from_file(csv(3), only_once(queue, table, "x"))
    wait_until(lambda: len(operations(queue, table)) == 2, WAIT_S, "the second delivery")
    wait_until(
        lambda: sorted(states(queue, table)) == ["Completed", "Skipped"], WAIT_S, "both to end"
    )
    assert queue.count(table) == 3


@pytest.mark.parametrize(
    "content",
    [
        *("", "no json", "[1, 2]", "eyJ", '{"ReportLevel": "many"}', "~!", "{" * 5000),
        *(r'{"Id": "\ud800"}', r'{"AdditionalProperties": {"authorizationContext": ".\ud800"}}'),
    ],
)
def test_a_message_that_is_none_does_no_harm(queue: Queue, csv, content: str) -> None:
    table = queue.table()
    for encoded in (True, False):
        if content or encoded:
            queue.send(content, encoded=encoded)
    queue.client.ingest_from_file(csv(2), queue.properties(table))
    queue.reaches(table, 2)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"DatabaseName": ""}, "BadRequest_EmptyDatabaseName"),
        ({"DatabaseName": "Nope"}, "BadRequest_DatabaseNotExist"),
        ({"TableName": ""}, "BadRequest_InvalidOrEmptyTableName"),
        ({"TableName": "Nope"}, "BadRequest_TableNotExist"),
        ({"BlobPath": ""}, "BadRequest_EmptyBlobUri"),
        ({"BlobPath": "gopher://x/y"}, "BadRequest_InvalidBlobUri"),
        ({"AdditionalProperties": {"format": "csv"}}, "BadRequest_InvalidKustoIdentityToken"),
        (
            {"AdditionalProperties": {"authorizationContext": "forged.token"}},
            "BadRequest_InvalidKustoIdentityToken",
        ),
    ],
)
def test_what_a_message_gets_wrong_is_reported(queue: Queue, csv, changed, code) -> None:
    message = {**queue.message(queue.table(), csv(1)), **changed}
    queue.send(message)
    told = queue.reported("failure", message["Id"])
    assert (told["ErrorCode"], told["FailureStatus"], told["ShouldRetry"]) == (
        code,
        "Permanent",
        False,
    )


def test_a_bad_blob_fails_alone_and_the_others_of_its_batch_are_in(queue: Queue, csv) -> None:
    table = queue.table(MaximumNumberOfItems=2)
    good = queue.message(table, csv(3, "good.csv"), FlushImmediately=False)
    gone = queue.message(table, csv(3, "good.csv") + ".gone", FlushImmediately=False)
    queue.send(good)
    queue.send(gone)
    assert queue.reported("failure", gone["Id"])["ErrorCode"] == "Download_SourceNotFound"
    queue.reported("success", good["Id"])
    assert queue.count(table) == 3


def test_one_blob_twice_in_a_batch_is_used_once(queue: Queue, csv) -> None:
    table = queue.table(MaximumNumberOfItems=2)
    path = csv(3)
    twins = [queue.message(table, path, FlushImmediately=False) for _ in range(2)]
    for each in twins:
        queue.send(each)
    queue.reported("success", twins[0]["Id"])
    told = queue.reported("failure", twins[1]["Id"])
    assert told["ErrorCode"] == "BlobAlreadyReceived_BlobAlreadyFoundInBatch"
    assert queue.count(table) == 3


def test_a_transient_failure_is_tried_again_until_it_works(queue: Queue, csv) -> None:
    table = queue.table()
    queue.emulator.faults.set(
        {"on": "ingest", "do": "fail", "code": "Download_UnknownError", "times": 2}
    )
    result = queue.client.ingest_from_file(csv(3), queue.properties(table))
    turning = queue.emulator.clock

    def arrived() -> bool:
        turning.advance(30)
        return queue.count(table) == 3

    wait_until(arrived, WAIT_S, "the third attempt")
    assert queue.reported("success", result.source_id)["Table"] == table


def test_a_failure_that_stays_is_given_up_as_exhausted(queue: Queue, csv) -> None:
    table = queue.table()
    queue.emulator.faults.set({"on": "ingest", "do": "throttle", "times": None})
    message = queue.message(table, csv(3))
    queue.send(message)
    turning = queue.emulator.clock

    def fired() -> bool:
        turning.advance(60)
        return queue.emulator.faults.fired() == 4

    wait_until(fired, WAIT_S, "four attempts")
    told = queue.reported("failure", message["Id"])
    assert told["ErrorCode"] == "General_RetryAttemptsExceeded"
    assert (told["FailureStatus"], told["ShouldRetry"]) == ("Exhausted", True)


def test_the_status_table_says_how_it_ended(queue: Queue, csv) -> None:
    table = queue.table()
    address, _, sas = queue.resource("IngestionsStatusTable")[0].partition("?")
    account, _, name = address.rpartition("/")
    with TableClient(account, name, credential=AzureSasCredential(sas)) as statuses:
        for path, status, code in (
            (csv(2), "Succeeded", None),
            (csv(2) + ".gone", "Failed", "Download_SourceNotFound"),
        ):
            message = queue.message(table, path, ReportMethod=1)
            key = message["Id"]
            statuses.create_entity({"PartitionKey": key, "RowKey": key, "Status": "Pending"})
            message["IngestionStatusInTable"] = {"PartitionKey": key, "RowKey": key}
            queue.send(message)

            def ended(key: str = key) -> dict | None:
                found = statuses.get_entity(key, key)
                return found if found["Status"] != "Pending" else None

            found = wait_until(ended, WAIT_S, "the status to change")
            assert (found["Status"], found.get("ErrorCode")) == (status, code)
            assert found["Table"] == table


def test_a_blob_is_deleted_unless_it_is_to_be_retained(queue: Queue) -> None:
    table = queue.table()
    kept, gone = upload(queue, "kept.csv", "1\n"), upload(queue, "gone.csv", "2\n")
    queue.send(queue.message(table, kept))
    queue.send(queue.message(table, gone, RetainBlobOnSuccess=False))
    queue.reaches(table, 2)
    with BlobClient.from_blob_url(gone) as client:
        wait_until(lambda: not client.exists(), WAIT_S, "the blob to be deleted")
    with BlobClient.from_blob_url(kept) as client:
        assert client.exists()


def test_nothing_is_reported_that_nobody_asked_for(queue: Queue, csv) -> None:
    table = queue.table()
    silent = queue.message(table, csv(1), ReportLevel=1)
    only_failures = queue.message(table, csv(2, "b.csv"), ReportLevel=0)
    last = queue.message(table, csv(3, "c.csv"))
    for message in (silent, only_failures, last):
        queue.send(message)
        queue.reaches(table, {silent["Id"]: 1, only_failures["Id"]: 3}.get(message["Id"], 6))
    queue.reported("success", last["Id"])
    assert silent["Id"] not in queue.told
    assert only_failures["Id"] not in queue.told


def test_a_client_that_is_throttled_waits_and_goes_on(queue: Queue, csv) -> None:
    queue.emulator.faults.set({"on": "ingestion-resources", "do": "throttle", "times": None})
    with pytest.raises(KustoThrottlingError):
        queue.kusto.rows(".get ingestion resources")
    queue.emulator.faults.clear()
    assert len(queue.resource("TempStorage")) == 2


def test_storage_that_hangs_delays_a_report_and_loses_none(queue: Queue, csv) -> None:
    table = queue.table()
    azurite = queue.emulator._azurite
    queue.emulator.faults.set({"on": "ingest", "do": "delay-commit", "seconds": 60})
    message = queue.message(table, csv(3))
    queue.send(message)
    queue.emulator.faults.wait_fired(1)
    azurite.pause()
    queue.emulator.faults.clear()
    queue.reaches(table, 3)
    azurite.resume()
    assert queue.reported("success", message["Id"])["Table"] == table


@pytest.mark.slow
def test_what_was_queued_is_ingested_after_a_kill(tmp_path, csv) -> None:
    with EmulatorProcess(tmp_path / "kusto", azurite=True) as process:
        queue = Queue(process)
        table = queue.table()
        for i in range(5):
            properties = only_once(queue, table, f"x{i}")
            queue.client.ingest_from_file(csv(10), properties)
        queue.close()
        process.restart()
        queue = Queue(process)
        queue.reaches(table, 50)
        queue.close()


def test_without_azurite_the_command_says_how_to_get_queues(kusto) -> None:
    with pytest.raises(KustoApiError, match="--azurite"):
        kusto.rows(".get ingestion resources")


def test_a_client_without_queues_fails_and_does_not_hang(queue: Queue, csv, monkeypatch) -> None:
    monkeypatch.setattr(queue.client, "_SERVICE_CLIENT_TIMEOUT_SECONDS", 1)
    manager = queue.client._resource_manager
    manager.get_ingestion_queues()
    resources = manager._ingest_client_resources.secured_ready_for_aggregation_queues
    for each in resources:
        monkeypatch.setattr(each, "object_name", f"{each.object_name}-gone")
    with pytest.raises(KustoQueueError):
        queue.client.ingest_from_blob(BlobDescriptor(csv(1)), queue.properties(queue.table()))


@pytest.mark.parametrize("key", ["p" * 3000, "a/b#?"])
def test_a_report_that_storage_refuses_is_in_nobody_s_way(queue: Queue, csv, key: str) -> None:
    table = queue.table()
    place = {"PartitionKey": key, "RowKey": "x\ty"}
    refused = queue.message(table, csv(1), ReportMethod=1, IngestionStatusInTable=place)
    queue.send(refused)
    queue.reaches(table, 1)
    result = queue.client.ingest_from_file(csv(2, "b.csv"), queue.properties(table))
    assert queue.reported("success", result.source_id)["Table"] == table


def test_a_long_failure_is_reported_in_short(queue: Queue, csv) -> None:
    message = {**queue.message(queue.table(), csv(1)), "TableName": "T" * 20_000}
    queue.send(message)
    told = queue.reported("failure", message["Id"])
    assert told["ErrorCode"] == "BadRequest_TableNotExist"
    assert len(told["Details"]) < 5000


def only_once(queue: Queue, table: str, tag: str):
    return queue.properties(table, ingest_by_tags=[tag], ingest_if_not_exists=[tag])


def sized(queue: Queue, table: str, csv, megabytes: int) -> dict:
    path = csv(1, f"{megabytes}.csv")
    size = megabytes * 1024 * 1024
    return queue.message(table, path, RawDataSize=size, FlushImmediately=False)


def operations(queue: Queue, table: str) -> list[str]:
    """Ids of the ingest commands for a table, the oldest first."""
    rows = queue.kusto.table(f".show commands | where Text contains \"'{table}'\"")
    return [row["RootActivityId"] for row in rows if row["CommandType"] == "DataIngestPull"]


def states(queue: Queue, table: str) -> list[str]:
    rows = queue.kusto.table(f".show commands | where Text contains \"'{table}'\"")
    return [row["State"] for row in rows if row["CommandType"] == "DataIngestPull"]


def upload(queue: Queue, name: str, content: str) -> str:
    """The address of a new blob, with access."""
    root = queue.resource("TempStorage")[0]
    with ContainerClient.from_container_url(root) as container:
        container.upload_blob(f"{uuid.uuid4()}-{name}", content).close()
        address, _, sas = root.partition("?")
        newest = [b for b in container.list_blob_names() if b.endswith(name)][-1]
    return f"{address}/{newest}?{sas}"
