"""The wire between a Flink task and its Python worker. Must match `jvm/.../Frames.java`.

A frame is the length of what follows (u32, big endian), a kind (u8) and the payload. Lists of
opaque bytes are a count (u32) and, for each, a length (u32) and the bytes. Numbers of checkpoints
are i64. JSON payloads are UTF-8 objects.

    task -> worker                                 worker -> task
    1 HELLO json                                   64 READY json
    3 BATCH  rows in Arrow's buffers (batches.py)   -
    4 PREPARE                                      65 PARTS list
    10 RESTORE i64 (-1: fresh), list               66 OPENED
    11 PART bytes                                  -
    12 SNAPSHOT i64                                67 STATE bytes
    13 COMPLETE i64                                68 COMPLETED i64
    14 ABORTED i64, 15 END                         -
    -                                              70 HEARTBEAT, 71 ERROR json, 72 METRICS json
    1 HELLO json (role check)                      73 CHECKED
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import struct
import threading
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from exactly_once_kusto.errors import WorkerError
from exactly_once_kusto.protocol.ports import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION = 1
PAYLOAD_BYTES_MAX = 64 << 20
PIPE_BYTES = 1 << 20
HEAD = struct.Struct(">IB")
ROLES = ("check", "writer", "coordinator")

_U32 = struct.Struct(">I")
_I64 = struct.Struct(">q")


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 1
    BATCH = 3
    PREPARE = 4
    RESTORE = 10
    PART = 11
    SNAPSHOT = 12
    COMPLETE = 13
    ABORTED = 14
    END = 15
    READY = 64
    PARTS = 65
    OPENED = 66
    STATE = 67
    COMPLETED = 68
    HEARTBEAT = 70
    ERROR = 71
    METRICS = 72
    CHECKED = 73


class BadFrame(WorkerError):  # noqa: N818 - the wire's own word
    """The pipe holds something else than frames; the worker ends, Flink restarts the task."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame: which sink, for which task.

    `operator` is empty for writers. `job` and `operator` are Flink's ids in hex.
    """

    role: str
    factory: str
    options: dict[str, str]
    columns: tuple[Column, ...]
    job: str
    operator: str
    subtask: int
    parallelism: int
    attempt: int
    host: str
    batch: bool = False
    """No checkpoints come; everything is committed at the end of the input."""
    checkpoint_timeout_s: float = 600.0
    """How long a checkpoint may take before Flink gives it up."""
    heartbeat_timeout_s: float = 30.0
    """After so long without a sign of life the worker is killed."""


def head(kind: int, payload_bytes: int) -> bytes:
    """Return the head of a frame.

    Raises:
        BadFrame: the payload is over the limit.
    """
    if payload_bytes > PAYLOAD_BYTES_MAX:
        raise BadFrame(f"a payload of {payload_bytes} bytes is over {PAYLOAD_BYTES_MAX}")
    return HEAD.pack(payload_bytes + 1, kind)


def parse_head(data: bytes) -> tuple[Kind, int]:
    """Return kind and payload length from a frame's head.

    Raises:
        BadFrame: the length can't be one, or the kind is unknown.
    """
    length, kind = HEAD.unpack(data)
    if not 1 <= length <= PAYLOAD_BYTES_MAX + 1:
        raise BadFrame(f"bad frame: length {length} (allowed: 1 to {PAYLOAD_BYTES_MAX + 1})")
    try:
        return Kind(kind), length - 1
    except ValueError:
        raise BadFrame(f"bad frame: kind {kind} is unknown; jar and package differ?") from None


def pack_number(number: int) -> bytes:
    """Return a checkpoint's number as a payload."""
    return _I64.pack(number)


def parse_number(payload: bytes) -> int:
    """Return the checkpoint's number in a payload."""
    if len(payload) != _I64.size:
        raise BadFrame(f"bad frame: {len(payload)} bytes where a checkpoint's number belongs")
    return int(_I64.unpack(payload)[0])


def write_blobs(items: Sequence[bytes]) -> bytes:
    """Return a list of opaque bytes as a payload."""
    pieces = [_U32.pack(len(items))]
    for item in items:
        pieces += (_U32.pack(len(item)), item)
    return b"".join(pieces)


def read_blobs(payload: bytes) -> list[bytes]:
    """Return the list of opaque bytes in a payload.

    Raises:
        BadFrame: cut short, or more than the list.
    """
    try:
        (count,) = _U32.unpack_from(payload)
        at, items = _U32.size, []
        for _ in range(count):
            (length,) = _U32.unpack_from(payload, at)
            at += _U32.size
            items.append(bytes(payload[at : at + length]))
            at += length
    except struct.error as error:
        raise BadFrame(f"bad frame: a list is cut short: {error}") from error
    if at != len(payload):
        raise BadFrame(f"bad frame: a list of {at} bytes in a payload of {len(payload)}")
    return items


