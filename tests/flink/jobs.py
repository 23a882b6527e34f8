"""Table environments of a local MiniCluster, and what failed in them."""

from __future__ import annotations

import gc
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment, TableResult

from exactly_once_kusto.flink import register
from tests.flink.directory_sink import FACTORY
from tests.flink.worker_process import environment

JOB_MS_MAX = 120_000


def stream_env(parallelism: int = 1, **options: str) -> StreamExecutionEnvironment:
    """Streaming, checkpoints every 200 ms, no restarts; `options` override by key with _ for '.'"""
    config = Configuration()
    defaults = {
        "restart-strategy.type": "none",
        "execution.checkpointing.interval": "200 ms",
        "parallelism.default": str(parallelism),
    }
    for key, value in (defaults | {k.replace("_", "."): v for k, v in options.items()}).items():
        if value:
            config.set_string(key, value)
    return StreamExecutionEnvironment.get_execution_environment(config)


def start_jvm() -> None:
    """Start this process's one JVM; what PyFlink leaves open meanwhile is its own affair."""
    os.environ["PYTHONPATH"] = environment()["PYTHONPATH"]
    # Not inside this process, where Beam would be imported with all its warnings.
    os.environ["_python_worker_execution_mode"] = "process"  # noqa: SIM112
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        get_gateway()
        gc.collect()


def table_env(parallelism: int = 1, **options: str) -> StreamTableEnvironment:
    tables = StreamTableEnvironment.create(stream_env(parallelism, **options))
    register(tables)
    return tables


def sink_ddl(columns: str, folder: Path, **options: str) -> str:
    """DDL of table `k` on the directory sink; `options` are keys with _ for '.'"""
    given = {
        "connector": "two-phase-python",
        "factory": FACTORY,
        "name": "t",
        "options.folder": str(folder),
    } | {key.replace("_", "."): value for key, value in options.items()}
    listed = ", ".join(f"'{key}' = '{value}'" for key, value in given.items())
    return f"CREATE TABLE k ({columns}) WITH ({listed})"


def run(tables: StreamTableEnvironment, insert: str) -> None:
    tables.execute_sql(insert).wait(JOB_MS_MAX)


@contextmanager
def running(tables: StreamTableEnvironment, insert: str) -> Iterator[TableResult]:
    """An unbounded job, cancelled at the end unless it has failed by itself."""
    result = tables.execute_sql(insert)
    try:
        yield result
    finally:
        with suppress(Py4JJavaError):  # it has ended by itself
            result.get_job_client().cancel().result()


def causes(error: Py4JJavaError) -> str:
    """All messages of a Java exception and its causes."""
    messages, cause = [], error.java_exception
    while cause is not None:
        messages.append(f"{cause.getClass().getName()}: {cause.getMessage()}")
        cause = cause.getCause()
    return "\n".join(messages)


def workers() -> Iterator[tuple[int, str]]:
    """Pid and command line of all workers of this process's JVM."""
    jvm = int(get_gateway().jvm.java.lang.ProcessHandle.current().pid())
    for folder in Path("/proc").iterdir():
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, IndexError):
            continue
        if int(stat[1]) == jvm and stat[0] not in "ZX" and "exactly_once_kusto.flink" in command:
            yield int(folder.name), command


def threads_of_workers() -> list[str]:
    """Names of the JVM's threads that serve workers."""
    names = [t.getName() for t in get_gateway().jvm.Thread.getAllStackTraces().keySet()]
    ends = (" reader", " sender", " watch", " stderr")
    return [
        n for n in names if n.startswith(("writer", "coordinator", "check")) and n.endswith(ends)
    ]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
