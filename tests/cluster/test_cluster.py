"""The real thing: JVMs of Flink, started, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exactly_once_kusto.cluster import (
    ClientError,
    ClusterError,
    FlinkCluster,
    ProcessError,
    wait_until,
)

pytestmark = pytest.mark.flink

JOB = Path(__file__).with_name("job.py")
# Started JVMs of an owner that is killed: the cluster prints whom to look for.
OWNER = """
import signal, sys
from exactly_once_kusto.cluster import FlinkCluster
cluster = FlinkCluster(sys.argv[1], task_managers=1).start()
print(cluster.job_manager.pid, cluster.task_managers[0].pid, flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    # One slot each: a job of parallelism two needs both, and can't go on without a new one.
    with FlinkCluster(tmp_path_factory.mktemp("flink"), task_managers=2, slots=1) as started:
        yield started


@pytest.fixture(autouse=True)
def _whole(cluster: FlinkCluster, request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    for each in cluster.task_managers:
        cluster.resume_task_manager(each)
    for job, state in cluster.jobs().items():
        if state not in ("FINISHED", "FAILED", "CANCELED"):
            cluster.cancel(job)
    while len(cluster.task_managers) < 2:
        cluster.start_task_manager()
    cluster.wait_ready()


@pytest.mark.slow
def test_job_does_not_go_on_after_its_task_manager_was_killed(cluster: FlinkCluster) -> None:
    job = cluster.run_python(JOB, ["nothing"], parallelism=2)
    cluster.wait_running(job)
    cluster.wait_checkpoint(job)
    rows = wait_until(
        lambda: cluster.metrics(job, "source").get("numRecordsOut"), 20, "rows of the source"
    )
    assert rows > 0
    assert "numRecordsOut" in cluster.metric_names(job, "source")

    victim = cluster.task_manager_of(job, "writer", subtask=1)
    cluster.kill_task_manager(victim)
    assert not victim.alive
    assert victim not in cluster.task_managers
    cluster.wait_failure(job, timeout_s=6)  # noticed before the heartbeat's timeout of 8 s
    fresh = cluster.start_task_manager()
    cluster.wait_ready()
    cluster.wait_running(job)

    where = {task.task_manager for each in cluster.vertices(job) for task in each.subtasks}
    assert fresh.resource_id in where
    assert victim.resource_id not in where
    assert cluster.checkpoints(job).restored == 1
    assert victim.resource_id in cluster.exceptions(job)[-1].stacktrace
    assert cluster.trigger_checkpoint(job) > 1
    cluster.cancel(job)
    assert cluster.job_state(job) == "CANCELED"


@pytest.mark.slow
def test_savepoint_is_not_continued(cluster: FlinkCluster) -> None:
    job = cluster.run_python(JOB, ["nothing"], parallelism=2, client="python")
    cluster.wait_running(job)
    path = cluster.stop_with_savepoint(job)
    assert cluster.job_state(job) == "FINISHED"
    assert Path(path.removeprefix("file:")).parent == cluster.directory / "savepoints"

    again = cluster.run_python(
        JOB, ["nothing"], parallelism=2, client="python", from_savepoint=path
    )
    cluster.wait_running(again)
    assert cluster.checkpoints(again).restored == 1
    assert cluster.savepoint(again) != path
    with pytest.raises(ClusterError, match=r"0 vertices of job .* contain 'committer'"):
        cluster.vertex(again, "committer")


@pytest.mark.parametrize("client", ["flink", "python"])
def test_failing_client_hides_the_cause(cluster: FlinkCluster, client: str) -> None:
    with pytest.raises(ClientError, match="submitted no job") as caught:
        cluster.run_python(JOB, ["nowhere"], client=client)
    chain = str(caught.value).partition("--- output")[0]
    assert "ValidationException: Cannot find table" in chain
    assert "Traceback" in caught.value.output
    assert cluster.all_logs().count("nowhere") > 0


@pytest.mark.slow
def test_paused_task_manager_does_not_come_back(cluster: FlinkCluster) -> None:
    job = cluster.run_python(JOB, ["nothing"], parallelism=2, client="python")
    cluster.wait_running(job)
    victim = cluster.task_manager_of(job, "writer")
    cluster.pause_task_manager(victim)
    assert victim.alive
    assert "timed out" in str(cluster.wait_failure(job, timeout_s=30))
    cluster.resume_task_manager(victim)
    cluster.wait_ready()
    cluster.wait_running(job)


def test_killed_job_manager_cannot_be_replaced(cluster: FlinkCluster) -> None:
    before = [each.pid for each in cluster.task_managers]
    cluster.kill_job_manager()
    cluster.start_job_manager()
    cluster.wait_ready()
    assert [each.pid for each in cluster.task_managers if each.alive] == before
    assert cluster.jobs() == {}


def test_task_manager_that_cannot_start_is_waited_for(tmp_path: Path) -> None:
    broken = FlinkCluster(tmp_path, task_managers=1, config={"heartbeat.timeout": "nonsense"})
    with pytest.raises(ProcessError, match="nonsense"):
        broken.start()


def test_jvms_survive_the_sigkill_of_their_owner(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert owner.stdout is not None
    with owner.stdout:
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert len(pids) == 2
        assert all(Path(f"/proc/{pid}/cmdline").read_bytes().count(b"flink") for pid in pids)
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait(10)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10, "JVMs' end")
