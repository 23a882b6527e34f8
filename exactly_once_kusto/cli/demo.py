"""The demo: real rows, a real cluster, a real kill, and a comparison of rows, not of counts."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from exactly_once_kusto.cli import flights
from exactly_once_kusto.cli.console import Progress, print_json
from exactly_once_kusto.cli.transactions import read_ledger

if TYPE_CHECKING:
    from azure.kusto.data import KustoClient

    from exactly_once_kusto.cluster import FlinkCluster

DATABASE, TABLE, SINK = "Demo", "Flights", "flights"
JOB_TIMEOUT_S = 240.0
POLL_S = 0.4
"""At first; the waiting makes it up to ten times longer."""
END_STATES = ("FINISHED", "FAILED", "CANCELED")


@dataclass(frozen=True, slots=True)
class DemoVerdict:
    """What the demo found; `str` is its last line."""

    rows_in: int
    rows_out: int
    lost: int
    duplicated: int
    transactions: int
    kills: int
    ok: bool

    def __str__(self) -> str:
        return (
            f"rows in {self.rows_in} | rows out {self.rows_out} | lost {self.lost} | duplicated "
            f"{self.duplicated} | transactions {self.transactions} | kills {self.kills} | "
            f"{'OK' if self.ok else 'FAILED'}"
        )


def run_demo(as_json: bool, seconds: int) -> int:
    """Run the demo and print its verdict; return 0 for OK, 1 for FAILED."""
    progress = Progress(to_stderr=as_json)
    directory = Path(tempfile.mkdtemp(prefix="exactly-once-kusto-demo-"))
    try:
        verdict = _run(directory, progress, seconds)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print_json(asdict(verdict)) if as_json else print(verdict, flush=True)
    return 0 if verdict.ok else 1


def _run(directory: Path, progress: Progress, seconds: int) -> DemoVerdict:
    from exactly_once_kusto.cluster import FlinkCluster
    from exactly_once_kusto.emulator.process import EmulatorProcess

    path = flights.zip_path()
    source = Counter(flights.normal(row) for row in flights.read_rows(path))
    progress.say(f"{source.total()} flights of 2013 from {path.name}; the table of types:")
    for field in flights.FIELDS:
        progress.say(f"  {field.name:15} {field.flink:13} -> {field.kusto}")
    with (
        EmulatorProcess(data=directory / "kusto", databases=[DATABASE]) as kusto,
        FlinkCluster(directory / "flink", task_managers=2, slots=2) as cluster,
        _client(kusto.cluster) as client,
    ):
        progress.say(f"Kusto emulator at {kusto.cluster}, Flink at {cluster.rest_url}")
        columns = ", ".join(f"['{field.name}']:{field.kusto}" for field in flights.FIELDS)
        client.execute_mgmt(DATABASE, f".create table {TABLE} ({columns})")
        job = cluster.run_python(
            Path(flights.__file__).with_name("job.py"),
            args=[
                *("--flights", str(path), "--cluster", kusto.cluster, "--database", DATABASE),
                *("--staging", kusto.staging),
                *("--rows-per-second", str(max(1, flights.ROWS // seconds))),
            ],
        )
        cluster.wait_running(job)
        progress.say(f"job {job} runs at parallelism 2, a checkpoint every second")
        state, kills = _follow(cluster, client, kusto.staging, job, progress)
        if state != "FINISHED":
            progress.say(f"the job ended as {state}:\n{cluster.exceptions(job)}")
        progress.say("comparing rows, not counts")
        sink = Counter(_read_table(client))
        committed = _committed(kusto.staging)
    return judge(source, sink, committed, kills, finished=state == "FINISHED")


def judge(
    source: Counter[flights.Row],
    sink: Counter[flights.Row],
    transactions: int,
    kills: int,
    finished: bool,
) -> DemoVerdict:
    """Compare two bags of rows: what is missing in the sink, and what is there too often."""
    lost, duplicated = (source - sink).total(), (sink - source).total()
    return DemoVerdict(
        rows_in=source.total(),
        rows_out=sink.total(),
        lost=lost,
        duplicated=duplicated,
        transactions=transactions,
        kills=kills,
        ok=finished and lost == 0 and duplicated == 0 and kills == 1,
    )


def _follow(
    cluster: FlinkCluster, client: KustoClient, staging: str, job: str, progress: Progress
) -> tuple[str, int]:
    """Report until the job ends; kill one TaskManager half way. Return its state and the kills."""
    from exactly_once_kusto.cluster import wait_until

    kills, state = 0, ""

    def ended() -> bool:
        nonlocal kills, state
        rows, committed = _count(client), _committed(staging)
        state, done = cluster.job_state(job), cluster.checkpoints(job).completed
        share = rows / flights.ROWS
        progress.say(
            f"{state.lower():10} {rows:7} rows in Kusto ({share:4.0%}), {done} checkpoints, "
            f"{committed} transactions"
        )
        if kills == 0 and share >= 0.5 and state == "RUNNING":
            victim = cluster.task_managers[0]
            cluster.kill_task_manager(victim)
            kills += 1
            progress.say(f"SIGKILL for the TaskManager with pid {victim.pid}; starting another")
            cluster.start_task_manager()
        return state in END_STATES

    wait_until(ended, JOB_TIMEOUT_S, f"the end of job {job}", poll_s=POLL_S)
    return state, kills


def _client(cluster: str) -> KustoClient:
    from azure.kusto.data import KustoClient, KustoConnectionStringBuilder

    return KustoClient(KustoConnectionStringBuilder(cluster))


def _count(client: KustoClient) -> int:
    rows = client.execute_query(DATABASE, f"{TABLE} | count").primary_results[0]
    return int(rows[0][0])


def _committed(staging: str) -> int:
    transactions = read_ledger(staging, SINK).transactions.values()
    return sum(known.committed is not None for known in transactions)


def _read_table(client: KustoClient) -> list[flights.Row]:
    """Read the table month by month: one answer of the service holds 64 MB at most."""
    rows: list[flights.Row] = []
    names = ", ".join(f"['{field.name}']" for field in flights.FIELDS)
    for month in range(1, 13):
        query = f"{TABLE} | where month == {month} | project {names}"
        rows += _query(client, query)
    query = f"{TABLE} | where month < 1 or month > 12 or isnull(month) | project {names}"
    return rows + _query(client, query)


def _query(client: KustoClient, query: str) -> list[flights.Row]:
    found = client.execute_query(DATABASE, query).primary_results[0]
    return [tuple(_plain(value) for value in row) for row in found]


def _plain(value: object) -> flights.Value:
    if value is None or isinstance(value, int | str | datetime):
        return value
    raise TypeError(f"an unexpected value came back: {value!r}")
