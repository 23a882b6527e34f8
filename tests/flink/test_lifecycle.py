"""How a job begins, what can be seen of it while it runs, and how it is given up."""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.flink
pytest.importorskip("pyflink")

from py4j.protocol import Py4JJavaError  # noqa: E402
from pyflink.common import Types  # noqa: E402
from pyflink.java_gateway import get_gateway  # noqa: E402

from exactly_once_kusto.cluster import wait_until  # noqa: E402
from exactly_once_kusto.flink import attach  # noqa: E402
from tests.flink import jobs  # noqa: E402
from tests.flink.directory_sink import DirectorySink, ledger, visible  # noqa: E402

GAUGES = ("waitingSlices", "waitingBytes", "oldestWaitingSliceAge", "committedTransactions")


@pytest.fixture(scope="module", autouse=True)
def jvm():
    jobs.start_jvm()


def test_an_interpreter_that_starts_slowly_is_not_taken_for_hung(tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nsleep 2.5\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    out = tmp_path / "out"
    tables = jobs.table_env()
    options = {"heartbeat-timeout": "1 s", "python": str(python)}
    tables.execute_sql(jobs.sink_ddl("id BIGINT", out, **options))
    jobs.run(tables, "INSERT INTO k VALUES (1)")
    assert visible(out)["id"].to_pylist() == [1]


def test_gauges_of_the_coordinator_can_be_read_by_rest(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {"rest_bind-port": str(port), "metrics_fetcher_update-interval": "50"}
    tables = jobs.table_env(**config)
    tables.execute_sql(
        "CREATE TEMPORARY TABLE s (id BIGINT) WITH "
        "('connector' = 'datagen', 'rows-per-second' = '100')"
    )
    tables.execute_sql(jobs.sink_ddl("id BIGINT", tmp_path))
    with jobs.running(tables, "INSERT INTO k SELECT id FROM s") as result:
        job = result.get_job_client().get_job_id()
        address = f"http://127.0.0.1:{port}/jobs/{job}"
        vertices = rest(address)["vertices"]
        (coordinator,) = [v["id"] for v in vertices if v["name"].endswith("Coordinator")]
        asked = f"{address}/vertices/{coordinator}/metrics"

        def seen() -> dict[str, float]:
            names = [m["id"] for m in rest(asked) if m["id"].endswith(GAUGES)]
            found = rest(f"{asked}?get={','.join(names)}") if names else []
            return {m["id"].rpartition(".")[2]: float(m["value"]) for m in found}

        wait_until(lambda: seen().get("committedTransactions", 0) > 1, 30, "the gauge moves")
        assert set(seen()) == set(GAUGES)


def rest(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)


def translated(folder: Path, **config: str) -> tuple[Any, Any]:
    """An environment and the graph of its job, which can still be changed."""
    env = jobs.stream_env(**config)
    stream = env.from_collection([(1,), (2,)], Types.ROW_NAMED(["id"], [Types.LONG()]))
    stream.sink_to(attach(DirectorySink("t", str(folder)), env))
    return env._j_stream_execution_environment, env._generate_stream_graph()


def test_a_job_that_runs_in_another_mode_than_it_was_translated_for_is_refused(tmp_path):
    mode = get_gateway().jvm.org.apache.flink.runtime.jobgraph.JobType.BATCH
    env, graph = translated(tmp_path, **{"execution_runtime-mode": "STREAMING"})
    graph.setJobType(mode)
    with pytest.raises(Py4JJavaError) as failed:
        env.execute(graph)
    assert "the job runs in batch mode, but was translated for the other" in jobs.causes(
        failed.value
    )
    assert ledger(tmp_path) == []


def test_a_batch_is_given_up_at_its_first_failure_unless_restarts_are_configured(tmp_path):
    """Flink's own default, on which docs/architecture.md rests."""
    config = {"execution_runtime-mode": "BATCH", "restart-strategy_type": ""}
    tables = jobs.table_env(**config)
    tables.execute_sql(jobs.sink_ddl("id BIGINT", tmp_path, options_trouble="raise"))
    with pytest.raises(Py4JJavaError) as failed:
        jobs.run(tables, "INSERT INTO k VALUES (1)")
    assert "suppressed by NoRestartBackoffTimeStrategy" in jobs.causes(failed.value)


def test_speculative_execution_never_starts_a_second_writer_or_coordinator(tmp_path):
    _, graph = translated(tmp_path, **{"execution_runtime-mode": "BATCH"})
    allowed = {
        node.getOperatorName().rpartition(": ")[2]: node.isSupportsConcurrentExecutionAttempts()
        for node in graph.getStreamNodes().toArray()
    }
    assert allowed["Writer"] is False
    assert allowed["Coordinator"] is False
