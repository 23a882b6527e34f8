"""The command line, as a user calls it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exactly_once_kusto.protocol.entries import Committed, Intent, encode_entry
from exactly_once_kusto.protocol.slices import Part, Slice
from exactly_once_kusto.storage.address import open_store
from exactly_once_kusto.storage.log import Log

COMMAND = [sys.executable, "-c", "from exactly_once_kusto.cli.main import main; main()"]
N = "0" * 32


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def write_ledger(staging: str) -> None:
    destination = json.dumps({"table": "Payments"})
    piece = Slice("s", 7, destination, (Part("file:///p", 10, "e", 3, 30, destination),))
    log = Log(open_store(staging), "payments")
    log.append(1, encode_entry(Intent(N, 1.0, N, N, "t-1", 1, "direct", "local", None, (piece,))))
    log.append(2, encode_entry(Committed(N, 2.0, N, "t-1", 3, ("x",))))
    log.append(3, encode_entry(Intent(N, 3.0, N, N, "t-2", 1, "direct", "local", None, (piece,))))


@pytest.fixture(params=["file", "azurite"])
def staging(request, tmp_path: Path) -> str:
    if request.param == "file":
        return tmp_path.as_uri()
    return f"{request.getfixturevalue('azurite').container('cli')}/{tmp_path.name}"


def test_transactions_are_one_json_object_a_line(staging: str) -> None:
    write_ledger(staging)
    done = run("transactions", "--staging", staging, "--json")
    first, second = map(json.loads, done.stdout.splitlines())
    assert first == {
        "id": "t-1",
        "name": "payments",
        "table": "Payments",
        "lineage": N,
        "checkpoints": [7],
        "state": "committed",
        "mode": "direct",
        "rows": 3,
        "bytes": 10,
        "parts": 1,
        "attempts": 1,
        "intended_at": 1.0,
        "committed_at": 2.0,
    }
    assert (second["state"], second["committed_at"]) == ("intent", None)


def test_transactions_as_text_are_counted(staging: str) -> None:
    write_ledger(staging)
    done = run("transactions", "--staging", staging, "--name", "payments")
    assert done.stdout.splitlines()[-1] == "2 transaction(s)"


def test_a_token_in_an_address_is_refused_and_not_repeated() -> None:
    done = run("transactions", "--staging", "file:///x?sig=verysecret")
    assert done.returncode == 1
    assert "a token" in done.stderr
    assert "verysecret" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_transactions_of_a_container_that_is_not_there_are_an_error_of_one_line(azurite) -> None:
    done = run("transactions", "--staging", f"{azurite.address}/nowhere")
    assert done.returncode == 1
    assert "ContainerNotFound" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_emulator_with_azurite_says_where_to_stage_and_ends_in_order(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, "emulator", "--data", str(tmp_path / "kusto"), "--azurite"],
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert re.fullmatch(
            r"http://127\.0\.0\.1:\d+/devstoreaccount1/staging", first.pop("staging")
        )
        assert first.pop("cluster").startswith("http://127.0.0.1:")
        assert first == {"databases": ["Demo"], "pid": process.pid}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()


def test_the_jar_s_place_is_told() -> None:
    done = run("jar", "--json")
    assert json.loads(done.stdout)["jar"].endswith("exactly-once-kusto-flink.jar")


@pytest.mark.parametrize("content", [None, "no json: s3cret", "[]", '{"s3cret": "nobody"}'])
def test_a_file_of_principals_that_is_none_is_a_short_error(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "principals.json"
    if content is not None:
        file.write_text(content)
    done = run("emulator", "--data", str(tmp_path / "data"), "--principals", str(file))
    assert done.returncode == 2
    assert "--principals" in done.stderr
    assert "s3cret" not in done.stderr
    assert "Traceback" not in done.stderr
