"""A cluster that shrinks and grows: the adaptive scheduler restarts the job at what there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exactly_once_kusto.cluster import FlinkCluster
from exactly_once_kusto.emulator.process import EmulatorProcess

from .road import Road, differences, expected

pytestmark = [pytest.mark.flink, pytest.mark.slow]

ROWS = 60_000


@pytest.fixture
def adaptive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    config = {
        "jobmanager.scheduler": "adaptive",
        "jobmanager.adaptive-scheduler.submission.resource-stabilization-timeout": "1 s",
        "jobmanager.adaptive-scheduler.executing.resource-stabilization-timeout": "1 s",
        "jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling": "1 s",
        "jobmanager.adaptive-scheduler.resource-wait-timeout": "60 s",
    }
    directory = tmp_path_factory.mktemp("adaptive")
    with FlinkCluster(directory, task_managers=2, slots=2, config=config) as cluster:
        yield cluster


def writers(cluster: FlinkCluster, job: str) -> int:
    (vertex,) = [v for v in cluster.vertices(job) if "Writer" in v.name]
    return sum(task.state == "RUNNING" for task in vertex.subtasks)


def test_four_two_four_writers_through_failover(adaptive: FlinkCluster, tmp_path) -> None:
    with EmulatorProcess(data=tmp_path / "kusto", databases=["Demo"]) as kusto:
        road = Road(adaptive, kusto)
        road.create_table("T", "n:long, label:string")
        road.kusto.faults.set({"on": "ingest", "do": "delay-apply", "seconds": 2.0, "times": 1000})
        job = road.submit(rows=ROWS, rate=1000, parallelism=4, options={"commit-wait": "100 ms"})
        road.wait(lambda: road.count() > 2000 and writers(adaptive, job) == 4, "four writers")
        road.wait(road.open_transactions, "an ingest that runs")
        adaptive.kill_task_manager(adaptive.task_manager_of(job, "Writer"))
        road.wait(lambda: writers(adaptive, job) == 2, "two writers", 120)
        road.wait(road.open_transactions, "an ingest that runs")
        adaptive.start_task_manager()
        road.wait(lambda: writers(adaptive, job) == 4, "four writers again", 120)
        road.kusto.faults.clear()
        road.finished(job, 180)
        assert differences(road.rows(), expected(ROWS)) == {}
