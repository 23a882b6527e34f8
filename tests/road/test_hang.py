"""Workers that are stopped, not dead: found by their silence within the configured time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from exactly_once_kusto.cluster import FlinkCluster

from .road import Road, differences, expected
from .test_kills import worker_pids

pytestmark = pytest.mark.flink

TIMEOUT_S = 3.0


@pytest.mark.slow
def test_stopped_workers_are_killed_within_the_configured_time(
    road: Road, cluster: FlinkCluster
) -> None:
    job = road.submit(rows=20_000, rate=1500, options={"heartbeat-timeout": f"{TIMEOUT_S:.0f} s"})
    for restarts, role in enumerate(["writer", "coordinator"], 1):
        seen = road.count()
        road.wait(lambda seen=seen: road.count() > seen + 1000, "rows that are in")
        pid = worker_pids(cluster, role)[0]
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        road.wait(
            lambda role=role, wanted=restarts: len(silent(cluster, job)) >= wanted,
            f"the silence of a {role} to be noticed",
            timeout_s=TIMEOUT_S + 10,
        )
        took_s = time.monotonic() - began
        print(f"{role}: noticed after {took_s:.1f} s ('heartbeat-timeout' {TIMEOUT_S:.0f} s)")
        assert TIMEOUT_S - 1 < took_s < TIMEOUT_S + 5
        road.wait(lambda pid=pid: not Path(f"/proc/{pid}").exists(), "the stopped one to be gone")
    road.finished(job)
    assert differences(road.rows(), expected(20_000)) == {}


def silent(cluster: FlinkCluster, job: str) -> list[str]:
    told = [cause.stacktrace for cause in cluster.exceptions(job)]
    return [text for text in told if "sent nothing for 3.0 s" in text]
