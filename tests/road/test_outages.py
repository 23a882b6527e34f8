"""Kusto, or staging, is gone for a while: the job goes on, and afterwards everything is in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exactly_once_kusto.cluster import FlinkCluster, wait_until
from exactly_once_kusto.emulator.azurite import Azurite
from tests.small_disk import small_disk

from .road import Road, differences, expected

pytestmark = pytest.mark.flink


def metric(cluster: FlinkCluster, job: str, name: str) -> float:
    """A gauge of the coordinator, as Flink's REST shows it."""

    def value() -> list[float]:
        names = cluster.metric_names(job, "Coordinator")
        found = [each for each in names if each.endswith(f".{name}")]
        return list(cluster.metrics(job, "Coordinator", found).values()) if found else []

    return wait_until(value, 30.0, f"the metric {name}")[0]


def outage(road: Road, cluster: FlinkCluster, job: str, seconds: float) -> tuple[int, int]:
    """Take Kusto away by the clock, its last reply lost; return the first and last checkpoint."""
    road.kusto.faults.set({"on": "ingest", "do": "drop-reply", "times": 1})
    road.kusto.faults.wait_fired(1, timeout_s=20)
    road.kusto.kill()
    began, before = time.monotonic(), cluster.checkpoints(job)
    road.wait(lambda: time.monotonic() - began >= seconds, "the outage to end", seconds + 10)
    after = cluster.checkpoints(job)
    done = after.completed - before.completed
    oldest_s = metric(cluster, job, "oldestWaitingSliceAge")
    waiting = metric(cluster, job, "waitingSlices")
    print(
        f"outage of {time.monotonic() - began:.0f} s: {done} checkpoints completed, "
        f"{after.failed - before.failed} failed; {waiting:.0f} slices wait, the oldest for "
        f"{oldest_s:.0f} s"
    )
    assert after.failed == before.failed, "a checkpoint failed"
    assert done >= 0.9 * (seconds - 1), "checkpoints became rarer"
    assert oldest_s >= seconds - 5
    road.kusto.restart()
    return before.completed, before.completed + done


def commands_for(road: Road, first: int, last: int) -> tuple[int, int]:
    """How many commands put how many slices of these checkpoints into the table."""
    groups = [
        [s.checkpoint for s in t.transaction.slices if first < s.checkpoint <= last]
        for t in road.ledger().transactions.values()
    ]
    touched = [group for group in groups if group]
    return len(touched), sum(map(len, touched))


def go_through(road: Road, cluster: FlinkCluster, seconds: int) -> None:
    rows = (seconds + 15) * 1000
    job = road.submit(rows=rows, rate=1000)
    road.wait(lambda: road.count() > 2000, "the first rows")
    first, last = outage(road, cluster, job, seconds)
    road.finished(job)
    assert differences(road.rows(), expected(rows)) == {}
    assert cluster.checkpoints(job).restored == 0, "the job was restarted by an outage of Kusto"
    commands, slices = commands_for(road, first, last)
    print(f"{slices} slices of the outage went in with {commands} commands")
    assert slices >= 0.9 * (seconds - 2)
    assert commands * 5 <= slices, "slices were not grouped"


@pytest.mark.staging("azurite")
def test_kusto_gone_for_20_seconds_with_its_last_reply_lost(
    road: Road, cluster: FlinkCluster
) -> None:
    go_through(road, cluster, 20)


@pytest.mark.slow
@pytest.mark.staging("file", "azurite")
def test_kusto_gone_for_two_minutes(road: Road, cluster: FlinkCluster) -> None:
    go_through(road, cluster, 120)


@pytest.mark.slow
def test_too_much_waiting_holds_the_writers_back_without_failing_a_checkpoint(
    road: Road, cluster: FlinkCluster
) -> None:
    """The limit is five slices, half a checkpoint's timeout is eight seconds."""
    rows = 40_000
    job = road.submit(
        rows=rows,
        rate=2000,
        options={"pending-slices-max": "5"},
        config={"execution.checkpointing.timeout": "16 s"},
    )
    road.wait(lambda: road.count() > 2000, "the first rows")
    road.kusto.kill()
    before = cluster.checkpoints(job)
    road.wait(
        lambda: "writers are held back" in cluster.all_logs(400_000),
        "the warning in the TaskManager's log",
    )
    assert "'pending-slices-max'" in cluster.all_logs(400_000)
    road.wait(lambda: metric(cluster, job, "writersHeldBack") == 1.0, "the metric to say so")
    held = cluster.checkpoints(job).completed
    began = time.monotonic()
    road.wait(
        lambda: cluster.checkpoints(job).completed >= held + 2, "two more, slow checkpoints", 60
    )
    took_s = time.monotonic() - began
    print(f"held back: two checkpoints took {took_s:.1f} s")
    assert took_s > 6, "rows went on as before"
    assert cluster.checkpoints(job).failed == before.failed, "a checkpoint failed meanwhile"
    road.kusto.restart()
    road.finished(job)
    assert cluster.checkpoints(job).restored == 0
    assert differences(road.rows(), expected(rows)) == {}


TOLERANT = {
    "execution.checkpointing.timeout": "4 s",
    "execution.checkpointing.tolerable-failed-checkpoints": "100",
}


def fails_checkpoints_only(road: Road, cluster: FlinkCluster, job: str, before: int) -> None:
    road.wait(lambda: cluster.checkpoints(job).failed >= before + 2, "two checkpoints to fail", 60)
    assert cluster.job_state(job) == "RUNNING"


@pytest.mark.staging("azurite", "only")
def test_blob_storage_that_hangs_fails_checkpoints_and_not_the_job(
    road: Road, cluster: FlinkCluster, azurite: Azurite
) -> None:
    rows = 25_000
    job = road.submit(rows=rows, rate=1000, config=TOLERANT)
    road.wait(lambda: road.count() > 1000, "the first rows")
    before = cluster.checkpoints(job)
    azurite.pause()
    try:
        fails_checkpoints_only(road, cluster, job, before.failed)
    finally:
        azurite.resume()
    road.finished(job)
    assert cluster.checkpoints(job).restored == 0, "an outage of staging restarted the job"
    assert differences(road.rows(), expected(rows)) == {}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", "4m") as place:
        yield place


@pytest.mark.slow
def test_a_full_disk_fails_checkpoints_and_not_the_job(
    road: Road, cluster: FlinkCluster, disk: Path
) -> None:
    rows = 20_000
    staging = {"staging": disk.as_uri()}
    job = road.submit(rows=rows, rate=1000, options=staging, config=TOLERANT)
    road.wait(lambda: road.count() > 1000, "the first rows")
    before = cluster.checkpoints(job)
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                break
    fails_checkpoints_only(road, cluster, job, before.failed)
    filler.unlink()
    road.finished(job)
    assert cluster.checkpoints(job).restored == 0, "a full disk restarted the job"
    assert differences(road.rows(), expected(rows)) == {}
