"""Errors have the service's shape, and ids lead from an answer to the records about it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import uuid

import pytest
import requests
from azure.kusto.data import ClientRequestProperties
from azure.kusto.data.exceptions import KustoApiError, KustoThrottlingError
from starlette.requests import Request as HttpRequest

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.emulator.errors import KustoError
from exactly_once_kusto.emulator.request_body import read
from exactly_once_kusto.emulator.server import _timeout_s

REPLY_S = 20


def post(cluster: str, text: str, **headers: str) -> requests.Response:
    end = "mgmt" if text.startswith(".") else "query"
    version = "v1" if end == "mgmt" else "v2"
    return requests.post(
        f"{cluster}/{version}/rest/{end}",
        json={"db": "Demo", "csl": text},
        headers=headers,
        timeout=REPLY_S,
    )


def test_an_error_has_the_documented_shape(kusto_emulator) -> None:
    request = "MyApp;" + str(uuid.uuid4())
    headers = {"x-ms-client-request-id": request}
    reply = post(kusto_emulator.cluster, "Nope | count", **headers)
    error = reply.json()["error"]
    assert reply.status_code == 400
    assert error["code"] == "General_BadRequest"
    assert error["@type"] == "Kusto.Data.Exceptions.KustoBadRequestException"
    assert error["@permanent"] is True
    assert error["@database"] == "Demo"
    inner = error["innererror"]
    assert inner["code"] == inner["@errorCode"]
    assert inner["@type"] == "Kusto.Data.Exceptions.SemanticException"
    assert inner["@permanent"] is True
    for context in (error["@context"], inner["@context"]):
        assert context["clientRequestId"] == request == reply.headers["x-ms-client-request-id"]
        assert context["activityId"] == reply.headers["x-ms-activity-id"]
        assert context["timestamp"].endswith("Z")
        assert request in context["activityStack"]


def test_a_syntax_error_is_told_from_a_semantic_one(kusto_emulator) -> None:
    inner = post(kusto_emulator.cluster, "print (").json()["error"]["innererror"]
    assert inner["@type"] == "Kusto.Data.Exceptions.SyntaxException"


@pytest.mark.parametrize(
    ("kind", "text", "exception"),
    [
        ("query", "print 1", "QueryThrottledException"),
        ("tables", ".show tables", "ControlCommandThrottledException"),
    ],
)
def test_throttling_is_429_with_its_body(kusto_emulator, kind, text, exception) -> None:
    kusto_emulator.faults.set({"on": kind, "do": "throttle"})
    reply = post(kusto_emulator.cluster, text)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (429, "Too many requests")
    assert error["message"] == "Request is denied due to throttling."
    assert error["@type"] == f"Kusto.DataNode.Exceptions.{exception}"
    assert error["@permanent"] is False
    assert "Retrying after some backoff might succeed" in error["@message"]


def test_microsoft_s_client_knows_throttling(kusto, kusto_emulator) -> None:
    kusto_emulator.faults.set({"on": "tables", "do": "throttle"})
    with pytest.raises(KustoThrottlingError):
        kusto.rows(".show tables")


def test_every_answer_has_an_activity_of_its_own(kusto_emulator) -> None:
    seen = set()
    for text in ("print 1", "print 1", "Nope", ".show tables"):
        reply = post(kusto_emulator.cluster, text, **{"x-ms-client-request-id": "same"})
        assert reply.headers["x-ms-client-request-id"] == "same"
        seen.add(uuid.UUID(reply.headers["x-ms-activity-id"]))
    assert len(seen) == 4


def test_a_request_without_an_id_is_given_one(kusto_emulator) -> None:
    replies = [post(kusto_emulator.cluster, "print 1") for _ in range(2)]
    assert len({reply.headers["x-ms-client-request-id"] for reply in replies}) == 2


def test_the_activity_of_a_command_is_in_the_records_about_it(
    kusto, kusto_emulator, numbers
) -> None:
    kusto.rows(".create table T (n:long)")
    command = f".ingest async into table T ('{numbers(5)}') with (format='parquet')"
    reply = post(kusto_emulator.cluster, command, **{"x-ms-client-request-id": "MyApp;1"})
    activity = reply.headers["x-ms-activity-id"]
    operation = reply.json()["Tables"][0]["Rows"][0][0]
    kusto.ended(operation)
    (shown,) = kusto.table(f".show operations {operation}")
    assert str(shown["RootActivityId"]) == activity
    assert "MyApp" not in str(shown.to_dict()), "the client's id is in '.show commands' alone"
    (found,) = kusto.table(".show commands | where ClientActivityId == 'MyApp;1'")
    assert str(found["RootActivityId"]) == activity


def test_a_failed_ingestion_shows_the_activity_too(kusto, kusto_emulator) -> None:
    kusto.rows(".create table T (n:long)")
    reply = post(kusto_emulator.cluster, ".ingest into table T ('/nowhere.csv')")
    assert reply.status_code == 400
    (failure,) = kusto.table(".show ingestion failures")
    assert str(failure["RootActivityId"]) == reply.headers["x-ms-activity-id"]


def test_a_failure_of_the_emulator_itself_is_transient(kusto, kusto_emulator, monkeypatch) -> None:
    monkeypatch.setattr(
        kusto_emulator._service, "query", lambda *_: (_ for _ in ()).throw(ZeroDivisionError("x"))
    )
    with pytest.raises(KustoApiError) as caught:
        kusto.client.execute("Demo", "print 1", ClientRequestProperties())
    assert caught.value.http_response.status_code == 520
    error = caught.value.get_api_error()
    assert (error.code, error.permanent) == ("General_InternalServerError", False)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/rest/ingestion/queued/Demo/T", 405), ("POST", "/v3/rest/query", 404)],
)
def test_what_is_no_endpoint_is_told(kusto_emulator, method, path, status) -> None:
    reply = requests.request(method, kusto_emulator.cluster + path, timeout=REPLY_S)
    assert reply.status_code == status


@pytest.mark.parametrize(
    ("method", "path", "megabytes"),
    [
        ("POST", "/v2/rest/query", 64),
        ("POST", "/v1/rest/ingest/Demo/T", 16),
        ("PUT", "/emulator/faults", 16),
        ("PUT", "/emulator/clock", 16),
    ],
)
def test_a_body_that_is_too_large_is_told(kusto_emulator, method, path, megabytes) -> None:
    body = b" " * ((megabytes << 20) + 1)
    reply = requests.request(method, kusto_emulator.cluster + path, data=body, timeout=REPLY_S)
    assert (reply.status_code, "has more than" in reply.text) == (413, True)


def test_a_body_without_end_is_read_no_further_than_its_limit() -> None:
    pieces = itertools.count(1)

    async def receive() -> dict:
        return {"type": "http.request", "body": bytes(10), "more_body": next(pieces) < 1000}

    endless = HttpRequest({"type": "http"}, receive)
    with pytest.raises(KustoError, match="more than 100 bytes"):
        asyncio.run(read(endless, 100))
    assert next(pieces) == 12


@pytest.mark.parametrize("option", ["request_readonly", "request_readonly_hardline"])
def test_a_read_only_request_changes_nothing(kusto, option: str) -> None:
    kusto.rows(".create table T (n:long)")
    properties = ClientRequestProperties()
    properties.set_option(option, True)
    with pytest.raises(KustoApiError) as caught:
        kusto.client.execute("Demo", ".drop table T", properties)
    assert caught.value.get_api_error().permanent is True
    for text in (".show tables", "T | count"):
        assert len(kusto.client.execute("Demo", text, properties).primary_results[0]) == 1


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, 0.0),
        ({"servertimeout": "00:00:30"}, 30.0),
        ({"servertimeout": "9.00:00:00"}, 3600.0),
        ({"norequesttimeout": True, "servertimeout": "00:00:30"}, 3600.0),
    ],
)
def test_a_query_runs_no_longer_than_its_request_and_an_hour(options, seconds) -> None:
    assert _timeout_s(options) == seconds


def test_a_client_that_goes_away_is_no_failure_of_the_emulator(kusto_emulator, caplog) -> None:
    caplog.set_level(logging.INFO)
    address = kusto_emulator.cluster.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), REPLY_S) as connection:
        connection.sendall(b"POST /v2/rest/query HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
    wait_until(lambda: "went away" in caplog.text, REPLY_S, "the end of the connection")
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
