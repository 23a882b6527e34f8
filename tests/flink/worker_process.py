"""A worker process without Flink: the test plays the task."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from exactly_once_kusto.flink.frames import HEAD, Channel, Kind, pack_json
from tests.flink.directory_sink import FACTORY

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-u", "-m", "exactly_once_kusto.flink.worker")
DEADLINE_S = 20.0


def environment() -> dict[str, str]:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def hello(role: str, folder: Path, **changes: object) -> bytes:
    body: dict[str, object] = {
        "frames": 1,
        "role": role,
        "factory": FACTORY,
        "options": {"name": "t", "folder": str(folder)},
        "columns": [{"name": "id", "type": "BIGINT", "nullable": True}],
        "job": "0" * 32,
        "operator": "",
        "subtask": 0,
        "parallelism": 1,
        "attempt": 0,
        "host": "here",
        "batch": False,
        "checkpoint_timeout_s": 600.0,
        "heartbeat_timeout_s": 30.0,
    }
    return pack_json(body | changes)


def batch_payload(ids: Iterable[int]) -> bytes:
    """The payload of a BATCH."""
    return write_batch(pa.record_batch({"id": pa.array(ids, pa.int64())}))


def write_batch(batch: pa.RecordBatch) -> bytes:
    """What BatchEncoder.java makes of the same rows."""
    buffers = []
    for array in batch.columns:
        fresh = pa.concat_arrays([array])
        buffers += [b"" if b is None else b.to_pybytes() for b in fresh.buffers()]
    head = struct.pack(f">{2 + len(buffers)}I", batch.num_rows, len(buffers), *map(len, buffers))
    return b"".join(piece + bytes(-len(piece) % 8) for piece in [head, *buffers])


class WorkerUnderTest:
    """Starts a worker; `channel` is the task's end of its pipes."""

    def __init__(self, log: Path) -> None:
        self.log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment(),
                start_new_session=True,
            )
        assert self.process.stdin
        assert self.process.stdout
        self.channel = Channel(self.process.stdout.fileno(), self.process.stdin.fileno())

    def __enter__(self) -> WorkerUnderTest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_S)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()

    def send_raw(self, data: bytes) -> None:
        assert self.process.stdin
        os.write(self.process.stdin.fileno(), data)

    def expect(self, kind: Kind) -> bytes:
        """The payload of the next frame of `kind`; heartbeats may come between."""
        end = time.monotonic() + DEADLINE_S
        while True:
            frame = self.channel.receive(max(0.0, end - time.monotonic()))
            assert frame is not None, f"no {kind.name} within {DEADLINE_S} s: {self.stderr()}"
            if frame[0] is not Kind.HEARTBEAT:
                assert frame[0] is kind, (frame, self.stderr())
                return frame[1]

    def stderr(self) -> str:
        return self.log.read_text()


__all__ = [
    "HEAD",
    "WorkerUnderTest",
    "batch_payload",
    "hello",
    "write_batch",
]
