"""Parallelism changed with slices pending: they belong to no subtask."""

from __future__ import annotations

import pytest

from exactly_once_kusto.cluster import FlinkCluster

from .road import Road, differences, expected

pytestmark = pytest.mark.flink

ROWS = 16_000


@pytest.mark.staging("azurite")
def test_one_four_two_writers_through_savepoints(road: Road, cluster: FlinkCluster) -> None:
    """Each savepoint holds slices: ingests are slow, and nothing waits for them."""
    road.kusto.faults.set({"on": "ingest", "do": "delay-apply", "seconds": 3.0, "times": 1000})
    options, savepoint = {"commit-wait": "100 ms"}, None
    for parallelism in (1, 4):
        job = road.submit(
            rows=ROWS,
            rate=1500,
            parallelism=parallelism,
            options=options,
            from_savepoint=savepoint,
        )
        begun = road.ledger().position
        road.wait(
            lambda seen=begun: road.open_transactions() and road.ledger().position > seen + 2,
            "an ingest of this run",
        )
        savepoint = cluster.stop_with_savepoint(job)
        assert road.open_transactions(), "nothing was pending: the test shows nothing"
    road.kusto.faults.clear()
    job = road.submit(
        rows=ROWS, rate=20_000, parallelism=2, options=options, from_savepoint=savepoint
    )
    road.finished(job)
    assert differences(road.rows(), expected(ROWS)) == {}
    assert len(road.parts()) == 0, "parts were left behind"
