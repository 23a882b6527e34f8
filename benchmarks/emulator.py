"""The emulator's speed, memory and start-up, driven by Microsoft's SDK; exit 1 below a line.

Everything is measured from outside a process of its own: the seconds are those that a client waits,
memory is the process's highest resident size (VmHWM). Data is written before the clock starts.
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
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from azure.kusto.data import KustoClient, KustoConnectionStringBuilder

from exactly_once_kusto.emulator.process import EmulatorProcess

ROWS = 10_000_000
FILES = 10
EXTENTS = 2_000
EXTENT_ROWS = 1_000
CLIENTS = 8
COUNTS = 15
STARTS = 3
SCHEMA = "id:long, at:datetime, name:string, amount:real, kind:int"


@dataclass(frozen=True)
class Line:
    """One figure, and the line that it must keep."""

    what: str
    measured: float
    line: float
    unit: str
    most: bool = True

    @property
    def kept(self) -> bool:
        return self.measured <= self.line if self.most else self.measured >= self.line

    def __str__(self) -> str:
        side = "at most" if self.most else "at least"
        verdict = "" if self.kept else "  BELOW THE LINE"
        return f"{self.what}: {self.measured:,.4g} {self.unit} ({side} {self.line:g}){verdict}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--extents", type=int, default=EXTENTS)
    given = parser.parse_args()
    print(
        f"python {platform.python_version()}, duckdb {version('duckdb')}, "
        f"{os.cpu_count()} cores, {given.rows:,} rows, {given.extents:,} extents"
    )
    directory = Path(tempfile.mkdtemp(prefix="emulator-bench-"))
    lines: list[Line] = []
    try:
        report(lines, Line("start-up, median", start_up(directory), 2.0, "s"))
        with EmulatorProcess(directory / "kusto") as process:
            client = KustoClient(KustoConnectionStringBuilder(process.cluster))
            large(client, directory, given.rows, lines)
            small(client, process, directory, given.extents, lines)
            report(lines, Line("memory, highest", peak_mb(process.pid), 1000.0, "MB"))
            client.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0 if all(line.kept for line in lines) else 1


def report(lines: list[Line], line: Line) -> None:
    lines.append(line)
    print(line, flush=True)


def start_up(directory: Path) -> float:
    """Median seconds from starting the process until it has answered a query."""
    seconds = []
    for i in range(STARTS):
        begun = time.monotonic()
        with EmulatorProcess(directory / f"start-{i}") as process:
            client = KustoClient(KustoConnectionStringBuilder(process.cluster))
            client.execute("Demo", "print 1")
            seconds.append(time.monotonic() - begun)
            client.close()
    return statistics.median(seconds)


def large(client: KustoClient, directory: Path, rows: int, lines: list[Line]) -> None:
    """One command over ten files, and the count of what it brought."""
    each = rows // FILES
    paths = [write(directory / f"large-{i}.parquet", i * each, each) for i in range(FILES)]
    client.execute("Demo", f".create table Large ({SCHEMA})")
    sources = ", ".join(f"'{path}'" for path in paths)
    command = f".ingest into table Large ({sources}) with (format='parquet')"
    begun = time.monotonic()
    client.execute("Demo", command)
    seconds = time.monotonic() - begun
    report(lines, Line(f"ingest of {rows:,} rows from Parquet", seconds, 10.0, "s"))
    expect(client, "Large | count", each * FILES)
    report(lines, Line("count over them, median", counted_ms(client, "Large | count"), 20.0, "ms"))


def small(
    client: KustoClient, process: EmulatorProcess, directory: Path, extents: int, lines: list[Line]
) -> None:
    """Tagged commands of a thousand rows from eight clients, and the count over their extents."""
    path = write(directory / "small.parquet", 0, EXTENT_ROWS)
    client.execute("Demo", f".create table Small ({SCHEMA})")

    def ingest(worker: int) -> None:
        own = KustoClient(KustoConnectionStringBuilder(process.cluster))
        for i in range(worker, extents, CLIENTS):
            own.execute(
                "Demo",
                f".ingest into table Small ('{path}') with (format='parquet', "
                f"tags='[\"ingest-by:t{i}\"]', ingestIfNotExists='[\"t{i}\"]')",
            )
        own.close()

    begun, spent = time.monotonic(), processor_s(process.pid)
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ingest, range(CLIENTS)))
    rate = extents / (time.monotonic() - begun)
    each_ms = (processor_s(process.pid) - spent) / extents * 1000
    # Unlike the rate it says something on a machine that does other work too.
    print(f"the server's processor time for each: {each_ms:.1f} ms", flush=True)
    what = f"tagged ingest commands from {CLIENTS} clients"
    report(lines, Line(what, rate, 100.0, "a second", most=False))
    expect(client, "Small | count", extents * EXTENT_ROWS)
    what = f"count over {extents:,} extents, median"
    report(lines, Line(what, counted_ms(client, "Small | count"), 20.0, "ms"))


def write(path: Path, first: int, rows: int) -> Path:
    """A Parquet file of SCHEMA's columns."""
    ids = pa.array(range(first, first + rows), pa.int64())
    table = pa.table(
        {
            "id": ids,
            "at": ids.cast(pa.timestamp("us")),
            "name": ids.cast(pa.string()),
            "amount": ids.cast(pa.float64()),
            "kind": pa.array([i % 100 for i in range(rows)], pa.int32()),
        }
    )
    pq.write_table(table, path, compression="snappy")
    return path


def expect(client: KustoClient, query: str, value: int) -> None:
    """Raises where the figures would be those of a wrong answer."""
    found = one(client, query)
    if found != value:
        raise RuntimeError(f"'{query}' gave {found}, not {value}")


def one(client: KustoClient, query: str) -> object:
    return client.execute("Demo", query).primary_results[0][0][0]


def counted_ms(client: KustoClient, query: str) -> float:
    return median_ms(lambda: one(client, query))


def median_ms(call: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(COUNTS):
        begun = time.monotonic()
        call()
        seconds.append(time.monotonic() - begun)
    return statistics.median(seconds) * 1000


def processor_s(pid: int) -> float:
    """Seconds of processor time that the process has used, the kernel's for it included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    """VmHWM of the process and of whatever it has started."""
    total = 0.0
    pids = [pid]
    while pids:
        each = pids.pop()
        try:
            status = Path(f"/proc/{each}/status").read_text()
            # Each thread has its own list of what it has started.
            tasks = Path(f"/proc/{each}/task").iterdir()
            children = " ".join((task / "children").read_text() for task in tasks)
        except OSError:
            continue
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        total += int(found[1]) / 1024 if found else 0.0
        pids += [int(child) for child in children.split()]
    return total


if __name__ == "__main__":
    sys.exit(main())
