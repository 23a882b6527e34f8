"""A sink put together over the simulator's ports: the framework's subject, and the Kusto sink.

`Subject` is what an author of a sink implements to turn the simulator on it; `KustoSubject` does it
with the Kusto sink's own stations: staging, log, brake, command, evidence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from exactly_once_kusto.kusto.columns import plan_columns
from exactly_once_kusto.kusto.destination import Destination
from exactly_once_kusto.kusto.outside import Requests
from exactly_once_kusto.kusto.sink import KustoSink
from exactly_once_kusto.kusto.stage import Stage
from exactly_once_kusto.kusto.target import KustoTarget
from exactly_once_kusto.protocol.ports import (
    Brake,
    Column,
    LedgerStore,
    Settings,
    Target,
    Writer,
)
from exactly_once_kusto.storage.brake import StoredBrake
from exactly_once_kusto.storage.log import Log
from exactly_once_kusto.storage.objects import ObjectStore, Stored, Upload
from exactly_once_kusto.testing.simulated_kusto import Habits, Service
from exactly_once_kusto.testing.simulated_requests import SimulatedRequests
from exactly_once_kusto.testing.simulated_storage import ROOT, Objects, SimulatedStore
from exactly_once_kusto.testing.truth import Truth
from exactly_once_kusto.testing.world import Gate, World

COLUMNS = (Column("id", "STRING"),)
SCHEMA = json.dumps({"OrderedColumns": [{"Name": "id", "CslType": "string"}]})
PART_ROWS_BYTES_MAX = 64

Task = TypeVar("Task")
Result = TypeVar("Result")


class Names(tuple[str, ...]):
    """A batch: the names of its rows."""

    __slots__ = ()

    @property
    def num_rows(self) -> int:
        """Rows in the batch."""
        return len(self)


class Ports(Protocol):
    """The ports of one process of the sink under test."""

    def writer(self) -> Writer:
        """Return a writer; the batches it takes are `Names`."""

    def ledger(self) -> LedgerStore:
        """Return the log that all processes share."""

    def brake(self) -> Brake:
        """Return the sign that all processes share."""

    def target(self) -> Target:
        """Return the target."""


class Subject(Protocol):
    """A sink under test and the world that it writes into, shared by all its processes."""

    name: str
    settings: Settings

    def ports(self, gate: Gate) -> Ports:
        """Return the ports of a process; each of their calls passes `gate`."""

    def act(self, what: str, pick: int, fault: int) -> bool:
        """Let something happen in the target's world; False where it can't happen now."""

    def drift(self) -> None:
        """Let the target go one step on, between two port calls of a process."""

    def due(self) -> float:
        """Return when something comes by itself next, in the world's time; infinite: never."""

    def serve(self) -> None:
        """Let happen what is due now; afterwards it is not due any more."""

    def was_deleted(self, address: str) -> bool:
        """Whether the sink has deleted the staged part at an address."""

    def heal(self) -> None:
        """From now on nothing fails, and what is on its way arrives in time."""

    def idle(self) -> bool:
        """Let all that is under way go one step on; True where nothing is."""

    def causes(self) -> frozenset[str]:
        """Return what happened that only a person can decide on."""

    def unknowable(self) -> Iterable[str]:
        """Return rows that are missing though all evidence there can be says that they are not."""


@dataclass(frozen=True, slots=True)
class _Outside:
    """The world of the Kusto sink: the simulator's clock, storage and cluster."""

    world: World
    objects: Objects
    service: Service
    gate: Gate
    expiring: bool

    def now(self) -> float:
        return self.world.now

    def nonce(self) -> str:
        return self.world.nonce()

    def store(self, place: str, wait_s: float = 0.0) -> ObjectStore:
        return SimulatedStore(self.objects, self.gate)

    def located(self, place: str) -> tuple[ObjectStore, str]:
        return SimulatedStore(self.objects, self.gate), place.removeprefix(f"{ROOT}/")

    def expires(self, place: str) -> bool:
        return self.expiring

    def readable(self, place: str, until: float) -> str:
        return f"{place}?until={until}" if self.expiring else place

    def requests(self, cluster: str, answer_timeout_s: float) -> Requests:
        return SimulatedRequests(self.service, self.gate, SCHEMA)

    def each(self, act: Callable[[Task], Result], tasks: Iterable[Task]) -> list[Result]:
        return [act(task) for task in tasks]


