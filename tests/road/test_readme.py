"""The README's programs, as printed: only addresses and the rate of the generator are others."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.kusto.data import KustoClient, KustoConnectionStringBuilder

from exactly_once_kusto.emulator.process import EmulatorProcess

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
CREATES = [" ".join(text.split()) for text in re.findall(r"`(\.create table [^`]+)`", README)]
CLUSTER, STAGING, DATABASE = "http://127.0.0.1:40121", "file:///tmp/kusto/staging", "Finance"
RATE, RATE_HERE = "'rows-per-second' = '1000'", "'rows-per-second' = '20000'"
JOB_WAIT_S = 120.0


@pytest.fixture
def kusto(tmp_path: Path) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(data=tmp_path / "kusto", databases=[DATABASE]) as kusto:
        with _client(kusto) as client:
            for command in CREATES:
                client.execute_mgmt(DATABASE, command)
        yield kusto


@pytest.mark.flink
def test_the_sql_program_writes_every_row(kusto, tmp_path):
    code, output = _run(_here(BLOCKS[0], kusto).replace(RATE, RATE_HERE), tmp_path)
    assert code == 0, output
    assert _query(kusto, "Payments | count") == [(60_000,)]


@pytest.mark.flink
def test_the_datastream_program_writes_every_row(kusto, tmp_path):
    code, output = _run(_here(BLOCKS[1], kusto), tmp_path)
    assert code == 0, output
    assert sorted(_query(kusto, "Names | project id, name")) == [(1, "a"), (2, "b")]


def test_what_is_replaced_here_stands_in_the_readme():
    assert len(BLOCKS) == 2
    assert len(CREATES) == 2
    assert RATE in BLOCKS[0]
    for text in (CLUSTER, STAGING, DATABASE):
        assert all(text in block for block in BLOCKS)


def _here(block: str, kusto: EmulatorProcess) -> str:
    return block.replace(CLUSTER, kusto.cluster).replace(STAGING, kusto.staging)


def _run(program: str, folder: Path) -> tuple[int, str]:
    """Run it as a user does, in a session of its own; what it left running is ended with it."""
    (folder / "job.py").write_text(program, "utf-8")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with (folder / "job.log").open("wb") as output:
        job = subprocess.Popen(
            [sys.executable, "job.py"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path, "FLINK_LOG_DIR": str(folder)},
            start_new_session=True,
        )
        try:
            code = job.wait(JOB_WAIT_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"no end in {JOB_WAIT_S:g} s; it wrote: {_told(folder)}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)
            job.wait()
    return code, _told(folder)


def _told(folder: Path) -> str:
    """The end of what the program wrote, and of what its JVM logged."""
    logs = sorted(folder.glob("*.log"))
    return "\n".join(f"{log.name}:\n{log.read_text('utf-8', 'replace')[-6000:]}" for log in logs)


def _query(kusto: EmulatorProcess, text: str) -> list[tuple[object, ...]]:
    with _client(kusto) as client:
        return [tuple(row) for row in client.execute_query(DATABASE, text).primary_results[0]]


def _client(kusto: EmulatorProcess) -> KustoClient:
    return KustoClient(KustoConnectionStringBuilder(kusto.cluster))
