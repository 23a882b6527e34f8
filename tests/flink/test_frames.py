from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exactly_once_kusto.flink import frames
from exactly_once_kusto.flink.frames import BadFrame, Channel, Kind, ParentGone
from exactly_once_kusto.flink.jar import jar_path

GOLDEN = Path(__file__).parents[1] / "golden" / "frames_v1.bin"
BLOBS = [b"", b"\x00\xff", "Zürich".encode()]
EXAMPLES: list[tuple[Kind, bytes]] = [
    (Kind.HELLO, frames.pack_json({"frames": 1, "role": "writer"})),
    (Kind.BATCH, b"batch"),
    (Kind.PREPARE, b""),
    (Kind.RESTORE, frames.pack_restore(-1, [])),
    (Kind.RESTORE, frames.pack_restore(7, BLOBS)),
    (Kind.PART, b"part"),
    (Kind.SNAPSHOT, frames.pack_number(1)),
    (Kind.COMPLETE, frames.pack_number(2**40)),
    (Kind.ABORTED, frames.pack_number(2**63 - 1)),
    (Kind.END, b""),
    (Kind.READY, frames.pack_json({"pid": 1, "python": "3.11.0", "version": "0"})),
    (Kind.PARTS, frames.write_blobs(BLOBS)),
    (Kind.OPENED, b""),
    (Kind.STATE, b"state"),
    (Kind.COMPLETED, frames.pack_number(3)),
    (Kind.HEARTBEAT, b""),
    (Kind.ERROR, frames.pack_json({"message": "m", "traceback": "t", "restart": False})),
    (Kind.METRICS, frames.pack_json({"pending": 1.5})),
    (Kind.CHECKED, b""),
]


def encoded(examples: list[tuple[Kind, bytes]]) -> bytes:
    return b"".join(frames.head(kind, len(data)) + data for kind, data in examples)


@pytest.fixture
def pipe():
    read, write = os.pipe()
    ends = {"read": read, "write": write}
    yield ends
    for end in ends.values():
        os.close(end)


def close(pipe: dict[str, int], end: str) -> None:
    os.close(pipe.pop(end))


def test_bytes_of_version_1_are_still_what_they_were():
    assert encoded(EXAMPLES) == GOLDEN.read_bytes()
    assert {kind for kind, _ in EXAMPLES} == set(Kind)


def test_a_golden_stream_is_read_back(pipe):
    os.write(pipe["write"], GOLDEN.read_bytes())
    close(pipe, "write")
    channel = Channel(pipe["read"], pipe["read"])
    assert [channel.receive() for _ in EXAMPLES] == EXAMPLES
    with pytest.raises(ParentGone):
        channel.receive()


@pytest.mark.flink
def test_java_reads_and_writes_the_same_bytes(tmp_path):
    source = Path(__file__).with_name("FramesCheck.java")
    jar = str(jar_path())
    run = {"check": True, "capture_output": True, "text": True, "timeout": 60}
    subprocess.run(["javac", "-cp", jar, "-d", str(tmp_path), str(source)], **run)
    path = os.pathsep.join([str(tmp_path), jar])
    done = subprocess.run(
        ["java", "-cp", path, "exactlyonce.flink.FramesCheck", str(GOLDEN)], **run
    )
    assert done.stdout == f"{len(EXAMPLES)} frames\n"


def test_receive_returns_none_while_nothing_comes(pipe):
    assert Channel(pipe["read"], pipe["read"]).receive(0.01) is None


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x00\x00\x00\x00\x01", "length 0"),
        (b"\xff\xff\xff\xff\x01", "length 4294967295"),
        (b"Hello, world", "length 1214606444"),
        (b"\x00\x00\x00\x01\x63", "kind 99"),
        (b"\x00\x00\x00\x09\x0c\x00\x00", "6 bytes too early"),
        (b"\x00\x00", "3 bytes too early"),
    ],
)
def test_what_is_no_frame_is_refused(pipe, data, told):
    os.write(pipe["write"], data)
    close(pipe, "write")
    with pytest.raises(BadFrame, match=told):
        Channel(pipe["read"], pipe["read"]).receive()


def test_a_payload_over_the_limit_is_not_sent():
    with pytest.raises(BadFrame, match="67108865"):
        frames.head(Kind.STATE, frames.PAYLOAD_BYTES_MAX + 1)


def test_sending_to_a_task_that_is_gone_says_so(pipe):
    close(pipe, "read")
    with pytest.raises(ParentGone):
        Channel(pipe["write"], pipe["write"]).send(Kind.HEARTBEAT)


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_lists_come_back(blobs):
    assert frames.read_blobs(frames.write_blobs(blobs)) == blobs


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=4), st.data())
def test_a_list_cut_short_or_with_a_tail_is_refused(blobs, data):
    whole = frames.write_blobs(blobs)
    with pytest.raises(BadFrame):
        frames.read_blobs(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(BadFrame):
        frames.read_blobs(whole + b"\x00")


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"nonsense", "not JSON"),
        (b"[]", "object"),
        (b'{"frames": 2}', "version 2, this package speaks 1"),
        (b'{"frames": 1, "role": "cook"}', "role 'cook'"),
        (b'{"frames": 1, "role": "writer"}', "lacks a field"),
    ],
)
def test_a_hello_that_is_none_is_refused(payload, told):
    with pytest.raises(BadFrame, match=told):
        frames.parse_hello(payload)
