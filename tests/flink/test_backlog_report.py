"""How much waits is told: gauges every two seconds, a line every thirty for what is old."""

from __future__ import annotations

import logging

import pytest

from exactly_once_kusto.flink.backlog_report import BacklogReport
from exactly_once_kusto.protocol.coordinator import Coordinator
from exactly_once_kusto.protocol.ports import Settings
from exactly_once_kusto.protocol.slices import Part, Slice


def coordinator(sealed_at: float) -> Coordinator:
    machine = Coordinator("road", "memory://log", Settings())
    part = Part("memory://p", 10, "etag", 5, 100, "T")
    machine.backlog.add([Slice("s-1", 1, "T", (part,), sealed_at)])
    return machine


def test_gauges_come_every_two_seconds() -> None:
    report, machine = BacklogReport(), coordinator(sealed_at=1000.0)
    seen = [report.look(machine, 1000.0 + t, 5.0 + t) for t in (0.0, 1.0, 2.5, 3.0, 4.6)]
    assert [None if s is None else s["oldestWaitingSliceAge"] for s in seen] == [
        0.0, None, 2.5, None, 4.6,
    ]  # fmt: skip
    assert seen[0] == {
        "waitingSlices": 1,
        "waitingBytes": 100,
        "oldestWaitingSliceAge": 0.0,
        "committedTransactions": 0,
        "writersHeldBack": 0.0,
    }


def test_what_is_old_is_said_twice_a_minute_and_not_more(caplog: pytest.LogCaptureFixture) -> None:
    report, machine = BacklogReport(), coordinator(sealed_at=1000.0)
    with caplog.at_level(logging.WARNING):
        for second in range(0, 95, 3):
            report.look(machine, 1000.0 + second, float(second))
    assert [record.getMessage() for record in caplog.records] == [
        "1 slice(s) of 100 bytes wait for the target, the oldest for 30 s",
        "1 slice(s) of 100 bytes wait for the target, the oldest for 60 s",
        "1 slice(s) of 100 bytes wait for the target, the oldest for 90 s",
    ]
