"""A model of Kusto as far as the sink leans on it: extents, tags, operations, and their faults.

What its documentation leaves open is open here: whether `ingestIfNotExists` is atomic, when a
record appears and whether it stays, whether a command does all it was asked. Time is the world's.

Sources (Kusto's documentation): management/extents-overview.md, extent-tags.md,
extent-tags-retention-policy.md, show-operations.md, show-operation-details.md,
data-ingestion/ingest-into-command.md, data-ingestion/ingestion-failures.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from exactly_once_kusto.testing.simulated_storage import Objects
from exactly_once_kusto.testing.world import World

RECORD_BY_ID_S = 6 * 3600.0
"""`.show operations <id>` and `.show operation <id> details` know no older records."""
FULL_SHARE = 8


@dataclass(slots=True)
class Extent:
    """Rows that became visible together."""

    id: str
    rows: tuple[str, ...]
    tags: tuple[str, ...]
    created: float
    newest: float = 0.0
    """When the latest of those was created that were merged into it; else as `created`."""
    untagged: int = 0
    """How many of its rows come from extents that had no tag when they were merged into it."""

    def __post_init__(self) -> None:
        self.newest = self.newest or self.created


@dataclass(frozen=True, slots=True)
class Ingest:
    """What an ingest command asks for: sources with the end of their access, and the tag."""

    sources: tuple[tuple[str, float], ...]
    tag: str
    refuses: str
    """The tag that makes the command be skipped, '' for none."""
    sent: float = field(default=0.0, compare=False, repr=False)


@dataclass(slots=True)
class Operation:
    """A command on its way: `running` until it has read its sources, `reading`, `ended`."""

    id: str
    asked: Ingest
    started: float
    phase: str = "running"
    state: str = "InProgress"
    status: str = ""
    code: str = ""
    permanent: bool = False
    rows: tuple[str, ...] = ()
    extents: tuple[str, ...] = ()
    forgotten: bool = False
    missing: tuple[str, ...] = ()
    """Rows that a command that did half of its work has left out."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How this Kusto behaves where its documentation promises nothing.

    `records_late_s`: how long an operation is in no record after its start. `tags_kept_s`,
    `rows_kept_s`: the retention policy of its tags and of its rows, None for 'for ever'. `slow_s`:
    how long an operation takes at least. `late_s`: how long a late request is on its way, unless it
    is told to arrive. `faulty`: which of the commands to end has `fault` (see `Service.advance`), 0
    for none. `lost`: which of the requests has `loss` (simulated_requests.py). `merges`: after how
    many ingestions all extents are merged. `foreign`: untagged rows of others that are merged in.
    """

    atomic: bool = True
    records_late_s: float = 0.0
    tags_kept_s: float | None = None
    rows_kept_s: float | None = None
    slow_s: float = 0.0
    late_s: float = math.inf
    faulty: int = 0
    fault: int = 0
    lost: int = 0
    loss: int = 0
    merges: int = 0
    foreign: int = 0


@dataclass(slots=True)
class Service:
    """One cluster with one table. `seen` is told of all rows that become visible."""

    world: World
    objects: Objects
    habits: Habits
    seen: Callable[[Sequence[str]], None]
    extents: dict[str, Extent] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    late: list[Ingest] = field(default_factory=list)
    """Requests that are on their way: the sender has given up waiting for an answer."""
    reachable: bool = True
    partial: bool = False
    """Whether ever only a part of a command's rows came in."""
    merged: bool = False
    filled: set[tuple[str, int]] = field(default_factory=set)
    """Tags whose extents a merge has filled up with so many rows that bear no tag of their own."""
    unreadable: bool = False
    """Whether ever a part could not be read though nobody had taken it away."""
    made: int = 0
    requests: int = 0
    """Requests that change something."""
    brought: int = 0
    """Commands that came to having their rows in, or to failing there."""

    # ---- what requests do

    def start(self, asked: Ingest) -> Operation:
        """Begin a command."""
        operation = Operation(self._guid(), asked, self.world.now)
        self.operations[operation.id] = operation
        return operation

    def record(self, operation: str) -> Operation | None:
        """Return the record of an operation by its id."""
        found = self.operations.get(operation)
        if found is None or not self._recorded(found):
            return None
        return found if self.world.now - found.started < RECORD_BY_ID_S else None

    def running_between(self, since: float, until: float) -> int:
        """Count the operations in the records that started then and have not ended."""
        return sum(
            1
            for each in self.operations.values()
            if each.phase != "ended" and since <= each.started <= until and self._recorded(each)
        )

    def tagged(self, tag: str) -> list[Extent]:
        """Return the extents that bear a tag."""
        return [each for each in self.extents.values() if tag in each.tags]

    # ---- what goes on inside

    def alive(self) -> list[Operation]:
        """Return the operations that have not ended."""
        return [each for each in self.operations.values() if each.phase != "ended"]

    def advance(self, operation: Operation, fault: int = 0) -> None:
        """Let a command take its next step: read its sources, then have its rows in.

        `fault`: 1 fails for now, 2 fails as if abandoned, 3 has only a part of its rows in, 4 fails
        for good, because a part can't be read.
        """
        if operation.phase == "running":
            self._read_sources(operation)
        elif operation.phase == "reading":
            self._bring_in(operation, fault)

    def go_on(self) -> bool:
        """Let all that has its time go one step on; whether there was anything."""
        now, moved = self.world.now, False
        for i in reversed(range(len(self.late))):
            if now - self.late[i].sent >= self.habits.late_s:
                self.deliver(i)
                moved = True
        for operation in self.alive():
            if operation.phase == "running" or now - operation.started >= self.habits.slow_s:
                self.advance(operation)
                moved = True
        return moved

    def due(self) -> float:
        """Return when the next late request arrives, or the next slow command has its rows in."""
        arrivals = [each.sent + self.habits.late_s for each in self.late]
        ends = [each.started + self.habits.slow_s for each in self._slow()]
        return min([*arrivals, *ends], default=math.inf)

    def serve(self) -> None:
        """Let the request arrive that is due, and its command read; or a slow command end."""
        for i, each in enumerate(self.late):
            if each.sent + self.habits.late_s <= self.world.now:
                self.advance(self.deliver(i))
                return
        for slow in self._slow():
            if slow.started + self.habits.slow_s <= self.world.now:
                self.advance(slow)
                return

    def _slow(self) -> list[Operation]:
        return [each for each in self.alive() if each.phase == "reading" and self.habits.slow_s]

    def deliver(self, index: int) -> Operation:
        """Let a request arrive that was on its way."""
        self.world.note("a late request arrives")
        return self.start(self.late.pop(index))

    def restart(self) -> None:
        """Lose what runs: its operations end without an effect."""
        for operation in self.alive():
            self._end(operation, "Abandoned", "the service was restarted")

    def merge(self) -> None:
        """Merge all extents into one with all their tags (extents-overview.md)."""
        old = list(self.extents.values())
        if old and self.habits.foreign:
            others = ("",) * self.habits.foreign
            old.append(Extent("", others, (), self._tick()))
        if len(old) < 2:
            return
        self.merged = True
        self.world.note("extents are merged")
        rows = tuple(row for each in old for row in each.rows)
        tags = tuple(sorted({tag for each in old for tag in each.tags}))
        created = min(each.created for each in old)
        newest = max(each.newest for each in old)
        untagged = sum(each.untagged if each.tags else len(each.rows) for each in old)
        merged = Extent(self._guid(), rows, tags, created, newest, untagged)
        self.extents = {merged.id: merged}
        self.filled.update((tag, untagged) for tag in tags if untagged)

    def expire(self) -> bool:
        """Drop the tags and rows that the policies say may go; whether there were any."""
        tags_s, rows_s = self.habits.tags_kept_s, self.habits.rows_kept_s
        kept = {k: e for k, e in self.extents.items() if not self._is_old(e, rows_s)}
        dropped = len(kept) < len(self.extents)
        self.extents = kept
        for extent in kept.values():
            if extent.tags and self._is_old(extent, tags_s):
                extent.tags, dropped = (), True
        if dropped:
            self.world.note("tags or rows have expired")
        return dropped

    def _is_old(self, extent: Extent, kept_s: float | None) -> bool:
        return kept_s is not None and self.world.now - extent.created >= kept_s

    def forget_records(self) -> None:
        """Lose the records of what has ended."""
        for operation in self.operations.values():
            operation.forgotten = operation.forgotten or operation.phase == "ended"

    def unknowable(self) -> list[str]:
        """Return rows that are missing and that nobody can know to be: the count came out right.

        A merge has put as many rows of others (whose tags have expired, or that never had any)
        beside the half of a command's, and how that command ended is in no record that its sender
        could have read (docs/guarantee.md, Count).
        """
        ledger = [data for name, data in self.objects.content.items() if "/ledger/" in name]
        return [
            row
            for each in self.operations.values()
            if (each.asked.tag, len(each.missing)) in self.filled
            and not self._readable(each, ledger)
            for row in each.missing
        ]

    # ---- within

    def _readable(self, operation: Operation, ledger: list[bytes]) -> bool:
        known = any(operation.id.encode() in data for data in ledger)
        fresh = self.world.now - operation.started < RECORD_BY_ID_S
        return known and fresh and not operation.forgotten

    def _recorded(self, operation: Operation) -> bool:
        late = self.world.now - operation.started < self.habits.records_late_s
        return not operation.forgotten and not late

    def _read_sources(self, operation: Operation) -> None:
        if not self.habits.atomic and self._skips(operation):
            return
        rows: list[str] = []
        for address, until in operation.asked.sources:
            found = self.objects.read_at(address)
            if self.world.now > until:
                self._fail(operation, "Download_Forbidden", address)
                return
            if found is None:
                self._fail(operation, "Download_SourceNotFound", address)
                return
            rows += found.decode().split()
        operation.rows, operation.phase = tuple(rows), "reading"

    def _bring_in(self, operation: Operation, fault: int) -> None:
        if self.habits.atomic and self._skips(operation):
            return
        self.brought += 1
        if self.brought == self.habits.faulty:
            fault = self.habits.fault
        if fault == 1:
            self._end(operation, "Failed", "the simulated cluster was busy")
            return
        if fault == 2:
            self._end(operation, "Abandoned", "the simulated node was lost")
            return
        if fault == 4:
            self.unreadable = True
            self._fail(operation, "Download_SourceNotFound", operation.asked.sources[0][0])
            return
        self.partial = self.partial or fault == 3
        half = len(operation.rows) // 2 if fault == 3 else len(operation.rows)
        rows, operation.missing = operation.rows[:half], operation.rows[half:]
        if rows:
            extent = Extent(self._guid(), rows, (operation.asked.tag,), self._tick())
            self.extents[extent.id] = extent
            operation.extents = (extent.id,)
            self.seen(rows)
            if len(self.extents) == self.habits.merges:
                self.merge()
        self._end(operation, "PartiallySucceeded" if fault == 3 else "Completed", "")

    def _skips(self, operation: Operation) -> bool:
        if not operation.asked.refuses or not self.tagged(operation.asked.refuses):
            return False
        self._end(operation, "Skipped", "")
        return True

    def _fail(self, operation: Operation, code: str, address: str) -> None:
        operation.code, operation.permanent = code, True
        self._end(operation, "Failed", f"{code} {address}")

    def _end(self, operation: Operation, state: str, status: str) -> None:
        operation.phase, operation.state, operation.status = "ended", state, status
        self.world.note(f"kusto: {operation.id[:8]} for {operation.asked.tag[-6:]} ends: {state}")

    def _tick(self) -> float:
        """Return the time, never twice the same: the world's clock stands while things happen."""
        self.made += 1
        return self.world.now + self.made * 1e-6

    def _guid(self) -> str:
        self.made += 1
        return f"{self.made:08x}-0000-4000-8000-000000000000"
