"""One name, one running job: on a cluster, with real failovers in between."""

from __future__ import annotations

from collections import Counter

import pytest

from exactly_once_kusto.cluster import FlinkCluster

from .road import Road, differences, expected

pytestmark = pytest.mark.flink


@pytest.mark.slow
def test_a_fresh_bounded_run_under_a_used_name_recovers(road: Road, cluster: FlinkCluster) -> None:
    road.finished(road.submit(label="first", rows=3000, rate=3000))
    job = road.submit(label="second", rows=12_000, rate=1500)
    road.wait(lambda: cluster.checkpoints(job).completed >= 3, "the third checkpoint")
    road.kill_task_manager_of(job, "Coordinator")
    road.finished(job)
    wanted = expected(3000, "first") + expected(12_000, "second")
    assert differences(road.rows(), wanted) == {}


def test_a_second_job_fences_the_first_and_they_do_not_take_turns(
    road: Road, cluster: FlinkCluster
) -> None:
    first = road.submit(label="first", rate=500, parallelism=1)
    road.wait(lambda: road.count() > 1000, "the first rows")
    second = road.submit(label="second", rows=8000, rate=1000)
    text = road.failed(first)
    assert f"in the hands of job {second}" in text
    road.finished(second)
    starts = cluster.checkpoints(second)
    assert starts.restored == 0, "the second job was disturbed by the first"
    seen = road.rows()
    assert not differences(
        Counter({r: n for r, n in seen.items() if r[1] == "second"}), expected(8000, "second")
    )
    first_rows = sorted(n for n, label in seen.elements() if label == "first")
    assert first_rows == list(range(len(first_rows))), "a row of the first job is lost or doubled"
