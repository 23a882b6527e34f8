"""Serves one writer subtask: batches in, parts out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from exactly_once_kusto.errors import TargetUnavailableError
from exactly_once_kusto.flink.batches import arrow_schema, read_batch
from exactly_once_kusto.flink.frames import BadFrame, Channel, Hello, Kind, write_blobs
from exactly_once_kusto.protocol.slices import encode_part

if TYPE_CHECKING:
    from exactly_once_kusto.protocol.ports import Sink

log = logging.getLogger(__name__)


def run_writer(channel: Channel, hello: Hello, sink: Sink) -> None:
    """Write batches and seal at every PREPARE, until the pipe ends.

    A transient error of the sink is not tried again here: a batch may be half taken, and Flink
    replays it from the last checkpoint.

    Raises:
        TargetError: the target is not fit; no batch has been read.
    """
    try:
        sink.target(hello.columns).preflight()
    except TargetUnavailableError as error:
        log.warning("the target can't be checked now, rows are staged all the same: %s", error)
    schema = arrow_schema(hello.columns)
    writer = sink.writer(hello.columns, schema)
    while True:
        kind, payload = channel.receive() or (None, b"")
        if kind is Kind.BATCH:
            writer.write(read_batch(payload, schema))
        elif kind is Kind.PREPARE:
            channel.send(Kind.PARTS, write_blobs([encode_part(part) for part in writer.seal()]))
        else:
            raise BadFrame(f"bad frame: a writer takes no {kind and kind.name}")
