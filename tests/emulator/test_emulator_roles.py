"""Tokens and roles: who isn't known or has no role is refused as the service refuses it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.kusto.data import KustoClient, KustoConnectionStringBuilder
from azure.kusto.data.exceptions import KustoApiError, KustoServiceError

from exactly_once_kusto.emulator import KustoEmulator
from exactly_once_kusto.emulator.parser import parse
from exactly_once_kusto.emulator.principals import ChangeRole, parse_principals
from exactly_once_kusto.emulator.process import EmulatorProcess
from exactly_once_kusto.emulator.queue_messages import Blob

from .conftest import Kusto

OPS = "token-of-ops"
ETL = "token-of-etl"
APP = "aadapp=4c7e82bd-6adb-46c3-b413-fdd44834c69b;fabrikam.com"


class Known(Kusto):
    """The SDK's client with a token."""

    def __init__(self, cluster: str, token: str) -> None:
        builder = KustoConnectionStringBuilder.with_aad_application_token_authentication(
            cluster, token
        )
        self.client = KustoClient(builder)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[KustoEmulator]:
    principals = {
        OPS: {"principal": "aaduser=ops@fabrikam.com", "roles": ["AllDatabasesAdmin"]},
        ETL: APP,
    }
    with KustoEmulator(tmp_path / "k", principals=principals) as running:
        yield running


@pytest.fixture
def ops(guarded: KustoEmulator) -> Iterator[Known]:
    known = Known(guarded.cluster, OPS)
    known.rows(".create table T (n:long)")
    yield known
    known.client.close()


@pytest.fixture
def etl(guarded: KustoEmulator) -> Iterator[Known]:
    known = Known(guarded.cluster, ETL)
    yield known
    known.client.close()


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(KustoApiError) as caught:
        call()
    error = caught.value.get_api_error()
    assert error.code == "Forbidden"
    assert error.permanent is True
    assert "is not authorized to" in error.description
    assert caught.value.http_response.status_code == 403
    return error.description


@pytest.mark.parametrize("token", [None, "unknown"])
def test_a_request_without_a_known_token_is_unauthorized(
    guarded: KustoEmulator, token: str | None
) -> None:
    kusto = Known(guarded.cluster, token) if token else Kusto(guarded.cluster)
    with pytest.raises(KustoServiceError, match="401"):
        kusto.rows("print 1")
    kusto.client.close()


def test_a_principal_without_any_role_may_do_nothing(ops: Known, etl: Known) -> None:
    told = refused(lambda: etl.rows("T | count"))
    assert told == f"Principal '{APP}' is not authorized to read database 'Demo'."
    for command in (
        ".show tables",
        ".create table U (n:long)",
        ".ingest inline into table T <| 1",
        ".show table T extents",
        ".show operations",
        f".add database Demo admins ('{APP}')",
    ):
        refused(lambda command=command: etl.rows(command))
    assert ops.one("T | count") == 0


def test_an_ingestor_of_a_table_ingests_into_it_and_sees_nothing(ops: Known, etl: Known) -> None:
    ops.rows(f".add table T ingestors ('{APP}')")
    ops.rows(".create table U (n:long)")
    done = etl.table(".ingest inline into table T <| 1")[0]
    assert etl.table(f".show operations {done['OperationId']}")[0]["State"] == "Completed"
    refused(lambda: etl.rows("T | count"))
    refused(lambda: etl.rows(".show table T extents"))
    refused(lambda: etl.rows(".ingest inline into table U <| 1"))
    refused(lambda: etl.rows(".clear table T data"))
    assert ops.one("T | count") == 1


def test_a_viewer_reads_and_changes_nothing(ops: Known, etl: Known) -> None:
    ops.rows(f".add database Demo viewers ('{APP}') 'the pipeline'")
    assert etl.one("T | count") == 0
    assert etl.rows(".show table T extents") == []
    refused(lambda: etl.rows(".ingest inline into table T <| 1"))
    refused(lambda: etl.rows(".set U <| print n=1"))
    refused(lambda: etl.rows(".drop table T"))
    refused(lambda: etl.rows(".alter-merge table T policy retention softdelete = 1d"))


