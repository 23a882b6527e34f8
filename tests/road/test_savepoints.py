"""Savepoints and retained checkpoints: taken with slices pending, restored late, or by mistake."""

from __future__ import annotations

from collections import Counter

import pytest

from exactly_once_kusto.cluster import FlinkCluster

from .road import Road, differences, expected

pytestmark = pytest.mark.flink

REPLAYED = 60_000


@pytest.mark.staging("azurite")
def test_stop_with_savepoint_with_slices_pending_then_run_from_it(
    road: Road, cluster: FlinkCluster
) -> None:
    road.hold_ingests()
    job = road.submit(rows=60_000, rate=1000, options={"commit-wait": "100 ms"})
    road.wait(road.open_transactions, "an ingest that runs")
    savepoint = cluster.stop_with_savepoint(job)
    assert road.open_transactions(), "nothing was pending: the test shows nothing"
    road.kusto.faults.clear()
    again = road.submit(rows=60_000, rate=20_000, from_savepoint=savepoint)
    road.finished(again)
    assert differences(road.rows(), expected(60_000)) == {}


def test_an_older_savepoint_is_refused_and_with_allow_both_branches_are_there(
    road: Road, cluster: FlinkCluster
) -> None:
    job = road.submit(label="old", rows=REPLAYED, rate=1000, parallelism=1)
    road.wait(lambda: road.count() > 1000, "the first rows")
    savepoint = cluster.savepoint(job)
    covered = road.count()
    road.wait(lambda: road.count() > covered + 2000, "commits after the savepoint")
    cluster.stop_with_savepoint(job)
    road.wait(lambda: not road.open_transactions(), "all commits")
    before, entries = road.rows(), road.ledger().position

    text = road.failed(road.submit(label="new", rate=1000, parallelism=1, from_savepoint=savepoint))
    assert "was restored, but" in text
    assert "later transaction(s)" in text
    assert "on-rewind" in text
    assert road.ledger().position == entries, "a refused start left a trace in the log"
    assert road.rows() == before

    allowed = road.submit(
        label="new",
        rows=REPLAYED,
        rate=10_000,
        parallelism=1,
        options={"on-rewind": "allow"},
        from_savepoint=savepoint,
    )
    road.finished(allowed)
    after = road.rows()
    assert Counter({row: n for row, n in after.items() if row[1] == "old"}) == before
    replayed = sorted(n for n, label in after.elements() if label == "new")
    assert replayed == list(range(replayed[0], REPLAYED)), "a replayed row is missing or doubled"
    assert replayed[0] <= max(n for n, _ in before), "nothing was replayed: the test shows nothing"
    assert replayed[0] >= covered, "rows of before the savepoint were replayed"


def test_an_old_checkpoint_started_beside_the_running_job_is_refused(
    road: Road, cluster: FlinkCluster
) -> None:
    job = road.submit(rows=45_000, rate=1000)
    road.wait(lambda: road.count() > 1000, "the first rows")
    savepoint = cluster.savepoint(job)
    covered = road.count()
    road.wait(lambda: road.count() > covered + 2000, "commits after the savepoint")
    mistake = road.submit(label="mistake", rate=1000, from_savepoint=savepoint)
    assert "later transaction(s)" in road.failed(mistake)
    assert cluster.job_state(job) == "RUNNING"
    road.finished(job)
    assert differences(road.rows(), expected(45_000)) == {}
    assert cluster.checkpoints(job).restored == 0, "the running job was disturbed"
