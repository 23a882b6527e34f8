"""What may be changed between a savepoint and its restore, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from exactly_once_kusto.cluster import FlinkCluster

from .road import Road, differences, expected

pytestmark = pytest.mark.flink

ROWS = 60_000  # more than the first run reads, also on a busy machine


@pytest.mark.slow
def test_slices_go_where_they_were_sealed_for_and_a_changed_name_or_staging_is_refused(
    road: Road, cluster: FlinkCluster, tmp_path: Path
) -> None:
    """The savepoint holds slices of table T; the job goes on into U, in small parts, held back."""
    road.create_table("U", "n:long, label:string")
    road.hold_ingests(after=1)
    job = road.submit(rows=ROWS, rate=1000, parallelism=1, options={"commit-wait": "100 ms"})
    road.wait(lambda: road.committed() and road.open_transactions(), "an ingest that runs")
    savepoint = cluster.stop_with_savepoint(job)
    assert road.open_transactions(), "nothing was pending: the test shows nothing"
    road.kusto.faults.clear()

    entries = road.ledger().position
    road.name = "renamed"
    text = road.failed(road.submit(rows=ROWS, parallelism=1, from_savepoint=savepoint))
    assert "option 'name' was changed" in text
    assert road.ledger().position == 0, "a refused start left a trace"
    road.name = "road"
    elsewhere = {"staging": (tmp_path / "elsewhere").as_uri()}
    text = road.failed(
        road.submit(rows=ROWS, parallelism=1, options=elsewhere, from_savepoint=savepoint)
    )
    assert "option 'staging' was changed" in text
    assert road.ledger().position == entries, "a refused start left a trace"

    changed = {"table": "U", "part-size": "1 mb", "hold-age": "3 s", "commit-wait": "1 s"}
    job = road.submit(
        rows=ROWS, rate=20_000, parallelism=1, options=changed, from_savepoint=savepoint
    )
    road.finished(job)
    old, new = road.rows(), road.rows("U | project n, label")
    assert differences(old + new, expected(ROWS)) == {}
    last_old = max(n for n, _ in old)
    assert last_old < min(n for n, _ in new), "a slice went into the other table"


def test_a_function_added_before_the_sink_leaves_its_uid_and_its_slices_alone(
    road: Road, cluster: FlinkCluster
) -> None:
    """The savepoint holds slices; the program that is started from it has one operator more."""
    rows, program = 15_000, Path(__file__).with_name("uids_job.py")
    args = ["--cluster", road.kusto.cluster, "--staging", road.kusto.staging, "--rows", rows]
    road.hold_ingests(after=1)
    job = cluster.run_python(program, [*args, "--rate", 500])
    road.wait(lambda: road.committed() and road.open_transactions(), "an ingest that runs")
    savepoint = cluster.stop_with_savepoint(job)
    assert road.open_transactions(), "nothing was pending: the test shows nothing"
    road.kusto.faults.clear()

    job = cluster.run_python(program, [*args, "--rate", 8000, "--longer"], from_savepoint=savepoint)
    road.finished(job)
    seen = road.rows()
    first = min(n for n, label in seen if label == "after")
    assert first > 0, "the state of the source was lost"
    assert differences(seen, expected(first, "before") + expected(rows, "after", first)) == {}
    assert len({known.lineage for known in road.ledger().transactions.values()}) == 1
