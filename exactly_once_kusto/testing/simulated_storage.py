"""Storage in memory, behind the port that directories and containers have: `ObjectStore`.

Faults: a call is lost before it had an effect, or its answer is lost behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from zlib import crc32

from exactly_once_kusto.errors import StorageUnavailableError
from exactly_once_kusto.storage.objects import BytesLike, Stored
from exactly_once_kusto.testing.world import Gate

ROOT = "simulated://staging"
LOST_BEFORE, LOST_AFTER = 1, 2


@dataclass(slots=True)
class Objects:
    """What is stored, shared by all processes: content by name."""

    content: dict[str, bytes] = field(default_factory=dict)
    reachable: bool = True
    deleted: set[str] = field(default_factory=set)
    """Names that a process has deleted."""

    def was_deleted(self, address: str) -> bool:
        """Whether a process has deleted what lay at an address."""
        return address.removeprefix(f"{ROOT}/") in self.deleted

    def read_at(self, address: str) -> bytes | None:
        """Return the content at an address, as a reader outside sees it."""
        return self.content.get(address.removeprefix(f"{ROOT}/"))


class SimulatedStore:
    """An `ObjectStore` of one process over shared `Objects`."""

    __slots__ = ("_gate", "_objects")

    def __init__(self, objects: Objects, gate: Gate) -> None:
        self._objects = objects
        self._gate = gate

    @property
    def address(self) -> str:
        """Where the store lies."""
        return ROOT

    def create(self, name: str, data: bytes) -> bool:
        """Create an object if the name is free."""
        fault = self._enter("create", name)
        created = name not in self._objects.content
        if created:
            self._objects.content[name] = bytes(data)
        self._leave("create", name, fault)
        return created

    def read(self, name: str) -> bytes | None:
        """Return an object's content."""
        fault = self._enter("read", name)
        found = self._objects.content.get(name)
        self._leave("read", name, fault)
        return found

    def stat(self, name: str) -> Stored | None:
        """Return an object's length and mark."""
        fault = self._enter("stat", name)
        found = self._objects.content.get(name)
        self._leave("stat", name, fault)
        return None if found is None else _stored(name, found)

    def list(self, prefix: str, after: str | None = None) -> Iterator[str]:
        """Return names in order."""
        fault = self._enter("list", prefix)
        floor = after or ""
        found = [n for n in self._objects.content if n.startswith(prefix) and n > floor]
        self._leave("list", prefix, fault)
        return iter(sorted(found))

    def delete(self, name: str) -> None:
        """Delete an object."""
        fault = self._enter("delete", name)
        self._objects.content.pop(name, None)
        self._objects.deleted.add(name)
        self._leave("delete", name, fault)

    def upload(self, name: str) -> SimulatedUpload:
        """Begin an object; nothing is called until it is written or sealed."""
        return SimulatedUpload(self, name)

    def seal(self, name: str, data: bytes) -> Stored:
        """Make an upload an object."""
        fault = self._enter("seal", name)
        if name in self._objects.content:
            raise FileExistsError(name)
        self._objects.content[name] = data
        self._leave("seal", name, fault)
        return _stored(name, data)

    def pass_block(self, name: str) -> None:
        """Carry a block of an upload; nobody sees it before the seal."""
        self._leave("block", name, self._enter("block", name))

    def _enter(self, call: str, name: str) -> int:
        fault = self._gate.enter(call, name)
        if fault % 3 == LOST_BEFORE or not self._objects.reachable:
            raise StorageUnavailableError(f"{call} {name}: the simulated storage does not answer")
        return fault

    def _leave(self, call: str, name: str, fault: int) -> None:
        self._gate.leave(call, name)
        if fault % 3 == LOST_AFTER:
            raise StorageUnavailableError(f"{call} {name}: the simulated answer was lost")


class SimulatedUpload:
    """An object that is being written."""

    __slots__ = ("_data", "_name", "_store")

    def __init__(self, store: SimulatedStore, name: str) -> None:
        self._store = store
        self._name = name
        self._data = bytearray()

    def write(self, data: BytesLike) -> int:
        """Take data."""
        self._store.pass_block(self._name)
        self._data += data
        return len(data)

    def seal(self) -> Stored:
        """Make it an object."""
        return self._store.seal(self._name, bytes(self._data))

    def abort(self) -> None:
        """Forget it: blocks that are not sealed are seen by nobody."""

    def __enter__(self) -> SimulatedUpload:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is left open."""


def _stored(name: str, data: bytes) -> Stored:
    return Stored(f"{ROOT}/{name}", len(data), f"{crc32(data):08x}")
