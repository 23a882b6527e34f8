"""Queued ingestion by REST, with its tracking: from local files, no Azurite needed."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable

import pytest
import requests
from azure.kusto.data import KustoClient, KustoConnectionStringBuilder
from azure.storage.blob import ContainerClient

from exactly_once_kusto.emulator import KustoEmulator
from exactly_once_kusto.emulator.errors import KustoError
from exactly_once_kusto.emulator.identity import IdentityTokens
from exactly_once_kusto.emulator.principals import Principal
from exactly_once_kusto.emulator.process import EmulatorProcess
from exactly_once_kusto.emulator.queue_messages import Blob

from .conftest import WAIT_S, Kusto
from .queue_fixtures import Queue, wait_until

REPLY_S = 20


class Rest:
    """The three endpoints, as a client calls them."""

    def __init__(self, cluster: str) -> None:
        self.root = f"{cluster}/v1/rest/ingestion"

    def post(self, body: object, table: str = "N") -> requests.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        url = f"{self.root}/queued/Demo/{table}"
        return requests.post(url, text, headers={"Content-Type": "application/json"}, timeout=20)

    def queue(self, *urls: str, table: str = "N", **properties: object) -> str:
        given = {"format": "csv", "enableTracking": True, "skipBatching": True, **properties}
        blobs = [{"url": url, "sourceId": str(uuid.uuid4()), "rawSize": 9} for url in urls]
        reply = self.post({"blobs": blobs, "properties": given}, table)
        assert reply.status_code == 200, reply.text
        return reply.json()["ingestionOperationId"]

    def status(self, operation: str, details: bool = True, table: str = "N") -> requests.Response:
        url = f"{self.root}/queued/Demo/{table}/{operation}"
        parameters = {"details": "true"} if details else {}
        return requests.get(url, parameters, timeout=REPLY_S)

    def ended(self, operation: str) -> dict:
        def look() -> dict | None:
            told = self.status(operation).json()
            return told if told["status"]["InProgress"] == 0 else None

        return wait_until(look, WAIT_S, f"the end of {operation}")


@pytest.fixture
def rest(kusto, kusto_emulator) -> Rest:
    kusto.rows(".create table N (n:long)")
    return Rest(kusto_emulator.cluster)


def test_a_request_is_followed_blob_by_blob_to_its_end(kusto, rest, csv: Callable) -> None:
    good, gone = csv(3), csv(1, "other.csv") + ".gone"
    told = rest.ended(rest.queue(good, gone))
    assert told["status"] == {"Succeeded": 1, "Failed": 1, "InProgress": 0, "Canceled": 0}
    first, second = told["details"]
    assert (first["url"], first["status"]) == (good, "Succeeded")
    assert "errorCode" not in first
    assert (second["status"], second["errorCode"], second["failureStatus"]) == (
        "Failed",
        "Download_SourceNotFound",
        "Permanent",
    )
    for key in ("startTime", "lastUpdated"):
        assert dt.datetime.fromisoformat(told[key][:26] + "Z").tzinfo is not None
        assert first[key] >= told["startTime"]
    assert kusto.one("N | count") == 3


def test_without_details_there_are_only_counts(rest, csv: Callable) -> None:
    operation = rest.queue(csv(3))
    rest.ended(operation)
    assert set(rest.status(operation, details=False).json()) == {
        "startTime",
        "lastUpdated",
        "status",
    }


def test_without_tracking_the_id_is_empty_and_the_rows_come(kusto, rest, csv: Callable) -> None:
    assert rest.queue(csv(3), enableTracking=False) == ""
    wait_until(lambda: kusto.one("N | count") == 3, WAIT_S, "the rows")


def test_tags_are_of_the_request_so_a_second_blob_of_it_is_lost(kusto, rest, csv) -> None:
    operation = rest.queue(
        csv(3), csv(4, "b.csv"), tags=["ingest-by:x"], ingestIfNotExists=["x"], skipBatching=False
    )
    told = rest.ended(operation)
    assert told["status"]["Succeeded"] == 2, "skipped counts as succeeded here"
    assert kusto.one("N | count") in (3, 4)


def test_a_request_waits_for_its_batch_and_can_be_canceled(kusto, rest, csv: Callable) -> None:
    operation = rest.queue(csv(3), skipBatching=False)
    assert rest.status(operation).json()["status"]["InProgress"] == 1
    (shown,) = kusto.table(f'.show queued ingestion operations "{operation}"')
    assert (shown["State"], shown["Discovered"], shown["Pending"]) == ("InProgress", 1, 1)
    (canceled,) = kusto.table(f".cancel queued ingestion operation '{operation}'")
    assert (canceled["State"], canceled["Canceled"]) == ("Canceled", 1)
    assert rest.ended(operation)["details"][0]["status"] == "Canceled"


def test_a_canceled_blob_does_not_come_with_its_batch(kusto, kusto_emulator, rest, csv) -> None:
    operation = rest.queue(csv(3), skipBatching=False)
    kusto.rows(f".cancel queued ingestion operation '{operation}'")
    other = rest.queue(csv(4, "b.csv"), skipBatching=False)
    waiting = kusto_emulator._service.queued.waiting
    wait_until(lambda: waiting() == 1, WAIT_S, "the other blob alone to wait")
    kusto_emulator.clock.advance(301)
    rest.ended(other)
    assert kusto.one("N | count") == 4


def test_details_are_shown_by_command_too(kusto, rest, csv: Callable) -> None:
    operation = rest.queue(csv(3), csv(1, "b.csv") + ".gone")
    rest.ended(operation)
    rows = kusto.table(f'.show queued ingestion operations "{operation}" details')
    assert [row["IngestionStatus"] for row in rows] == ["Succeeded", "Failed"]
    (shown,) = kusto.table(f'.show queued ingestion operations ("{operation}", "none")')
    assert (shown["State"], shown["Ingested"], shown["Failed"]) == ("Failed", 1, 1)


def test_an_unknown_operation_is_not_found(rest) -> None:
    reply = rest.status("00000001;00000001;none")
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "BadRequest_EntityNotFound"


BLOB = {"url": "/x.csv"}
CSV = {"format": "csv"}


@pytest.mark.parametrize(
    "body",
    [
        "no json",
        "[]",
        "{}",
        '{"blobs": [], "properties": {"format": "csv"}}',
        {"blobs": [BLOB]},
        {"blobs": [BLOB], "properties": {}},
        {"blobs": [BLOB] * 21, "properties": CSV},
        {"blobs": [{}], "properties": CSV},
        {"blobs": ["/x.csv"], "properties": CSV},
        {"blobs": [{"url": "/x", "sourceId": "no guid"}], "properties": CSV},
        {"blobs": [{"url": "/x", "rawSize": "big"}], "properties": CSV},
        {"blobs": [{"url": "x" * 9000}], "properties": CSV},
        "[" * 100_000,
    ],
)
def test_a_request_that_is_none_is_refused_for_good(rest, body) -> None:
    reply = rest.post(body)
    error = reply.json()["error"]
    assert (reply.status_code, error["@permanent"]) == (400, True), error


def test_a_table_that_is_not_there_is_refused(rest) -> None:
    reply = rest.post({"blobs": [BLOB], "properties": CSV}, "Nope")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "BadRequest_EntityNotFound")


@pytest.mark.parametrize(
    "url", ["/nu\0l.csv", "file:///nu%00l.csv", "http://[::1/x.csv?sas", "http://127.0.0.1:1/a b"]
)
def test_an_address_that_is_none_is_refused_for_good(rest, url: str) -> None:
    (blob,) = rest.ended(rest.queue(url))["details"]
    assert (blob["errorCode"], blob["failureStatus"]) == ("BadRequest_InvalidBlobUri", "Permanent")


def test_what_the_emulator_can_t_read_is_shown_without_its_secret(kusto, rest) -> None:
    operation = rest.queue("abfss://fs@a.dfs.core.windows.net/x.csv;SECRET")
    (blob,) = rest.ended(operation)["details"]
    assert blob["errorCode"] == "BadRequest_InvalidBlobUri"
    failures = kusto.rows(".show ingestion failures")
    assert len(failures) == 1
    assert "SECRET" not in str([blob, failures])
    assert "a.dfs.core.windows.net/x.csv" in blob["url"]


def test_a_wrong_property_fails_the_blob(rest, csv: Callable) -> None:
    told = rest.ended(rest.queue(csv(3), ingestionMappingReference="nope"))
    assert told["details"][0]["errorCode"] == "BadRequest_MappingReferenceWasNotFound"


def test_a_dropped_reply_leaves_a_request_of_which_the_client_knows_no_id(
    kusto, kusto_emulator, rest, csv: Callable
) -> None:
    kusto_emulator.faults.set({"on": "queued", "do": "drop-reply"})
    with pytest.raises(requests.ConnectionError):
        rest.queue(csv(3))
    wait_until(lambda: kusto.one("N | count") == 3, WAIT_S, "the rows")


def test_throttling_is_told_with_its_body(kusto_emulator, rest) -> None:
    kusto_emulator.faults.set({"on": "queued", "do": "throttle"})
    reply = rest.post({"blobs": [BLOB], "properties": CSV})
    assert (reply.status_code, reply.json()["error"]["@permanent"]) == (429, False)


def test_a_transient_failure_ends_exhausted(kusto, kusto_emulator, rest, csv: Callable) -> None:
    kusto_emulator.faults.set(
        {"on": "ingest", "do": "fail", "code": "Download_UnknownError", "times": None}
    )
    operation = rest.queue(csv(3))

    def given_up() -> dict | None:
        kusto_emulator.clock.advance(60)
        (told,) = rest.status(operation).json()["details"]
        return told if told["status"] == "Failed" else None

    told = wait_until(given_up, WAIT_S, "the last attempt")
    assert (told["failureStatus"], told["errorCode"]) == (
        "Exhausted",
        "General_RetryAttemptsExceeded",
    )
    assert kusto.one("N | count") == 0


def test_what_was_acknowledged_is_ingested_after_a_kill(process: EmulatorProcess, csv) -> None:
    kusto, rest = Kusto(process.cluster), Rest(process.cluster)
    kusto.rows(".create table N (n:long)")
    tagged = [
        rest.queue(csv(5, f"{i}.csv"), tags=[f"ingest-by:{i}"], ingestIfNotExists=[str(i)])
        for i in range(10)
    ]
    kusto.client.close()
    process.restart()
    kusto = Kusto(process.cluster)
    for operation in tagged:
        assert rest.ended(operation)["status"]["Succeeded"] == 1
    assert kusto.one("N | count") == 50
    kusto.client.close()


def test_a_stopped_emulator_takes_its_batches_up_again(process: EmulatorProcess, csv) -> None:
    kusto, rest = Kusto(process.cluster), Rest(process.cluster)
    kusto.rows(".create table N (n:long)")
    operation = rest.queue(csv(5), skipBatching=False)
    kusto.client.close()
    assert process.stop() == 0
    process.start()
    assert rest.status(operation).json()["status"]["InProgress"] == 1
    process.clock.advance(301)
    assert rest.ended(operation)["status"]["Succeeded"] == 1


def test_the_configuration_gives_containers_that_can_be_written(queue: Queue) -> None:
    rest = Rest(queue.emulator.cluster)
    told = requests.get(f"{rest.root}/configuration", timeout=REPLY_S).json()
    settings = told["ingestionSettings"]
    assert (settings["maxBlobsPerBatch"], settings["maxDataSize"]) == (20, 6442450944)
    table = queue.table()
    path = told["containerSettings"]["containers"][0]["path"]
    with ContainerClient.from_container_url(path) as container:
        container.upload_blob("rest.csv", b"1\n2\n").close()
    address, _, sas = path.partition("?")
    operation = rest.queue(f"{address}/rest.csv?{sas}", table=table)
    queue.reaches(table, 2)
    shown = rest.status(operation, table=table).json()["details"][0]
    assert shown["url"] == f"{address}/rest.csv", "what is shown has no access in it"


def test_without_azurite_the_configuration_has_no_containers(rest) -> None:
    told = requests.get(f"{rest.root}/configuration", timeout=REPLY_S).json()
    assert told["containerSettings"]["containers"] == []
    assert told["containerSettings"]["refreshInterval"] == "01:00:00"
    # Microsoft's connectors compare this word as the page spells it.
    assert told["ingestionSettings"]["preferredIngestionMethod"] == "REST"


ADMIN, OTHER = "aadapp=admin;t", "aadapp=other;t"
PRINCIPALS = {"admin-token": {"principal": ADMIN, "roles": ["AllDatabasesAdmin"]}, "o-token": OTHER}


def test_who_may_not_ingest_into_a_table_can_t_queue_for_it(tmp_path, csv: Callable) -> None:
    with KustoEmulator(tmp_path / "kusto", databases=["Demo"], principals=PRINCIPALS) as emulator:
        admin = builder(emulator.cluster, "admin-token")
        admin.execute("Demo", ".create table N (n:long)")
        body = {"blobs": [{"url": csv(3)}], "properties": CSV}
        url = f"{emulator.cluster}/v1/rest/ingestion/queued/Demo/N"
        headers = {"Authorization": "Bearer o-token"}
        reply = requests.post(url, json=body, headers=headers, timeout=REPLY_S)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "Forbidden")
        admin.execute("Demo", f".add table N ingestors ('{OTHER}')")
        reply = requests.post(url, json=body, headers=headers, timeout=REPLY_S)
        assert reply.status_code == 200, reply.text
        admin.close()


def test_a_queued_blob_is_judged_by_its_identity_token(tmp_path, csv: Callable) -> None:
    with KustoEmulator(tmp_path / "kusto", databases=["Demo"], principals=PRINCIPALS) as emulator:
        admin = builder(emulator.cluster, "admin-token")
        admin.execute("Demo", ".create table N (n:long)")
        admin.execute("Demo", ".create table M (n:long)")
        admin.execute("Demo", f".add table M ingestors ('{OTHER}')")
        tokens = {}
        for bearer in PRINCIPALS:
            other = builder(emulator.cluster, bearer)
            (row,) = other.execute("NetDefaultDB", ".get kusto identity token").primary_results[0]
            tokens[bearer] = row["AuthorizationContext"]
            other.close()
        queued = emulator._service.queued
        for bearer, code in (("o-token", "BadRequest_TableAccessDenied"), ("admin-token", "")):
            blob = Blob(
                bearer,
                csv(3),
                "Demo",
                "N",
                {"format": "csv"},
                9,
                True,
                operation=bearer,
                token=tokens[bearer],
            )
            queued.accept([blob], "")
            ended = lambda bearer=bearer: queued.store.tracked(bearer)[0].state != "InProgress"  # noqa: E731
            wait_until(ended, WAIT_S, "the end")
            assert queued.store.tracked(bearer)[0].code == code
        admin.close()


def test_a_token_of_another_emulator_is_refused(tmp_path) -> None:
    one, other = (tmp_path / name for name in ("one", "other"))
    for each in (one, other):
        each.mkdir()
    token = IdentityTokens(one).issue(Principal(OTHER))
    assert IdentityTokens(one).read(token) == Principal(OTHER)
    for given in (token[:-1], f"x{token}", "", ".", "a.b"):
        with pytest.raises(KustoError, match="identity token"):
            IdentityTokens(one).read(given)
    with pytest.raises(KustoError, match="identity token"):
        IdentityTokens(other).read(token)


def builder(cluster: str, token: str) -> KustoClient:
    build = KustoConnectionStringBuilder.with_aad_user_token_authentication
    client = KustoClient(build(cluster, token))
    client._endpoint_validated = True  # the SDK knows no loopback address
    return client
