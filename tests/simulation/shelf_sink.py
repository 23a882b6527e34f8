"""A sink of one's own in a hundred lines, and what the simulator needs to try it: a shelf of boxes.

A box bears the id of its transaction; it is put on the shelf as a whole, or not at all, and never
beside another of the same id. `checked` False is the mistake: whoever comes twice puts two boxes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from exactly_once_kusto.protocol.outcome import (
    Accepted,
    Access,
    Completed,
    Extent,
    Lost,
    OperationStatus,
    Sighting,
    Skipped,
    Submission,
    Transaction,
)
from exactly_once_kusto.protocol.ports import Settings
from exactly_once_kusto.protocol.slices import Part
from exactly_once_kusto.storage.brake import StoredBrake
from exactly_once_kusto.storage.log import Log
from exactly_once_kusto.testing.simulated_sink import Names
from exactly_once_kusto.testing.simulated_storage import ROOT, Objects, SimulatedStore
from exactly_once_kusto.testing.truth import Truth
from exactly_once_kusto.testing.world import Gate, World


@dataclass
class Shelf:
    """What all processes share; a `testing.simulated_sink.Subject`."""

    world: World
    truth: Truth
    settings: Settings
    checked: bool = True
    name: str = "shelf"
    objects: Objects = field(default_factory=Objects)
    boxes: list[tuple[str, int]] = field(default_factory=list)

    def ports(self, gate: Gate) -> ShelfPorts:
        return ShelfPorts(self, SimulatedStore(self.objects, gate), gate)

    def act(self, what: str, pick: int, fault: int) -> bool:
        return False  # nothing happens to a shelf

    def drift(self) -> None: ...

    def due(self) -> float:
        return math.inf

    def serve(self) -> None: ...

    def was_deleted(self, address: str) -> bool:
        return self.objects.was_deleted(address)

    def heal(self) -> None:
        self.objects.reachable = True

    def idle(self) -> bool:
        return True

    def causes(self) -> frozenset[str]:
        return frozenset()

    def unknowable(self) -> tuple[str, ...]:
        return ()


@dataclass
class ShelfPorts:
    """One process of the sink."""

    shelf: Shelf
    store: SimulatedStore
    gate: Gate

    def writer(self) -> ShelfWriter:
        return ShelfWriter(self.shelf, self.store)

    def ledger(self) -> Log:
        return Log(self.store, "shelf")

    def brake(self) -> StoredBrake:
        return StoredBrake(self.store, "shelf")

    def target(self) -> ShelfTarget:
        return ShelfTarget(self.shelf, self.store, self.gate)


@dataclass
class ShelfWriter:
    shelf: Shelf
    store: SimulatedStore
    rows: list[str] = field(default_factory=list)

    def write(self, batch: Names) -> None:
        self.rows += batch

    def seal(self) -> Sequence[Part]:
        if not self.rows:
            return ()
        rows, self.rows = self.rows, []
        name = f"shelf/parts/{self.shelf.world.nonce()}"
        stored = self.store.seal(name, " ".join(rows).encode())
        return (Part(stored.address, stored.length, stored.etag, len(rows), len(rows), "shelf"),)

    def close(self) -> None:
        self.rows = []


@dataclass
class ShelfTarget:
    shelf: Shelf
    store: SimulatedStore
    gate: Gate

    def preflight(self) -> None: ...

    def mint(self, transaction: Transaction, attempt: int) -> Access:
        return Access("shelf")

    def submit(self, transaction: Transaction, attempt: int) -> Submission:
        fault = self.gate.enter("put")
        taken = any(box == transaction.id for box, _ in self.shelf.boxes)
        if not (taken and self.shelf.checked) and fault != 1:
            parts = [self.shelf.objects.read_at(part.address) for part in transaction.parts]
            rows = [row for part in parts if part for row in part.decode().split()]
            self.shelf.boxes.append((transaction.id, len(rows)))
            self.shelf.truth.show(rows)
        self.gate.leave("put")
        return Lost("no answer") if fault in (1, 2) else Accepted(f"{transaction.id}/{attempt}")

    def poll(self, transaction: Transaction, operation: str) -> OperationStatus:
        return Completed() if self._boxes(transaction) else Skipped()

    def look(
        self, transaction: Transaction, operations: Sequence[str], since: float, until: float
    ) -> Sighting:
        self.gate.enter("look")
        found = self._boxes(transaction) if self.shelf.checked else []
        self.gate.leave("look")
        extents = tuple(Extent(str(i), rows, (box,)) for i, (box, rows) in enumerate(found))
        return Sighting(extents, busy=False)

    def delete(self, parts: Sequence[Part]) -> None:
        for part in parts:
            self.store.delete(part.address.removeprefix(f"{ROOT}/"))

    def _boxes(self, transaction: Transaction) -> list[tuple[str, int]]:
        return [box for box in self.shelf.boxes if box[0] == transaction.id]
