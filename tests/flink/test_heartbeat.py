"""A worker in which a call hangs falls silent, and says first where it hangs."""

from __future__ import annotations

import os
import threading
import time

import pytest

from exactly_once_kusto.flink.frames import Channel, Kind
from exactly_once_kusto.flink.heartbeat import CALL_S_MORE, Pulse


@pytest.fixture
def pipe():
    down, up = os.pipe(), os.pipe()
    yield Channel(down[0], up[1]), Channel(up[0], down[1])
    for end in (*down, *up):
        os.close(end)


def beats(task: Channel, seconds: float) -> int:
    count, end = 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        frame = task.receive(left)
        if frame is not None:
            assert frame == (Kind.HEARTBEAT, b"")
            count += 1
    return count


def test_a_long_call_is_no_silence_but_one_that_never_ends_is(pipe, capfd, caplog):
    worker, task = pipe
    pulse = Pulse(worker)
    pulse.keep(timeout_s=0.3)
    pulse.limit(storage_wait_s=0.5 - CALL_S_MORE)
    pulse._every_s = 0.05
    pulse.start()
    with pulse.call("a write"):
        assert beats(task, 0.3) >= 2
    assert beats(task, 0.5) >= 2, "the end of a call was not seen"
    with pulse.call("a seal"):
        while task.receive(0.6) is not None:
            pass
    assert "a seal has not come back" in caplog.text
    assert "test_a_long_call_is_no_silence" in capfd.readouterr().err, "no stack was written"


def test_a_call_that_hangs_is_found_among_others_that_come_back(pipe, caplog):
    worker, task = pipe
    pulse, done = Pulse(worker), threading.Event()
    pulse.limit(storage_wait_s=0.5 - CALL_S_MORE)
    pulse._every_s = 0.05

    def hang() -> None:
        with pulse.call("a poll in a lane"):
            done.wait(20)

    lane = threading.Thread(target=hang)
    lane.start()
    pulse.start()
    try:
        end = time.monotonic() + 10
        while task.receive(0.6) is not None:
            assert time.monotonic() < end, "the lane's hang was not seen"
            with pulse.call("the machine"):
                pass
    finally:
        done.set()
        lane.join(5)
    assert "a poll in a lane has not come back" in caplog.text


@pytest.mark.parametrize(("timeout_s", "every_s"), [(1.2, 0.2), (30.0, 5.0), (600.0, 5.0)])
def test_the_beat_is_faster_than_the_task_waits(pipe, timeout_s, every_s):
    pulse = Pulse(pipe[0])
    pulse.keep(timeout_s)
    assert pulse._every_s == pytest.approx(every_s)
