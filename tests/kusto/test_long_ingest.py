"""An ingest that outlasts every timeout of ours is awaited, not started again; then done once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from exactly_once_kusto.storage.address import AZURITE_KEY, open_store
from tests.kusto.conftest import rows, stage
from tests.kusto.coordinator_process import (
    CoordinatorProcess,
    await_committed,
    await_intent,
)
from tests.kusto.impatient import ACCESS_LIFETIME_S, ANSWER_TIMEOUT_S, OPTIONS, SETTLE_S

LONG_S = 3 * max(ANSWER_TIMEOUT_S, SETTLE_S)
LONGER_S = 3 * max(LONG_S / 3, ACCESS_LIFETIME_S)
"""Where access expires, it is one of the timeouts."""
TOO_LATE_S = 1.5 * ACCESS_LIFETIME_S


@pytest.fixture
def azurite_sink(kusto, azurite):
    table = kusto.table()
    return kusto.sink(table, staging=f"{azurite.container('long')}/{table.lower()}", **OPTIONS)


def ingestions(kusto, sink) -> int:
    """How many ingest operations the table has seen."""
    shown = kusto.command(".show commands | where CommandType == 'DataIngestPull'")
    return sum(f"['{sink.table}']" in each["Text"] for each in shown)


@pytest.mark.parametrize(("staging", "long_s"), [("file", LONG_S), ("azurite", LONGER_S)])
def test_a_reply_that_comes_too_late_leaves_one_ingest_that_is_awaited(
    kusto, request, tmp_path, staging, long_s
):
    local = staging == "file"
    sink = (
        kusto.sink(kusto.table(), **OPTIONS) if local else request.getfixturevalue("azurite_sink")
    )
    kusto.emulator.faults.set(
        {"on": "ingest", "do": "delay-reply", "seconds": 60},
        {"on": "ingest", "do": "delay-commit", "seconds": long_s},
    )
    with CoordinatorProcess(sink, tmp_path) as coordinator:
        coordinator.checkpoint(stage(sink, rows((1, "a"), (2, "b"))))
        known = await_committed(sink, coordinator)
        assert "Read timed out" in coordinator.stderr(), "the reply came in time"
    assert known.committed.time - known.intended_at >= long_s
    assert len(known.attempts) == 1
    assert ingestions(kusto, sink) == 1
    assert kusto.query(f"{sink.table} | count") == [{"Count": 2}]


@pytest.mark.parametrize("reply", ["kept", "lost"])
def test_a_second_process_adopts_what_the_first_has_sent(kusto, azurite_sink, tmp_path, reply):
    sink = azurite_sink
    slow = {"on": "ingest", "do": "delay-commit", "seconds": LONGER_S}
    lost = [{"on": "ingest", "do": "drop-reply"}] if reply == "lost" else []
    kusto.emulator.faults.set(slow, *lost)
    with CoordinatorProcess(sink, tmp_path) as first:
        state = first.checkpoint(stage(sink, rows((1, "a"), (2, "b"))))
        await_intent(sink)
        kusto.emulator.faults.wait_fired(1 + len(lost))
        first.kill()
    with CoordinatorProcess(sink, tmp_path, state) as second:
        second.complete()
        known = await_committed(sink, second)
        assert "was begun before" in second.stderr()
    assert known.committed.time - known.intended_at >= LONGER_S
    assert len(known.attempts) == 1
    assert ingestions(kusto, sink) == 1
    assert kusto.query(f"{sink.table} | count") == [{"Count": 2}]


def test_an_ingest_that_begins_after_its_access_expired_is_sent_again_and_no_secret_is_told(
    kusto, azurite_sink, tmp_path, caplog
):
    sink = azurite_sink
    caplog.set_level(logging.DEBUG)
    kusto.emulator.faults.set({"on": "ingest", "do": "delay-apply", "seconds": TOO_LATE_S})
    with CoordinatorProcess(sink, tmp_path) as coordinator:
        state = coordinator.checkpoint(stage(sink, rows((1, "a"), (2, "b"))))
        known = await_committed(sink, coordinator)
        said = coordinator.stderr()
    assert "Download_Forbidden" in said
    assert "the access had expired by then" in said
    assert len(known.attempts) == 2
    assert kusto.query(f"{sink.table} | count") == [{"Count": 2}]

    told = [said, caplog.text, repr(state)]
    shows = ("operations", "commands", "ingestion failures")
    told += [repr(kusto.command(f".show {what}")) for what in shows]
    store = open_store(sink.staging)
    told += [repr(store.read(name)) for name in store.list("") if "/ledger/" in name]
    assert len(told) > len(shows) + 5, "the ledger was not looked at"
    told += [repr(file.read_bytes()) for file in _files(kusto.emulator.data)]
    for text in told:
        assert "sig=" not in text
        assert AZURITE_KEY[:40] not in text


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
