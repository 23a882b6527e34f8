"""What the tests of the road do: submit, kill, wait for a fact, and compare row identities."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure.kusto.data import KustoClient, KustoConnectionStringBuilder

from exactly_once_kusto.cli.transactions import read_ledger
from exactly_once_kusto.cluster import FlinkCluster, wait_until
from exactly_once_kusto.emulator.process import EmulatorProcess
from exactly_once_kusto.protocol.ledger import Ledger
from exactly_once_kusto.storage.address import open_store

JOB = Path(__file__).with_name("job.py")
Row = tuple[Any, ...]


@dataclass
class Road:
    cluster: FlinkCluster
    kusto: EmulatorProcess
    name: str = "road"
    table: str = "T"
    submitted: list[str] = field(default_factory=list)

    def create_table(self, table: str, columns: str) -> None:
        self.command(f".create table {table} ({columns})")

    def command(self, text: str) -> list[Row]:
        with self._client() as client:
            return [tuple(row) for row in client.execute_mgmt("Demo", text).primary_results[0]]

    def rows(self, query: str | None = None) -> Counter[Row]:
        text = query or f"{self.table} | project n, label"
        with self._client() as client:
            found = client.execute_query("Demo", text).primary_results[0]
            return Counter(tuple(map(_hashable, row)) for row in found)

    def count(self) -> int:
        with self._client() as client:
            answer = client.execute_query("Demo", f"{self.table} | count")
            return int(answer.primary_results[0][0][0])

    def _client(self) -> KustoClient:
        return KustoClient(KustoConnectionStringBuilder(self.kusto.cluster))

    # ---- jobs

    def submit(
        self,
        label: str = "a",
        rows: int = 0,
        rate: int = 1000,
        parallelism: int = 2,
        options: dict[str, str] | None = None,
        from_savepoint: str | None = None,
        config: dict[str, str] | None = None,
        **more: str,
    ) -> str:
        args = [
            *("--name", self.name, "--cluster", self.kusto.cluster, "--table", self.table),
            *("--staging", self.kusto.staging, "--label", label, "--rows", str(rows)),
            *("--rate", str(rate), "--parallelism", str(parallelism)),
        ]
        for key, value in (options or {}).items():
            args += ["--option", f"{key}={value}"]
        for key, value in (config or {}).items():
            args += ["--config", f"{key}={value}"]
        for key, value in more.items():
            args += [f"--{key}", value]
        # Some seconds quicker than `flink run`, with which other tests submit.
        job = self.cluster.run_python(
            JOB, args=args, from_savepoint=from_savepoint, client="python"
        )
        self.submitted.append(job)
        return job

    def finished(self, job: str, timeout_s: float = 120.0) -> None:
        self.cluster.wait_for(job, {"FINISHED"}, timeout_s)

    def failed(self, job: str, timeout_s: float = 60.0) -> str:
        """What Flink shows of a job that failed for good, newest failure first."""
        self.cluster.wait_for(job, {"FAILED"}, timeout_s)
        return "\n".join(cause.stacktrace for cause in self.cluster.exceptions(job))

    # ---- facts

    def ledger(self) -> Ledger:
        return read_ledger(self.kusto.staging, self.name)

    def parts(self) -> list[str]:
        return list(open_store(self.kusto.staging).list(f"{self.name}/parts/"))

    def needed_parts(self) -> set[str]:
        """Those not known to be committed; to delete the others may come late, or never."""
        done = (t.transaction.parts for t in self.ledger().transactions.values() if t.committed)
        names = {part.address.rpartition("/")[2] for parts in done for part in parts}
        return {part for part in self.parts() if part.rpartition("/")[2] not in names}

    def ingestions(self) -> int:
        """How many ingest commands the target has taken."""
        operations = self.command(
            ".show operations | where Operation contains 'Ingest' | distinct OperationId"
        )
        return len(operations)

    def committed(self) -> int:
        return sum(t.committed is not None for t in self.ledger().transactions.values())

    def open_transactions(self) -> int:
        return sum(t.committed is None for t in self.ledger().transactions.values())

    def wait(self, fact: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
        wait_until(fact, timeout_s, what)

    def hold_ingests(self, after: int = 0) -> None:
        """Keep all ingests but the first `after` in progress, until the faults are set or cleared.

        What was held before goes on. The sources are read at once: access to them may expire.
        """
        rule = {"on": "ingest", "do": "delay-commit", "seconds": 600.0, "times": 1000}
        self.kusto.faults.set({**rule, "after": after})

    # ---- kills

    def kill_task_manager_of(self, job: str, vertex: str) -> None:
        """SIGKILL the TaskManager that runs (a subtask of) the vertex; start another."""
        victim = self.cluster.task_manager_of(job, vertex)
        self.cluster.kill_task_manager(victim)
        self.cluster.start_task_manager()

    def kill_all_task_managers(self) -> None:
        alive = [tm for tm in self.cluster.task_managers if tm.alive]
        for tm in alive:
            self.cluster.kill_task_manager(tm)
        for _ in alive:
            self.cluster.start_task_manager()


def _hashable(value: Any) -> Any:
    """A dynamic comes as lists and dicts."""
    return json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value


def expected(rows: int, label: str = "a", start: int = 0) -> Counter[Row]:
    return Counter((n, label) for n in range(start, rows))


def differences(seen: Counter[Row], wanted: Counter[Row]) -> dict[str, Iterable[Row]]:
    """Row identities: what is missing, what is there too often. Empty: exactly once."""
    lost, more = wanted - seen, seen - wanted
    found: dict[str, Iterable[Row]] = {}
    if lost:
        found["lost"] = [*sorted(lost)[:10], (f"{lost.total()} in all",)]
    if more:
        found["duplicated"] = [*sorted(more)[:10], (f"{more.total()} in all",)]
    return found
