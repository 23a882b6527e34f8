"""Parallelism changed with slices pending: they belong to no subtask."""

from __future__ import annotations

import pytest

from exactly_once_kusto.cluster import FlinkCluster

from .road import Road, differences, expected

pytestmark = pytest.mark.flink

ROWS = 60_000  # more than the first two runs read, also on a busy machine


@pytest.mark.slow
@pytest.mark.staging("azurite")
def test_one_four_two_writers_through_savepoints(road: Road, cluster: FlinkCluster) -> None:
    """Each savepoint holds slices: of each run's ingests the first one ends, the next is held."""
    options, savepoint = {"commit-wait": "100 ms"}, None
    for parallelism in (1, 4):
        done = road.committed() + road.open_transactions()
        road.hold_ingests(after=1)
        job = road.submit(
            rows=ROWS,
            rate=1500,
            parallelism=parallelism,
            options=options,
            from_savepoint=savepoint,
        )
        road.wait(
            lambda done=done: road.committed() > done and road.open_transactions(),
            "an ingest of this run that runs",
        )
        savepoint = cluster.stop_with_savepoint(job)
        assert road.open_transactions(), "nothing was pending: the test shows nothing"
    road.kusto.faults.clear()
    job = road.submit(
        rows=ROWS, rate=20_000, parallelism=2, options=options, from_savepoint=savepoint
    )
    road.finished(job)
    assert differences(road.rows(), expected(ROWS)) == {}
    assert road.needed_parts() == set(), "parts of nobody were left behind"