def pack_restore(checkpoint: int, states: Sequence[bytes]) -> bytes:
    """Return the payload of RESTORE; checkpoint -1 is a fresh start."""
    return _I64.pack(checkpoint) + write_blobs(states)


def parse_restore(payload: bytes) -> tuple[int | None, list[bytes]]:
    """Return the restored checkpoint (None: fresh) and the states that came with it."""
    checkpoint = parse_number(payload[: _I64.size])
    return None if checkpoint < 0 else checkpoint, read_blobs(payload[_I64.size :])


def pack_json(body: Mapping[str, object]) -> bytes:
    """Return an object as a payload."""
    return json.dumps(body, ensure_ascii=False).encode()


def parse_json(payload: bytes) -> dict[str, Any]:
    """Return the object in a payload.

    Raises:
        BadFrame: not a JSON object.
    """
    try:
        body = json.loads(payload)
    except ValueError as error:
        raise BadFrame(f"bad frame: not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadFrame(f"bad frame: a JSON object was expected, found {type(body).__name__}")
    return body


def parse_hello(payload: bytes) -> Hello:
    """Return what the first frame says.

    Raises:
        BadFrame: another version of the frames, an unknown role or a missing field.
    """
    body = parse_json(payload)
    if body.get("frames") != VERSION:
        raise BadFrame(
            f"the shim's jar speaks frames of version {body.get('frames')}, this package speaks "
            f"{VERSION}: install the same version of exactly-once-kusto on client and cluster"
        )
    if body.get("role") not in ROLES:
        raise BadFrame(f"bad frame: role {body.get('role')!r} is none of {', '.join(ROLES)}")
    try:
        columns = tuple(Column(c["name"], c["type"], c["nullable"]) for c in body["columns"])
        return Hello(
            role=body["role"],
            factory=body["factory"],
            options={str(key): str(value) for key, value in body["options"].items()},
            columns=columns,
            job=body["job"],
            operator=body["operator"],
            subtask=int(body["subtask"]),
            parallelism=int(body["parallelism"]),
            attempt=int(body["attempt"]),
            host=body["host"],
            batch=bool(body["batch"]),
            checkpoint_timeout_s=float(body["checkpoint_timeout_s"]),
            heartbeat_timeout_s=float(body["heartbeat_timeout_s"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise BadFrame(f"bad frame: HELLO lacks a field: {error!r}") from error


class ParentGone(EOFError):  # noqa: N818 - an end, not an error of ours
    """The task closed the pipe or is no more."""


class Channel:
    """Frames in, frames out. `send` may be called from any thread, `receive` from one."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._sending = threading.Lock()
        self._poll = select.poll()
        self._poll.register(incoming, select.POLLIN)
        _widen(incoming)

    def receive(self, timeout_s: float | None = None) -> tuple[Kind, bytes] | None:
        """Return the next frame, or None if none has begun within `timeout_s` (None: no limit).

        Raises:
            ParentGone: the pipe has ended.
            BadFrame: what came is not a frame.
        """
        if timeout_s is not None and not self._poll.poll(max(0.0, timeout_s) * 1000):
            return None
        kind, length = parse_head(self._read(HEAD.size))
        return kind, self._read(length)

    def _read(self, length: int) -> bytes:
        """Return exactly `length` bytes, read into one buffer."""
        data = bytearray(length)
        view, at = memoryview(data), 0
        while at < length:
            count = os.readv(self._incoming, [view[at:]])
            if count == 0:
                if at or length != HEAD.size:
                    raise BadFrame(f"bad frame: the pipe ended {length - at} bytes too early")
                raise ParentGone
            at += count
        return bytes(data)

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Write one frame; waits while the pipe is full.

        Raises:
            ParentGone: nobody reads any more.
        """
        frame = memoryview(head(kind, len(payload)) + payload)
        try:
            with self._sending:
                while frame:
                    frame = frame[os.write(self._outgoing, frame) :]
        except BrokenPipeError as error:
            raise ParentGone from error


def _widen(pipe: int) -> None:
    """Ask for a larger pipe, so that a batch takes fewer switches between task and worker."""
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)  # type: ignore[attr-defined, unused-ignore]
    except (AttributeError, OSError):
        return  # not a pipe, not Linux, or over the user's limit: slower, not wrong
