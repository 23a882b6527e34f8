"""A braked writer waits at its barrier: until it is let go, or for a limited time."""

from __future__ import annotations

import time
from dataclasses import dataclass

from exactly_once_kusto.errors import StorageUnavailableError
from exactly_once_kusto.flink.writer_loop import wait_at_barrier


@dataclass
class Sign:
    """On for so many looks; -1: storage is away."""

    looks: int
    seen: int = 0

    def put_on(self, reason: str) -> None:
        raise AssertionError("a writer never brakes")

    take_off = put_on  # type: ignore[assignment]

    def is_on(self) -> bool:
        self.seen += 1
        if self.looks < 0:
            raise StorageUnavailableError("the mount is gone")
        return self.seen <= self.looks


def waited(sign: Sign, wait_s: float) -> float:
    began = time.monotonic()
    wait_at_barrier(sign, wait_s)
    return time.monotonic() - began


def test_a_writer_that_is_not_held_back_looks_once_and_goes_on() -> None:
    sign = Sign(0)
    assert waited(sign, 60.0) < 0.1
    assert sign.seen == 1


def test_a_writer_that_is_held_back_waits_until_it_is_let_go() -> None:
    sign = Sign(1)
    assert 0.4 < waited(sign, 60.0) < 5.0
    assert sign.seen == 2


def test_a_writer_never_waits_until_its_checkpoint_has_expired() -> None:
    assert 0.2 <= waited(Sign(1000), 0.2) < 5.0


def test_a_sign_that_cannot_be_seen_holds_nobody_back() -> None:
    assert waited(Sign(-1), 60.0) < 0.1
