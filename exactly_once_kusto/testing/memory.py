"""Ports in memory: a log, a store of parts, a target with faults. One thread, no clock of its own.

`MemoryTarget` answers as a service may: it can lose a request or its reply, run commands for a
while, fail them, commit only part of the rows, skip the tag check, forget its records or its tags.
What happens is decided by the caller, so that a seed or a test decides it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from exactly_once_kusto.errors import ExactlyOnceError, TargetUnavailableError
from exactly_once_kusto.protocol.outcome import (
    Accepted,
    Access,
    Completed,
    Extent,
    Failed,
    Lost,
    Missing,
    NotSent,
    OperationStatus,
    Refused,
    Running,
    Sighting,
    Skipped,
    Submission,
    Transaction,
)
from exactly_once_kusto.protocol.slices import Part


@dataclass(slots=True)
class MemoryLog:
    """A `LedgerStore` that several coordinators may share."""

    address: str = "memory://log"
    entries: list[bytes] = field(default_factory=list)

    def read(self, after: int) -> Sequence[tuple[int, bytes]]:
        """Return the entries above `after`."""
        return [(i + 1, data) for i, data in enumerate(self.entries) if i >= after]

    def append(self, number: int, data: bytes) -> bool:
        """Create entry `number` if it is the next one."""
        if number <= len(self.entries):
            return self.entries[number - 1] == data
        if number != len(self.entries) + 1:
            raise ValueError(f"entry {number} would leave a gap after {len(self.entries)}")
        self.entries.append(data)
        return True


@dataclass(slots=True)
class MemoryBrake:
    """A `Brake` that remembers why it is on; None: it is off."""

    reason: str | None = None

    def put_on(self, reason: str) -> None:
        """Hold the writers back."""
        self.reason = reason

    def take_off(self) -> None:
        """Let the writers go on."""
        self.reason = None

    def is_on(self) -> bool:
        """Whether the writers are held back."""
        return self.reason is not None


@dataclass(slots=True)
class MemoryStaging:
    """Parts by address, with the rows that they hold."""

    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sealed: int = 0

    def seal(self, rows: Sequence[str], destination: str = "memory") -> Part:
        """Make rows durable under an address that never recurs."""
        self.sealed += 1
        address = f"memory://parts/{self.sealed}"
        self.parts[address] = tuple(rows)
        size = sum(map(len, rows))
        return Part(address, size, f"etag-{self.sealed}", len(rows), size, destination)


@dataclass(slots=True)
class Command:
    """An ingest command in the target: it holds its rows once it has read the parts."""

    operation: str
    transaction: Transaction
    started: float
    phase: str = "running"
    status: OperationStatus = field(default_factory=Running)
    extent: int | None = None


@dataclass(slots=True)
class MemoryTarget:
    """A `Target` over `MemoryStaging`. Rows are visible in `extents`, each with its tags.

    `on_submit` says what becomes of the next request: `take`, `lose-request`, `lose-reply`,
    `refuse`, `refuse-for-good` or `not-sent`. `advance` lets a command go on.
    """

    staging: MemoryStaging
    on_submit: Callable[[], str] = lambda: "take"
    atomic: bool = True
    reachable: bool = True
    records_visible: bool = True
    preflight_error: ExactlyOnceError | None = None
    kept_s: float | None = None
    access_lifetime_s: float | None = None
    clock: Callable[[], float] = lambda: 0.0
    extents: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    merged: set[int] = field(default_factory=set)
    """Extents that a merge has made."""

    def preflight(self) -> None:
        """Raise what the test set."""
        self._reach()
        if self.preflight_error is not None:
            raise self.preflight_error

    def mint(self, transaction: Transaction, attempt: int) -> Access:
        """Return access that expires after `access_lifetime_s`."""
        if self.access_lifetime_s is None:
            return Access("memory")
        return Access("memory", self.clock() + self.access_lifetime_s)

    def submit(self, transaction: Transaction, attempt: int) -> Submission:
        """Take or lose one request."""
        if not self.reachable:
            return NotSent("connection refused")
        what = self.on_submit()
        if what == "lose-request":
            return Lost("no reply")
        if what.startswith("refuse"):
            return Refused("refused by the test", permanent=what == "refuse-for-good")
        if what == "not-sent":
            return NotSent("connection refused")
        command = Command(f"op-{len(self.commands) + 1}", transaction, self.clock())
        self.commands.append(command)
        return Lost("reply lost") if what == "lose-reply" else Accepted(command.operation)

    def poll(self, transaction: Transaction, operation: str) -> OperationStatus:
        """Return the command's status."""
        self._reach()
        command = next((c for c in self.commands if c.operation == operation), None)
        return Missing() if command is None or not self.records_visible else command.status

    def look(
        self, transaction: Transaction, operations: Sequence[str], since: float, until: float
    ) -> Sighting:
        """Return the extents with the transaction's tag or made by its operations."""
        self._reach()
        named = {c.extent for c in self.commands if c.operation in operations}
        found = [
            Extent(f"extent-{number}", len(rows), tags, number in named, number in self.merged)
            for number, (rows, tags) in self.extents.items()
            if transaction.id in tags or number in named
        ]
        busy = self.records_visible and any(
            c.phase != "ended" and since <= c.started <= until for c in self.commands
        )
        return Sighting(tuple(found), busy, self.kept_s)

    def delete(self, parts: Sequence[Part]) -> None:
        """Forget the parts."""
        for part in parts:
            self.staging.parts.pop(part.address, None)

    # ---- what the test does to the target

    def advance(self, command: Command, share: float = 1.0, fail: bool = False) -> None:
        """Let a running command take its next step: past the tag check, then its rows are in.

        `share` below 1 commits only part of the rows.
        """
        if command.phase == "running" and not self.atomic:
            command.phase = "checked"
            if self._tagged(command):
                self._end(command, Skipped())
            return
        if command.phase == "ended":
            return
        if self._tagged(command) and self.atomic:
            self._end(command, Skipped())
            return
        addresses = [part.address for part in command.transaction.parts]
        if fail or any(address not in self.staging.parts for address in addresses):
            self._end(command, Failed("parts can't be read", permanent=False))
            return
        rows = tuple(row for address in addresses for row in self.staging.parts[address])
        command.extent = len(self.extents) + 1
        kept = rows if share >= 1 else rows[: int(len(rows) * share)]
        self.extents[command.extent] = (kept, (command.transaction.id,))
        self._end(command, Completed())

    def advance_all(self) -> None:
        """Let every running command take a step."""
        for command in self.commands:
            self.advance(command)

    def drop_tags(self) -> None:
        """Let every tag expire; rows stay."""
        self.extents = {number: (rows, ()) for number, (rows, _) in self.extents.items()}

    def merge(self, others: tuple[str, ...] = ()) -> None:
        """Merge all extents, and rows of others, into one that bears all tags."""
        rows = tuple(row for held, _ in self.extents.values() for row in held) + others
        tags = tuple(tag for _, held in self.extents.values() for tag in held)
        number = len(self.extents) + 1000
        self.extents = {number: (rows, tags)}
        self.merged.add(number)

    def rows(self) -> list[str]:
        """All rows that a query would see."""
        return [row for held, _ in self.extents.values() for row in held]

    def _tagged(self, command: Command) -> bool:
        return any(command.transaction.id in tags for _, tags in self.extents.values())

    def _end(self, command: Command, status: OperationStatus) -> None:
        command.phase, command.status = "ended", status

    def _reach(self) -> None:
        if not self.reachable:
            raise TargetUnavailableError("the target can't be reached: connection refused")
