from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.flink.frames import Kind, parse_json, read_blobs
from exactly_once_kusto.protocol.slices import decode_part
from tests.flink.worker_process import (
    COMMAND,
    DEADLINE_S,
    WorkerUnderTest,
    batch_payload,
    environment,
    hello,
)
from tests.process_state import is_gone

GONE_S = 2.0


@pytest.fixture
def worker(tmp_path):
    with WorkerUnderTest(tmp_path / "stderr") as running:
        yield running


def options(folder, **more):
    return {"name": "t", "folder": str(folder), **more}


def start_writer(worker, folder, heartbeat_timeout_s=30.0, **more):
    given = {"options": options(folder, **more), "heartbeat_timeout_s": heartbeat_timeout_s}
    worker.channel.send(Kind.HELLO, hello("writer", folder, **given))
    assert parse_json(worker.expect(Kind.READY))["pid"] == worker.process.pid
    worker.channel.send(Kind.BATCH, batch_payload(range(1000)))


def test_batches_become_one_part_and_nothing_becomes_none(worker, tmp_path):
    start_writer(worker, tmp_path)
    worker.channel.send(Kind.PREPARE)
    (part,) = map(decode_part, read_blobs(worker.expect(Kind.PARTS)))
    assert part.rows == 1000
    worker.channel.send(Kind.PREPARE)
    assert read_blobs(worker.expect(Kind.PARTS)) == []


def test_what_the_sink_prints_is_logged_and_no_frame_is_broken(worker, tmp_path):
    start_writer(worker, tmp_path, trouble="print")
    worker.channel.send(Kind.PREPARE)
    assert len(read_blobs(worker.expect(Kind.PARTS))) == 1
    assert "printed by the sink" in worker.stderr()
    assert "written by the sink to descriptor 1" in worker.stderr()


@pytest.mark.parametrize(
    ("trouble", "told", "restart"),
    [
        ("raise", "ZeroDivisionError('division by the sink')", True),
        ("refuse", "column 'name': a string is too long", False),
        ("preflight", "is not fit for the job", False),
    ],
)
def test_an_exception_is_told_with_its_traceback(worker, tmp_path, trouble, told, restart):
    start_writer(worker, tmp_path, trouble=trouble)
    error = parse_json(worker.expect(Kind.ERROR))
    assert told in error["message"]
    assert "directory_sink.py" in error["traceback"]
    assert error["restart"] is restart
    assert worker.process.wait(DEADLINE_S) == 1


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "length 1195725856"),
        (b"\x00\x00\x00\x01\x04", "first was PREPARE"),
    ],
)
def test_a_bad_frame_ends_the_worker(worker, data, told):
    worker.send_raw(data)
    assert told in parse_json(worker.expect(Kind.ERROR))["message"]
    assert worker.process.wait(DEADLINE_S) == 1


def test_a_check_that_passes_says_so(worker, tmp_path):
    worker.channel.send(Kind.HELLO, hello("check", tmp_path))
    worker.expect(Kind.CHECKED)
    assert not list(tmp_path.glob("t/*"))  # and touches nothing


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"factory": "nonsense"}, "not of the form 'package.module:callable'"),
        ({"factory": "no.such:thing"}, "no module 'no'"),
        ({"factory": "json:no_such"}, "no such callable"),
        ({"factory": "json:loads"}, "the JSON object must be str"),
        ({"factory": "builtins:dict"}, "returned dict, which lacks name"),
        ({"options": {"name": "t"}}, "option 'folder' is missing"),
        (
            {"columns": [{"name": "tags", "type": "MULTISET<VARCHAR(9)>", "nullable": True}]},
            "'tags' MULTISET<VARCHAR\\(9\\)>",
        ),
        (
            {"columns": [{"name": "refused", "type": "INT", "nullable": True}]},
            "'refused' INT is not for this sink",
        ),
    ],
)
def test_a_check_that_fails_says_why(worker, tmp_path, changes, told):
    worker.channel.send(Kind.HELLO, hello("check", tmp_path, **changes))
    message = parse_json(worker.expect(Kind.ERROR))["message"]
    assert told.replace("\\", "") in message


def test_a_worker_ends_when_the_pipe_does(worker, tmp_path):
    start_writer(worker, tmp_path)
    worker.channel.send(Kind.PREPARE)
    worker.expect(Kind.PARTS)
    worker.process.stdin.close()
    assert worker.process.wait(GONE_S) == 0


PARENT = """
import json, signal, subprocess, sys
command, frames = json.loads(sys.argv[1]), [bytes.fromhex(h) for h in json.loads(sys.argv[2])]
worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
for frame in frames:
    worker.stdin.write(frame)
    worker.stdin.flush()
head = worker.stdout.read(5)
assert head[4] == 64, head
print(worker.pid, flush=True)
signal.pause()
"""


@pytest.mark.parametrize("trouble", ["", "hang"])
def test_a_worker_is_gone_two_seconds_after_its_parent_was_killed(tmp_path, trouble):
    payloads = [
        (Kind.HELLO, hello("writer", tmp_path, options=options(tmp_path, trouble=trouble))),
        (Kind.BATCH, batch_payload(range(10))),
    ]
    frames = [
        ((len(data) + 1).to_bytes(4, "big") + bytes([kind]) + data).hex() for kind, data in payloads
    ]
    with (
        (tmp_path / "stderr").open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", PARENT, json.dumps(COMMAND), json.dumps(frames)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment(),
            start_new_session=True,
        ) as parent,
    ):
        try:
            pid = int(parent.stdout.readline())
            assert not is_gone(pid)
        finally:
            parent.kill()
        wait_until(lambda: is_gone(pid), GONE_S, f"the end of worker {pid}", 0.02)


def test_a_stopped_worker_sends_no_heartbeat_and_a_busy_one_does(worker, tmp_path):
    start_writer(worker, tmp_path, trouble="hang", heartbeat_timeout_s=1.2)
    frame = worker.channel.receive(DEADLINE_S)
    assert frame == (Kind.HEARTBEAT, b"")
    os.kill(worker.process.pid, signal.SIGSTOP)
    while worker.channel.receive(1.2) is not None:
        pass  # what was on its way
    assert worker.channel.receive(1.2) is None
