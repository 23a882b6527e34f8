"""Batch mode: no checkpoints; what is lost is run again, and the ledger's list makes it once."""

from __future__ import annotations

import pytest

from exactly_once_kusto.cluster import FlinkCluster, wait_until

from .road import Road, differences, expected
from .test_kills import worker_pids

pytestmark = pytest.mark.flink

BATCH = {"execution.runtime-mode": "BATCH"}


@pytest.mark.staging("azurite")
def test_a_task_manager_killed_after_the_ingest_and_before_the_job_ends(
    road: Road, cluster: FlinkCluster
) -> None:
    """The rows are in, and the coordinator does not know it yet: the operation's end is late."""
    road.kusto.faults.set({"on": "operations", "do": "delay-reply", "seconds": 20, "times": 2})
    job = road.submit(rows=5000, rate=5000, config=BATCH)
    road.wait(lambda: road.count() == 5000, "the rows to be in", 60)
    assert road.open_transactions(), "it was committed already: the test shows nothing"
    road.kill_task_manager_of(job, "Coordinator")
    road.kusto.faults.clear()
    road.finished(job, 120)
    assert differences(road.rows(), expected(5000)) == {}
    kinds = road.ledger()
    assert len(kinds.batches) == 1
    assert len(kinds.transactions) == 1


@pytest.mark.slow
def test_a_task_manager_killed_before_the_ingest(road: Road, cluster: FlinkCluster) -> None:
    road.kusto.faults.set({"on": "ingest", "do": "throttle", "times": 1000})
    job = road.submit(rows=5000, rate=5000, config=BATCH)
    road.wait(road.open_transactions, "an intent", 60)
    road.kill_task_manager_of(job, "Coordinator")
    road.kusto.faults.clear()
    road.finished(job, 120)
    assert differences(road.rows(), expected(5000)) == {}


@pytest.mark.slow
def test_a_task_manager_killed_while_rows_are_written(road: Road, cluster: FlinkCluster) -> None:
    job = road.submit(rows=6000, rate=2000, config=BATCH)
    # In a batch writers run when the source has ended, for a second: there is no time to lose.
    wait_until(lambda: worker_pids(cluster, "writer"), 60, "writers at work", poll_s=0.003)
    assert road.ledger().position == 0, "the coordinator runs already"
    road.kill_task_manager_of(job, "Writer")
    road.finished(job, 120)
    assert differences(road.rows(), expected(6000)) == {}
    assert len(road.ledger().batches) == 1
