"""An ingest that takes three times any timeout of ours: adopted and awaited, not started again."""

from __future__ import annotations

import pytest

from exactly_once_kusto.cluster import FlinkCluster

from .road import Road, differences, expected

pytestmark = pytest.mark.flink

# The access outlives the ingest: Kusto would read the blobs early, the emulator reads them late.
TIMEOUTS = {"settle": "3 s", "commit-wait": "1 s", "access-lifetime": "60 s"}
LONG_S = 20.0


@pytest.mark.slow
@pytest.mark.staging("azurite")
def test_a_long_ingest_whose_reply_was_lost_is_adopted_after_a_kill_and_not_repeated(
    road: Road, cluster: FlinkCluster
) -> None:
    road.kusto.faults.set(
        {"on": "ingest", "do": "drop-reply", "times": 1},
        {"on": "ingest", "do": "delay-apply", "seconds": LONG_S, "times": 1},
    )
    job = road.submit(rows=3000, rate=3000, options=TIMEOUTS)
    road.kusto.faults.wait_fired(1, timeout_s=30)
    road.wait(road.open_transactions, "an intent")
    road.kill_task_manager_of(job, "Coordinator")
    road.finished(job, 120)
    assert differences(road.rows(), expected(3000)) == {}
    transactions = road.ledger().transactions.values()
    first = next(iter(transactions))
    assert len(first.attempts) == 1, "the long ingest was not awaited"
    assert road.ingestions() == len(transactions), "an ingest was started again"
    assert first.committed is not None
    assert first.committed.time - first.intended_at >= LONG_S - 1
