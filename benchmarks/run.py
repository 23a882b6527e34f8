"""Speed and checkpoints against `blackhole`, memory, an outage; exit 1 below a line.

Each pair runs both jobs one after the other on one cluster; the figure is the median ratio of five
pairs, so that a machine whose speed drifts does not decide.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import statistics
import sys
import tempfile
import threading
from importlib.metadata import version
from pathlib import Path

from benchmarks import outage
from exactly_once_kusto.cluster import FlinkCluster

ROWS = 5_000_000
RATIO_MIN = 0.60
MEMORY_MAX_MB = 300.0
MEMORY_ROWS = (1_000_000, 20_000_000)
CHECKPOINT_ROWS = 40_000_000
CHECKPOINT_INTERVAL = "500 ms"
JOB_TIMEOUT_S = 300.0
ROOT = Path(__file__).parent.parent


class Bench:
    """A cluster with one TaskManager, and the jobs that are timed on it."""

    def __init__(self, cluster: FlinkCluster, directory: Path) -> None:
        self.cluster = cluster
        self.directory = directory
        self.count = 0
        self.job = ""
        """The last job that was run."""

    def run(self, rows: int, sink: bool, interval: str) -> tuple[float, float]:
        """Run one job; return its seconds by Flink's clock and its workers' peak memory in MB."""
        self.count += 1
        staging = self.directory / f"staging-{self.count}"
        staging.mkdir()
        args = ["--rows", str(rows), "--interval", interval]
        args += ["--staging", staging.as_uri()] if sink else []
        peak = PeakMemory(self.cluster)
        job = self.cluster.run_python(ROOT / "benchmarks" / "job.py", args=args, client="python")
        self.job = job
        self.cluster.wait_for(job, {"FINISHED"}, JOB_TIMEOUT_S)
        peak.stop()
        shutil.rmtree(staging)
        seconds = self.cluster.rest.get(f"/jobs/{job}")["duration"] / 1000
        return seconds, peak.megabytes


class PeakMemory:
    """The highest VmHWM of any Python worker below the TaskManagers, polled until `stop`."""

    def __init__(self, cluster: FlinkCluster) -> None:
        self.megabytes = 0.0
        self._cluster = cluster
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join(10)

    def _poll(self) -> None:
        while not self._done.wait(0.1):
            pids = [pid for tm in self._cluster.task_managers for pid in tm.children()]
            self.megabytes = max([self.megabytes, *map(_peak_mb, pids)])


def _peak_mb(pid: int) -> float:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found and b"exactly_once_kusto" in command else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--only", choices=["speed", "checkpoints", "memory", "outage"])
    given = parser.parse_args()
    print(
        f"python {platform.python_version()}, apache-flink {version('apache-flink')}, "
        f"pyarrow {version('pyarrow')}, {os.cpu_count()} cores"
    )
    directory = Path(tempfile.mkdtemp(prefix="exactly-once-kusto-bench-"))
    failed = []
    try:
        # Workers import this package's benchmarks; TaskManagers give them their environment.
        env = {"PYTHONPATH": str(ROOT)}
        with FlinkCluster(directory / "flink", task_managers=1, slots=2, env=env) as cluster:
            bench = Bench(cluster, directory)
            if given.only in (None, "speed"):
                failed += speed(bench, given.pairs, given.rows)
            if given.only in (None, "checkpoints"):
                checkpoints(bench)
            if given.only in (None, "memory"):
                failed += memory(bench)
            if given.only in (None, "outage"):
                print(outage.measure(cluster, directory), flush=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    for line in failed:
        print(f"below the line: {line}")
    return 1 if failed else 0


def speed(bench: Bench, pairs: int, rows: int) -> list[str]:
    bench.run(rows // 5, sink=True, interval="2 s")  # warm-up: class loading, page cache
    ratios = []
    for pair in range(1, pairs + 1):
        black, _ = bench.run(rows, sink=False, interval="2 s")
        ours, peak = bench.run(rows, sink=True, interval="2 s")
        ratios.append(black / ours)
        print(
            f"pair {pair}: blackhole {rows / black:,.0f} rows/s, this sink {rows / ours:,.0f} "
            f"rows/s, ratio {black / ours:.2f}, worker peak {peak:.0f} MB",
            flush=True,
        )
    median = statistics.median(ratios)
    print(f"rate against blackhole, median of {pairs} pairs: {median:.2f} (line {RATIO_MIN})")
    return [] if median >= RATIO_MIN else [f"rate {median:.2f} of blackhole's"]


def checkpoints(bench: Bench) -> None:
    """Print how long checkpoints take at full load, from trigger to completion (Flink's words)."""
    for sink in (False, True):
        bench.run(CHECKPOINT_ROWS, sink, CHECKPOINT_INTERVAL)
        summary = bench.cluster.rest.get(f"/jobs/{bench.job}/checkpoints")
        took, count = summary["summary"]["end_to_end_duration"], summary["counts"]["completed"]
        print(
            f"checkpoints at full load, {'this sink' if sink else 'blackhole'}: {count} completed, "
            f"p50 {float(took['p50']):.0f} ms, p99 {float(took['p99']):.0f} ms",
            flush=True,
        )


def memory(bench: Bench) -> list[str]:
    failed = []
    for rows in MEMORY_ROWS:
        _, peak = bench.run(rows, sink=True, interval="10 min")
        print(f"{rows:,} rows in one checkpoint: worker peak {peak:.0f} MB", flush=True)
        if not 0 < peak < MEMORY_MAX_MB:
            failed.append(f"worker peak {peak:.0f} MB with {rows:,} rows in one checkpoint")
    return failed


if __name__ == "__main__":
    sys.exit(main())