@dataclass(frozen=True, slots=True)
class KustoPorts:
    """One process of the Kusto sink."""

    sink: KustoSink
    destination: str
    outside: _Outside

    def writer(self) -> Writer:
        """Return a writer of lines instead of Parquet."""
        store, nonce = self.outside.store(ROOT), self.outside.nonce
        return Stage(store, self.sink.name, Lines(), self.destination, PART_ROWS_BYTES_MAX, nonce)

    def ledger(self) -> LedgerStore:
        """Return the log."""
        return Log(self.outside.store(ROOT), self.sink.name)

    def brake(self) -> Brake:
        """Return the sign."""
        return StoredBrake(self.outside.store(ROOT), self.sink.name)

    def target(self) -> Target:
        """Return the target."""
        return KustoTarget(self.sink, plan_columns(COLUMNS, None), outside=self.outside)


@dataclass(slots=True)
class KustoSubject:
    """The Kusto sink over a simulated storage and a simulated cluster.

    `expiring`: the parts lie where access ends by itself (blobs); else it never does.
    """

    world: World
    truth: Truth
    settings: Settings
    habits: Habits = field(default_factory=Habits)
    expiring: bool = True
    name: str = "simulated"
    objects: Objects = field(default_factory=Objects)
    service: Service = field(init=False)
    asked: set[str] = field(default_factory=set)
    sink: KustoSink = field(init=False)
    destination: str = field(init=False)

    def __post_init__(self) -> None:
        self.service = Service(self.world, self.objects, self.habits, self.truth.show)
        self.sink = _SINK
        self.destination = _DESTINATION

    def ports(self, gate: Gate) -> Ports:
        """Return the ports of a process."""
        outside = _Outside(self.world, self.objects, self.service, gate, self.expiring)
        return KustoPorts(self.sink, self.destination, outside)

    def act(self, what: str, pick: int, fault: int) -> bool:
        """Let something happen in Kusto or in the storage."""
        service = self.service
        match what:
            case "advance":
                alive = service.alive()
                if alive:
                    service.advance(alive[pick % len(alive)], fault)
                return bool(alive)
            case "deliver":
                if service.late:
                    service.deliver(pick % len(service.late))
                    return True
                return False
            case "outage":
                service.reachable = not service.reachable
            case "restart":
                service.restart()
            case "merge":
                service.merge()
            case "expire":
                self._remember("expired", service.expire())
            case "forget":
                service.forget_records()
            case "storage outage":
                self.objects.reachable = not self.objects.reachable
            case _:
                raise ValueError(f"nothing in Kusto's world is called {what!r}")
        return True

    def drift(self) -> None:
        """Let the oldest command go on."""
        alive = self.service.alive()
        if alive:
            self.service.advance(alive[0])

    def due(self) -> float:
        """Return when a late request or a slow command comes."""
        return self.service.due()

    def serve(self) -> None:
        """Let it come."""
        self.service.serve()

    def was_deleted(self, address: str) -> bool:
        """Whether the sink has deleted a part."""
        return self.objects.was_deleted(address)

    def heal(self) -> None:
        """Bring everything back."""
        self.service.reachable = self.objects.reachable = True

    def idle(self) -> bool:
        """Let all commands go on that have had their time, and late requests arrive."""
        return not self.service.go_on()

    def causes(self) -> frozenset[str]:
        """Return what happened that only a person can decide on."""
        happened = {"partial"} if self.service.partial else set()
        happened |= {"merged"} if self.service.merged else set()
        happened |= {"refused"} if self.service.unreadable else set()
        return frozenset(self.asked | happened)

    def unknowable(self) -> Iterable[str]:
        """Return rows whose loss a merge with rows of others has covered up."""
        return self.service.unknowable()

    def _remember(self, cause: str, happened: bool) -> None:
        if happened:
            self.asked.add(cause)


class Lines:
    """An encoding that is cheap: a row is a line."""

    def convert(self, batch: Sequence[str]) -> Sequence[str]:
        """Return the batch as it is."""
        return batch

    def open(self, upload: Upload) -> LinePart:
        """Return a part."""
        return LinePart(upload)


class LinePart:
    """A part of lines."""

    __slots__ = ("_lines", "_upload", "raw_bytes", "rows")

    def __init__(self, upload: Upload) -> None:
        self.rows = 0
        self.raw_bytes = 0
        self._upload = upload

    def write(self, batch: Sequence[str]) -> None:
        """Take rows."""
        data = "".join(f"{name}\n" for name in batch).encode()
        self.rows += len(batch)
        self.raw_bytes += len(data)
        self._upload.write(data)

    def seal(self) -> Stored:
        """Make the part durable."""
        return self._upload.seal()

    def abort(self) -> None:
        """Forget it."""
        self._upload.abort()


_SINK = KustoSink(
    name="simulated",
    cluster="http://127.0.0.1:1",
    database="Simulated",
    table="Rows",
    staging="file:///simulated",
    auth="none",
)
_DESTINATION = Destination.of(_SINK, plan_columns(COLUMNS, None)).text()
