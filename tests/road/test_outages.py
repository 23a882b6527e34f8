"""Kusto is gone for a while, and the last thing it did was not to answer."""

from __future__ import annotations

import pytest

from exactly_once_kusto.cluster import FlinkCluster

from .road import Road, differences, expected

pytestmark = pytest.mark.flink


def test_the_emulator_killed_for_20_seconds_with_its_last_reply_lost(
    road: Road, cluster: FlinkCluster
) -> None:
    job = road.submit(rows=40_000, rate=1000)
    road.wait(lambda: road.count() > 2000, "the first rows")
    road.kusto.faults.set({"on": "ingest", "do": "drop-reply", "times": 1})
    road.kusto.faults.wait_fired(1, timeout_s=20)
    road.kusto.kill()
    before = cluster.checkpoints(job)
    road.wait(
        lambda: cluster.checkpoints(job).completed >= before.completed + 16,
        "sixteen more checkpoints while Kusto is gone",
        timeout_s=40,
    )
    assert cluster.checkpoints(job).failed == before.failed
    road.kusto.restart()
    road.finished(job)
    assert differences(road.rows(), expected(40_000)) == {}
    assert cluster.checkpoints(job).restored == 0, "the job was restarted by an outage of Kusto"
