"""Small slices together, held back; large ones cut; all of it through a kill."""

from __future__ import annotations

import pytest

from exactly_once_kusto.cluster import FlinkCluster

from .road import Road, differences, expected

pytestmark = pytest.mark.flink

MB = 1 << 20
LABEL = "a" * 800
WIDE = {"columns": "n BIGINT, label STRING", "select": "n, REPEAT('a', 800)"}


@pytest.mark.slow
def test_slices_that_are_held_back_go_together_and_a_kill_meanwhile_loses_none(
    road: Road, cluster: FlinkCluster
) -> None:
    rows = 12_000
    job = road.submit(rows=rows, rate=1000, parallelism=1, options={"hold-age": "4 s"}, **WIDE)
    road.wait(road.committed, "the first commit")
    seen = cluster.checkpoints(job).completed
    road.wait(lambda: cluster.checkpoints(job).completed >= seen + 2, "slices that are held back")
    assert not road.open_transactions()
    road.kill_task_manager_of(job, "Coordinator")
    road.finished(job)
    assert differences(road.rows(), expected(rows, LABEL)) == {}
    groups = [len(known.transaction.slices) for known in road.ledger().transactions.values()]
    print(f"slices in each command: {groups}")
    assert max(groups) >= 3, "slices were not grouped"


@pytest.mark.slow
def test_a_checkpoint_that_is_too_large_for_one_command_is_cut(
    road: Road, cluster: FlinkCluster
) -> None:
    """Eight megabytes a checkpoint, five a command; parts have two and a bit."""
    rows = 40_000
    options = {"part-size": "1 mb", "group-size": "5 mb"}
    job = road.submit(rows=rows, rate=10_000, parallelism=1, options=options, **WIDE)
    road.finished(job)
    assert differences(road.rows(), expected(rows, LABEL)) == {}
    transactions = [known.transaction for known in road.ledger().transactions.values()]
    sizes = [sum(piece.raw_bytes for piece in t.slices) for t in transactions]
    print(f"bytes in each command: {sizes}")
    assert max(sizes) <= 5 * MB, "a command is over the limit"
    checkpoints = [piece.checkpoint for t in transactions for piece in t.slices]
    assert len(checkpoints) > len(set(checkpoints)), "no slice was cut: the test shows nothing"
