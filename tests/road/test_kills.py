"""SIGKILL on a real cluster, at the moments where an at-least-once sink doubles or loses rows."""

from __future__ import annotations

import os
import signal

import pytest

from exactly_once_kusto.cluster import FlinkCluster

from .road import Road, differences, expected

pytestmark = pytest.mark.flink


def slow_ingest(road: Road, seconds: float) -> None:
    road.kusto.faults.set({"on": "ingest", "do": "delay-apply", "seconds": seconds, "times": 1000})


@pytest.mark.staging("azurite")
def test_a_task_manager_killed_while_rows_are_written(road: Road, cluster: FlinkCluster) -> None:
    job = road.submit(rows=20_000, rate=2000, parallelism=4)
    road.wait(lambda: road.count() > 4000, "the first rows")
    road.kill_task_manager_of(job, "Writer")
    road.finished(job)
    assert differences(road.rows(), expected(20_000)) == {}
    assert road.ledger().ended(road.ledger().last_start[1])


@pytest.mark.staging("azurite")
def test_a_task_manager_killed_between_checkpoint_and_commit(
    road: Road, cluster: FlinkCluster
) -> None:
    slow_ingest(road, 3.0)
    job = road.submit(rows=12_000, rate=1500)
    road.wait(lambda: road.open_transactions() and road.committed(), "an ingest that runs")
    road.wait(road.open_transactions, "an ingest that runs")
    road.kill_task_manager_of(job, "Coordinator")
    road.finished(job)
    assert differences(road.rows(), expected(12_000)) == {}


def test_all_task_managers_killed_after_the_final_checkpoint(
    road: Road, cluster: FlinkCluster
) -> None:
    road.hold_ingests()
    job = road.submit(rows=3000, rate=1500, options={"commit-wait": "100 ms"})
    road.wait(lambda: sources_finished(cluster, job), "the final checkpoint")
    # Flink lets a source finish only after the final checkpoint is complete.
    assert road.open_transactions(), "nothing was pending: the test shows nothing"
    assert cluster.job_state(job) == "RUNNING"
    road.kill_all_task_managers()
    road.kusto.faults.clear()
    road.finished(job)
    assert differences(road.rows(), expected(3000)) == {}


def sources_finished(cluster: FlinkCluster, job: str) -> bool:
    states = [v.state for v in cluster.vertices(job) if "Source" in v.name]
    return bool(states) and all(state == "FINISHED" for state in states)


def worker_pids(cluster: FlinkCluster, role: str) -> list[int]:
    """The Python workers below the TaskManagers, told apart by the label they were given."""
    pids = []
    for tm in cluster.task_managers:
        if tm.alive:
            pids += [pid for pid in tm.children() if worker_role(pid) == role]
    return pids


def worker_role(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            arguments = file.read().decode().split("\0")
    except OSError:
        return ""
    if "exactly_once_kusto.flink.worker" not in arguments:
        return ""
    label = arguments[arguments.index("exactly_once_kusto.flink.worker") + 1]
    return label.split(" ")[0]


@pytest.mark.parametrize("role", ["writer", "coordinator"])
def test_a_worker_process_killed(road: Road, cluster: FlinkCluster, role: str) -> None:
    job = road.submit(rows=12_000, rate=2000, parallelism=1 if role == "writer" else 2)
    road.wait(lambda: road.count() > 2000, "the first rows")
    pids = worker_pids(cluster, role)
    assert pids, "no such worker is running"
    os.kill(pids[0], signal.SIGKILL)
    road.finished(job)
    assert differences(road.rows(), expected(12_000)) == {}
    assert any("ended" in str(cause) for cause in cluster.exceptions(job))
