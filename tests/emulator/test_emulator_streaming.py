"""Streaming ingestion by Microsoft's clients: one request, in the table when it is answered."""

from __future__ import annotations

import gzip
import io
import json
import uuid
import zlib

import pytest
import requests
from azure.kusto.data import KustoConnectionStringBuilder
from azure.kusto.data.data_format import DataFormat
from azure.kusto.data.exceptions import KustoApiError
from azure.kusto.ingest import (
    IngestionProperties,
    KustoStreamingIngestClient,
    ManagedStreamingIngestClient,
)
from azure.kusto.ingest.base_ingest_client import IngestionStatus

from exactly_once_kusto.emulator.errors import KustoError
from exactly_once_kusto.emulator.streaming import BYTES_MAX, inflated

from .queue_fixtures import Queue

REPLY_S = 20


@pytest.fixture
def table(kusto) -> str:
    kusto.rows(".create table S (n:long)")
    kusto.rows(".alter table S policy streamingingestion enable")
    return "S"


@pytest.fixture
def client(kusto_emulator):
    with KustoStreamingIngestClient(KustoConnectionStringBuilder(kusto_emulator.cluster)) as client:
        yield client


def properties(table: str, **more) -> IngestionProperties:
    return IngestionProperties(database="Demo", table=table, **more)


def post(cluster: str, path: str, body: bytes, **headers: str) -> requests.Response:
    return requests.post(f"{cluster}/v1/rest/ingest/{path}", body, headers=headers, timeout=REPLY_S)


def test_what_is_streamed_is_there_when_it_is_answered(kusto, table, client) -> None:
    client.ingest_from_stream(io.BytesIO(b"1\n2\n3\n"), properties(table))
    assert kusto.one("S | summarize sum(n)") == 6
    (extent,) = kusto.table(".show table S extents")
    assert (extent["RowCount"], extent["Tags"]) == (3, "")


def test_the_reply_tells_the_records(kusto_emulator, table) -> None:
    reply = post(kusto_emulator.cluster, "Demo/S?streamFormat=Csv", b"1\n2\n")
    assert reply.status_code == 200
    shown = reply.json()["Tables"][0]
    assert next(column["ColumnName"] for column in shown["Columns"]) == "ConsumedRecordsCount"
    assert shown["Rows"] == [[2, "Inactive", "Unknown", ""]]
    assert uuid.UUID(reply.headers["x-ms-activity-id"])


def test_json_is_streamed_with_a_mapping_made_before(kusto, table, client) -> None:
    mapping = '[{"column":"n","Properties":{"Path":"$.value"}}]'
    kusto.rows(f".create table S ingestion json mapping 'm' '{mapping}'")
    given = properties(table, data_format=DataFormat.JSON, ingestion_mapping_reference="m")
    client.ingest_from_stream(io.BytesIO(b'{"value": 5}\n{"value": 6}\n'), given)
    assert kusto.one("S | summarize sum(n)") == 11


def test_a_blob_is_streamed_by_its_address(kusto, kusto_emulator, table, tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("4\n")
    body = json.dumps({"sourceUri": path.as_uri()}).encode()
    reply = post(kusto_emulator.cluster, "Demo/S?streamFormat=csv&sourceKind=uri", body)
    assert reply.status_code == 200, reply.text
    assert kusto.rows("S") == [[4]]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("Demo/S", b"1\n", 400, "General_BadRequest"),
        ("Demo/S?streamFormat=xls", b"1\n", 400, "BadRequest_FormatNotSupported"),
        ("Demo/S?streamFormat=json", b"{}", 400, "BadRequest_MissingMappingtFailure"),
        (
            "Demo/S?streamFormat=json&mappingName=nope",
            b"{}",
            400,
            "BadRequest_MappingReferenceWasNotFound",
        ),
        ("Demo/Nope?streamFormat=csv", b"1\n", 400, "BadRequest_EntityNotFound"),
        ("Nope/S?streamFormat=csv", b"1\n", 400, "BadRequest_EntityNotFound"),
        ("Demo/S?streamFormat=csv", b"", 400, "BadRequest_EmptyBlob"),
        ("Demo/S?streamFormat=csv", b'"1', 400, "Stream_ClosingQuoteMissing"),
        ("Demo/S?streamFormat=csv&sourceKind=uri", b"no json", 400, "General_BadRequest"),
        ("Demo/S?streamFormat=csv&sourceKind=uri", b"[]", 400, "General_BadRequest"),
        ("Demo/S?streamFormat=csv", b"1\n" * BYTES_MAX, 413, "Payload too large"),
        ("Demo/S?streamFormat=csv", b"1\n" * (BYTES_MAX * 5), 413, "Payload too large"),
    ],
)
def test_what_can_t_be_streamed_is_refused(kusto_emulator, table, path, body, status, code) -> None:
    reply = post(kusto_emulator.cluster, path, body)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["@permanent"]) == (status, code, True)
    assert "scratch" not in error["@message"], "it shows a path of the emulator's own"


