"""Killed and started again, the emulator has what it acknowledged, and nothing in halves."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from azure.kusto.data.exceptions import KustoServiceError

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.emulator import KustoEmulator
from exactly_once_kusto.emulator.process import EmulatorProcess

from .conftest import Kusto

ROWS = 200
KILLS = 4
CLIENTS = 6  # so that several commands are in one transaction
MANY_KILLS = int(os.environ.get("EOK_KILLS", "300"))


def test_what_was_acknowledged_survives_kills_during_ingestion(
    process: EmulatorProcess, numbers
) -> None:
    load = Load(process, numbers(ROWS))
    with load:
        for _ in range(KILLS):
            load.wait_completed(5)
            process.kill()
            process.restart()
    load.check()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_was_acknowledged_survives_hundreds_of_kills_at_any_moment(
    process: EmulatorProcess, numbers
) -> None:
    seed = int(os.environ.get("EOK_SEED") or random.randrange(10**9))
    print(f"EOK_SEED={seed}")
    moments = random.Random(seed)
    load = Load(process, numbers(ROWS))
    with load:
        for kill in range(MANY_KILLS):
            if kill % 10 == 0:
                load.wait_completed(1)  # or nothing would be there to be lost
            load.stop.wait(moments.uniform(0, 0.5))
            process.kill()
            process.restart()
    assert load.completed
    load.check()


class Load:
    """Clients that ingest under tags of their own, asynchronously and at once, until the end.

    Attributes:
        submitted: operation ids that were given back, by tag.
        completed: tags whose operation was seen Completed, or whose command was answered.
    """

    def __init__(self, process: EmulatorProcess, path: str) -> None:
        self.submitted: dict[str, str] = {}
        self.completed: set[str] = set()
        self.stop = threading.Event()
        self._process = process
        self._path = path
        self._counter = itertools.count()
        self._unexpected: list[Exception] = []
        self._threads = [threading.Thread(target=self._ingest) for _ in range(CLIENTS)]
        kusto = Kusto(process.cluster)
        kusto.rows(".create table T (n:long)")
        kusto.client.close()

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(60)
        assert self._unexpected == []

    def wait_completed(self, more: int) -> None:
        wanted = len(self.completed) + more
        wait_until(lambda: len(self.completed) >= wanted, 60, "progress", 0.01)

    def check(self) -> None:
        """Each tag that was acknowledged is there whole, each other one whole or not at all."""
        kusto = Kusto(self._process.cluster)
        counts = dict(
            kusto.rows("T | summarize n=count() by tag=tostring(extent_tags()[0]) | project tag, n")
        )
        assert set(counts.values()) == {2 * ROWS}
        assert {f"ingest-by:{tag}" for tag in self.completed} <= set(counts)
        extents = kusto.rows(".show table T extents | summarize count(), sum(RowCount) by Tags")
        assert {tuple(row[1:]) for row in extents} == {(2, 2 * ROWS)}
        for tag, operation in self.submitted.items():
            state = kusto.ended(operation)["State"]
            assert state in ("Completed", "Abandoned")
            assert (state == "Completed") == (f"ingest-by:{tag}" in counts)
        kusto.client.close()

    def _ingest(self) -> None:
        client = Kusto(self._process.cluster)
        while not self.stop.is_set():
            tag = f"t{next(self._counter)}"
            form = "async " if next(self._counter) % 3 else ""
            try:
                self._one(client, tag, form)
            except (KustoServiceError, OSError):
                self.stop.wait(0.05)  # it is being started again
            except Exception as error:
                if "Connection" not in repr(error) and "Network" not in type(error).__name__:
                    self._unexpected.append(error)
                    return
                self.stop.wait(0.05)
        client.client.close()

    def _one(self, client: Kusto, tag: str, form: str) -> None:
        done = client.rows(
            f".ingest {form}into table T ('{self._path}', '{self._path}') with (format='parquet', "
            f"tags='[\"ingest-by:{tag}\"]', ingestIfNotExists='[\"{tag}\"]')"
        )
        if form:
            self.submitted[tag] = done[0][0]
            if client.ended(done[0][0])["State"] != "Completed":
                return
        self.completed.add(tag)


def test_an_operation_that_a_kill_cut_off_is_abandoned_and_left_no_rows(
    process: EmulatorProcess, numbers
) -> None:
    kusto = Kusto(process.cluster)
    kusto.rows(".create table T (n:long)")
    process.faults.set({"on": "ingest", "do": "delay-apply", "seconds": 600})
    operation = kusto.one(f".ingest async into table T ('{numbers(5)}') with (format='parquet')")
    assert kusto.table(f".show operations {operation}")[0]["State"] == "InProgress"
    cluster = process.cluster
    process.kill()
    process.restart()
    assert process.cluster == cluster
    row = kusto.ended(operation)
    assert row["State"] == "Abandoned"
    assert kusto.one("T | count") == 0
    assert process.faults.rules() == []


def test_it_serves_what_an_earlier_run_on_the_directory_left(tmp_path: Path, numbers) -> None:
    with KustoEmulator(tmp_path / "k", databases=["Demo"]) as first:
        kusto = Kusto(first.cluster)
        kusto.rows(".create table T (n:long, d:decimal)")
        kusto.rows(".ingest inline into table T with (tags='[\"ingest-by:x\"]') <| 1,2.50")
        kusto.rows(".alter-merge table T policy retention softdelete = 9d")
    with KustoEmulator(tmp_path / "k", databases=["Demo", "Other"]) as second:
        kusto = Kusto(second.cluster)
        assert [str(value) for value in kusto.rows("T")[0]] == ["1", "2.50"]
        assert kusto.one(".show table T extents | project Tags") == "ingest-by:x"
        assert "9.00:00:00" in kusto.one(".show table T policy retention | project Policy")
        kusto.rows(".ingest inline into table T with (ingestIfNotExists='[\"x\"]') <| 1,1")
        assert kusto.one("T | count") == 1
        assert kusto.rows(".show tables", database="Other") == []


def test_a_second_emulator_on_the_directory_is_refused(process: EmulatorProcess) -> None:
    with pytest.raises(RuntimeError, match="is another emulator running"):
        KustoEmulator(process.data).start()


def test_a_taken_port_is_named(kusto_emulator: KustoEmulator, tmp_path: Path) -> None:
    port = int(kusto_emulator.cluster.rpartition(":")[2])
    with pytest.raises(RuntimeError, match=f"port {port} can't be had"):
        KustoEmulator(tmp_path / "second", port=port).start()


def test_the_first_line_is_json_and_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "exactly_once_kusto.emulator", "--port", "0"]
    started = subprocess.Popen(
        [*command, "--data", str(tmp_path / "k"), "--database", "A", "--database", "B"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert started.stdout is not None
        line = json.loads(started.stdout.readline())
        assert line["pid"] == started.pid
        assert line["databases"] == ["A", "B"]
        assert line["staging"] == (tmp_path / "k" / "staging").as_uri()
        assert (tmp_path / "k" / "staging").is_dir()
        Kusto(line["cluster"]).rows(".create table T (a:long)", database="B")
        os.kill(started.pid, signal.SIGTERM)
        assert started.wait(20) == 0
        assert started.stdout.read() == ""
    finally:
        if started.poll() is None:
            started.kill()
            started.wait(10)
        if started.stdout is not None:
            started.stdout.close()


def test_a_clean_stop_starts_nothing_that_a_fault_still_delays(tmp_path: Path, numbers) -> None:
    with KustoEmulator(tmp_path / "k") as first:
        kusto = Kusto(first.cluster)
        kusto.rows(".create table T (n:long)")
        first.faults.set({"on": "ingest", "do": "delay-apply", "seconds": 600})
        operation = kusto.one(
            f".ingest async into table T ('{numbers(5)}') with (format='parquet')"
        )
    with KustoEmulator(tmp_path / "k") as second:
        kusto = Kusto(second.cluster)
        assert kusto.ended(operation)["State"] == "Abandoned"
        assert kusto.one("T | count") == 0