def test_a_monitor_sees_metadata_and_no_data(ops: Known, etl: Known) -> None:
    ops.rows(f".add database Demo monitors ('{APP}')")
    assert etl.rows(".show tables | project TableName") == [["T"]]
    refused(lambda: etl.rows("T | count"))


def test_a_user_is_admin_of_the_tables_that_it_makes_and_of_no_other(
    ops: Known, etl: Known
) -> None:
    # https://learn.microsoft.com/kusto/access-control/role-based-access-control
    ops.rows(f".add database Demo users ('{APP}')")
    etl.rows(".create table U (n:long)")
    etl.rows(".ingest inline into table U <| 1")
    etl.rows(".append U <| U")
    assert etl.one("U | count") == 2
    shown = etl.rows(".show table U principals | project Role, PrincipalFQN")
    assert shown == [["Table U Admin", APP]]
    refused(lambda: etl.rows(".ingest inline into table T <| 1"))
    refused(lambda: etl.rows(".create-merge table T (n:long, m:long)"))
    etl.rows(".drop table U")


def test_roles_are_added_set_dropped_shown_and_outlive_the_emulator(tmp_path: Path) -> None:
    with KustoEmulator(tmp_path / "k") as first:
        kusto = Kusto(first.cluster)
        kusto.rows(".create table T (n:long)")
        kusto.rows(f".add table T ingestors ('{APP}', 'aaduser=a@b.c') 'both'")
        kusto.rows(".set table T admins ('aaduser=x@b.c')")
        kusto.rows(".set table T admins ('aaduser=y@b.c') skip-results")
        kusto.rows(".drop table T ingestors ('aaduser=A@B.C')")
        kusto.client.close()
    with KustoEmulator(tmp_path / "k") as second:
        kusto = Kusto(second.cluster)
        table = kusto.table(".show table T principals")
        names = [column.column_name for column in table.columns]
        assert names[:5] == [
            *("Role", "PrincipalType", "PrincipalDisplayName", "PrincipalObjectId"),
            "PrincipalFQN",
        ]
        shown = [(row["Role"], row["PrincipalFQN"], row["Notes"]) for row in table]
        assert shown == [
            ("Table T Admin", "aaduser=y@b.c", ""),
            ("Table T Ingestor", APP, "both"),
        ]
        kusto.rows(".set table T ingestors none")
        assert len(kusto.rows(".show table T principals")) == 1
        kusto.client.close()


def test_ones_own_roles_can_be_seen_by_whoever_has_one(ops: Known, etl: Known) -> None:
    ops.rows(f".add table T ingestors ('{APP}', 'aaduser=other@b.c')")
    own = etl.rows(".show table T principal roles | project Role, PrincipalFQN")
    assert own == [["Table T Ingestor", APP]]
    refused(lambda: etl.rows(".show table T principals"))


@pytest.mark.parametrize(
    "command",
    [
        ".add table T owners ('aaduser=a@b.c')",
        ".add table T users ('aaduser=a@b.c')",
        ".add table T admins ('somebody')",
        ".add database Demo admins none",
    ],
)
def test_a_role_or_principal_that_is_none_is_refused(ops: Known, command: str) -> None:
    with pytest.raises(KustoApiError, match=r"Syntax error|not understood"):
        ops.rows(command)


def test_set_still_makes_a_table_of_a_query() -> None:
    assert type(parse(".set T <| print 1").command).__name__ == "Append"
    assert isinstance(parse(".set database D viewers none").command, ChangeRole)


def test_faults_can_be_set_without_a_token(guarded: KustoEmulator, ops: Known) -> None:
    with urllib.request.urlopen(f"{guarded.cluster}/emulator/faults", timeout=10) as reply:
        assert json.loads(reply.read())["rules"] == []