def test_a_table_without_the_policy_is_refused_for_good(kusto, table, client) -> None:
    kusto.rows(".alter table S policy streamingingestion disable")
    with pytest.raises(KustoApiError) as caught:
        client.ingest_from_stream(io.BytesIO(b"1\n"), properties(table))
    error = caught.value.get_api_error()
    assert error.code == "BadRequest_StreamingIngestionPolicyNotEnabled"
    assert error.permanent is True


def test_the_database_s_policy_counts_where_the_table_has_none(kusto, client) -> None:
    kusto.rows(".create table S (n:long)")
    kusto.rows(".alter database Demo policy streamingingestion '{\"IsEnabled\": true}'")
    client.ingest_from_stream(io.BytesIO(b"1\n"), properties("S"))
    assert kusto.one("S | count") == 1


def test_a_small_body_that_unpacks_to_much_is_refused(kusto_emulator, table) -> None:
    bomb = gzip.compress(b"1\n" * (BYTES_MAX * 10))
    headers = {"Content-Encoding": "gzip"}
    reply = post(kusto_emulator.cluster, "Demo/S?streamFormat=csv", bomb, **headers)
    assert reply.status_code == 413


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"1\n")[:-4], b""])
def test_what_is_no_gzip_is_told(body: bytes) -> None:
    with pytest.raises(KustoError) as caught:
        inflated(body, "gzip")
    assert caught.value.code == "BadRequest_InvalidArchive"


def test_gzip_of_several_files_is_read_to_its_end() -> None:
    one, other = gzip.compress(b"1\n"), gzip.compress(b"2\n")
    assert inflated(one + other, "gzip") == b"1\n2\n"
    assert len(inflated(gzip.compress(bytes(BYTES_MAX)) + one, "gzip")) > BYTES_MAX
    assert inflated(one + bytes(5), "gzip") == b"1\n", "padding"
    for end in (b"x", other[:-1]):
        with pytest.raises(KustoError, match="is no gzip"):
            inflated(one + end, "gzip")


def test_deflate_is_read_too() -> None:
    assert inflated(zlib.compress(b"1\n"), "deflate") == b"1\n"
    with pytest.raises(KustoError, match="is no deflate"):
        inflated(zlib.compress(b"1\n")[:-1], "deflate")


def test_an_unknown_encoding_is_told() -> None:
    with pytest.raises(KustoError, match="isn't gzip"):
        inflated(b"x", "br")


@pytest.fixture
def managed(queue: Queue):
    streaming = KustoConnectionStringBuilder(queue.emulator.cluster)
    with ManagedStreamingIngestClient(streaming) as client:
        client._set_retry_settings(0)
        yield client


def test_a_managed_client_streams_what_is_small(queue: Queue, managed) -> None:
    table = queue.table()
    queue.kusto.rows(f".alter table {table} policy streamingingestion enable")
    result = managed.ingest_from_stream(io.BytesIO(b"1\n2\n"), queue.properties(table))
    assert result.status is IngestionStatus.SUCCESS
    assert queue.count(table) == 2


def test_a_managed_client_queues_when_streaming_is_throttled(queue: Queue, managed) -> None:
    table = queue.table()
    queue.kusto.rows(f".alter table {table} policy streamingingestion enable")
    queue.emulator.faults.set({"on": "streaming", "do": "throttle", "times": None})
    result = managed.ingest_from_stream(io.BytesIO(b"1\n2\n"), queue.properties(table))
    assert result.status is IngestionStatus.QUEUED
    queue.reaches(table, 2)
    assert queue.emulator.faults.fired() == 3


def test_a_managed_client_whose_reply_is_lost_has_its_rows_twice(queue: Queue, managed) -> None:
    table = queue.table()
    queue.kusto.rows(f".alter table {table} policy streamingingestion enable")
    queue.emulator.faults.set({"on": "streaming", "do": "fail-reply", "permanent": False})
    managed.ingest_from_stream(io.BytesIO(b"1\n2\n"), queue.properties(table))
    queue.reaches(table, 4)
