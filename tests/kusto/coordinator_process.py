"""A coordinator in a worker process of its own, without Flink: the test plays the operator."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

from exactly_once_kusto import KustoSink
from exactly_once_kusto.cli.transactions import read_ledger
from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.flink.frames import Kind, pack_number, pack_restore
from exactly_once_kusto.protocol.ledger import Known
from exactly_once_kusto.protocol.slices import Part, encode_part
from tests.flink.worker_process import WorkerUnderTest, hello
from tests.kusto.conftest import COLUMNS
from tests.kusto.impatient import FACTORY

DEADLINE_S = 30.0
_numbers = itertools.count()


class CoordinatorProcess(WorkerUnderTest):
    """Opens fresh, or with the state of a checkpoint; ends with the block, or by `kill`."""

    def __init__(self, sink: KustoSink, folder: Path, state: bytes | None = None) -> None:
        super().__init__(folder / f"coordinator-{next(_numbers)}.log")
        columns = [{"name": c.name, "type": c.type, "nullable": c.nullable} for c in COLUMNS]
        greeting = hello(
            "coordinator",
            folder,
            factory=FACTORY,
            options=sink.to_options(),
            columns=columns,
            operator="1" * 32,
        )
        self.channel.send(Kind.HELLO, greeting)
        restored = pack_restore(-1, []) if state is None else pack_restore(1, [state])
        self.channel.send(Kind.RESTORE, restored)
        self.await_frame(Kind.OPENED)

    def checkpoint(self, parts: Sequence[Part]) -> bytes:
        """Complete checkpoint 1 with these parts; return its state."""
        for part in parts:
            self.channel.send(Kind.PART, encode_part(part))
        self.channel.send(Kind.SNAPSHOT, pack_number(1))
        state = self.await_frame(Kind.STATE)
        self.complete()
        return state

    def complete(self) -> None:
        """Say that checkpoint 1 is complete."""
        self.channel.send(Kind.COMPLETE, pack_number(1))

    def await_frame(self, kind: Kind) -> bytes:
        """The payload of the next frame of a kind; no error may come before it."""
        end = time.monotonic() + DEADLINE_S
        while True:
            frame = self.channel.receive(max(0.0, end - time.monotonic()))
            assert frame is not None, f"no {kind.name} within {DEADLINE_S} s: {self.stderr()}"
            assert frame[0] is not Kind.ERROR, (frame, self.stderr())
            if frame[0] is kind:
                return frame[1]

    def kill(self) -> None:
        """SIGKILL; returns once it is gone."""
        self.process.kill()
        self.process.wait(DEADLINE_S)


def only_transaction(sink: KustoSink) -> Known | None:
    """The one transaction in the sink's ledger, if there is one yet."""
    known = list(read_ledger(sink.staging, sink.name).transactions.values())
    assert len(known) <= 1, known
    return known[0] if known else None


def await_intent(sink: KustoSink) -> None:
    wait_until(lambda: only_transaction(sink), DEADLINE_S, "an intent")


def await_committed(sink: KustoSink, coordinator: CoordinatorProcess) -> Known:
    """The transaction once it is committed."""

    def committed() -> Known | None:
        assert coordinator.process.poll() is None, coordinator.stderr()
        known = only_transaction(sink)
        return known if known is not None and known.committed is not None else None

    return wait_until(committed, DEADLINE_S, "the commit")
