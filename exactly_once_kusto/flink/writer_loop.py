"""Serves one writer subtask: batches in, parts out."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from exactly_once_kusto.errors import TransientError
from exactly_once_kusto.flink.batches import arrow_schema, read_batch
from exactly_once_kusto.flink.frames import BadFrame, Channel, Hello, Kind, write_blobs
from exactly_once_kusto.flink.heartbeat import Pulse
from exactly_once_kusto.protocol.slices import encode_part

if TYPE_CHECKING:
    from exactly_once_kusto.protocol.ports import Brake, Sink, Writer

log = logging.getLogger(__name__)

BRAKE_POLL_S = 0.5
BRAKE_SHARE = 0.5
"""Of a checkpoint's timeout: so long a braked writer waits at a barrier, so that none expires."""


def run_writer(channel: Channel, hello: Hello, sink: Sink, pulse: Pulse) -> None:
    """Write batches and seal at every PREPARE, until the pipe ends.

    A transient error of the sink is not tried again here: a batch may be half taken, and Flink
    replays it from the last checkpoint.

    Raises:
        TargetError: the target is not fit; no batch has been read.
    """
    try:
        sink.target(hello.columns).preflight()
    except TransientError as error:
        log.warning("the target can't be checked now, rows are staged all the same: %s", error)
    schema = arrow_schema(hello.columns)
    writer, brake = sink.writer(hello.columns, schema), sink.brake()
    while True:
        kind, payload = channel.receive() or (None, b"")
        if kind is Kind.BATCH:
            with pulse.call("a write"):
                writer.write(read_batch(payload, schema))
        elif kind is Kind.PREPARE:
            if not hello.batch:
                wait_at_barrier(brake, hello.checkpoint_timeout_s * BRAKE_SHARE)
            with pulse.call("a seal"):
                parts = prepare(writer)
            channel.send(Kind.PARTS, write_blobs(parts))
        else:
            raise BadFrame(f"bad frame: a writer takes no {kind and kind.name}")


def prepare(writer: Writer) -> list[bytes]:
    """Seal what was written since the last barrier; return the parts as they go downstream."""
    return [encode_part(part) for part in writer.seal()]


def wait_at_barrier(brake: Brake, wait_s: float) -> None:
    """Wait while the brake is on, `wait_s` at most: back-pressure, not a checkpoint that expires.

    So rows come in for a checkpoint's interval, then stand still for as long as that. The brake is
    no part of the guarantee: where it can't be seen, the writer goes on.
    """
    start = time.monotonic()
    try:
        while brake.is_on():
            left_s = wait_s - (time.monotonic() - start)
            if left_s <= 0:
                log.warning("held back for %.0f s; the target is still behind, so go on", wait_s)
                return
            time.sleep(min(BRAKE_POLL_S, left_s))
    except TransientError as error:
        log.warning("whether the writers are held back can't be seen: %s", error)