def test_a_principals_file_that_is_none_is_refused_without_telling_its_tokens(
    tmp_path: Path,
) -> None:
    file = tmp_path / "principals.json"
    file.write_text('{"SECRET-TOKEN": 5}')
    command = [sys.executable, "-m", "exactly_once_kusto.emulator", "--data", str(tmp_path / "k")]
    ended = subprocess.run(
        [*command, "--principals", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
    )
    assert ended.returncode == 2
    assert "--principals" in ended.stderr
    assert "SECRET-TOKEN" not in ended.stderr


def test_unknown_cluster_roles_are_refused() -> None:
    with pytest.raises(ValueError, match="AllDatabasesAdmin"):
        parse_principals([("t", {"principal": APP, "roles": ["Owner"]})])


def test_it_listens_on_loopback_unless_told_otherwise(tmp_path: Path) -> None:
    with KustoEmulator(tmp_path / "k") as running:
        port = running.cluster.rpartition(":")[2]
        assert listening(int(port)) == {"0100007F"}
    with KustoEmulator(tmp_path / "k", host="0.0.0.0") as running:
        port = running.cluster.rpartition(":")[2]
        assert listening(int(port)) == {"00000000"}
        kusto = Kusto(running.cluster)
        assert kusto.one("print 1") == 1
        kusto.client.close()


def listening(port: int) -> set[str]:
    """The addresses on which this machine listens at the port, as /proc writes them."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    ends = [f[1].split(":") for f in fields if f[3] == "0A"]
    return {address for address, at in ends if int(at, 16) == port}


def test_a_process_asks_for_the_tokens_of_its_file_also_after_a_kill(tmp_path: Path) -> None:
    file = tmp_path / "principals.json"
    file.write_text(json.dumps({ETL: {"principal": APP, "roles": ["AllDatabasesViewer"]}}))
    with EmulatorProcess(tmp_path / "k", principals=file) as process:
        process.restart()
        known, stranger = Known(process.cluster, ETL), Kusto(process.cluster)
        assert known.one("print 1") == 1
        with pytest.raises(KustoServiceError, match="401"):
            stranger.rows("print 1")
        known.client.close()
        stranger.client.close()
        log = (tmp_path / "k" / "emulator.log").read_text("utf-8")
    assert ETL not in log


def test_a_refused_request_has_ids_too(guarded: KustoEmulator) -> None:
    for given in ({}, {"x-ms-client-request-id": "mine"}):
        request = urllib.request.Request(f"{guarded.cluster}/v2/rest/query", b"{}", given)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=20)
        with caught.value as reply:
            activity = reply.headers["x-ms-activity-id"]
            shown = given.get("x-ms-client-request-id", f"unspecified;{activity}")
            assert reply.headers["x-ms-client-request-id"] == shown
            assert reply.code == 401


def test_a_queued_request_is_seen_and_canceled_by_who_may_ingest_there(
    guarded: KustoEmulator, ops: Known, etl: Known
) -> None:
    queued = guarded._service.queued
    ops.rows(".create table Other (n:long)")
    blob = Blob("b", "/nowhere.csv", "Demo", "T", {"format": "csv"}, 9, operation="1;2;x")
    queued.accept([blob], "")
    show = '.show queued ingestion operations "1;2;x"'
    shows = (show, f"{show} details")
    cancel = ".cancel queued ingestion operation '1;2;x'"
    ops.rows(f".add database Demo viewers ('{APP}')")
    ops.rows(f".add table Other ingestors ('{APP}')")
    for text in (*shows, cancel):
        refused(lambda text=text: etl.rows(text))
    assert etl.rows(".show queued ingestion operations 'unknown'") == []
    ops.rows(f".add table T ingestors ('{APP}')")
    for text in shows:
        assert len(etl.rows(text)) == 1
    assert etl.table(cancel)[0]["State"] == "Canceled"
