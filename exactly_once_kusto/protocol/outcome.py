"""What ports answer: frozen values that say what is known, and 'unknown' is one of them (I6)."""

from __future__ import annotations

from dataclasses import dataclass

from exactly_once_kusto.protocol.slices import Part, Slice


@dataclass(frozen=True, slots=True)
class Transaction:
    """Due slices of one destination that are committed together under one tag."""

    id: str
    slices: tuple[Slice, ...]

    @property
    def destination(self) -> str:
        """The destination all slices share."""
        return self.slices[0].destination

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts, in the order of the slices."""
        return tuple(part for piece in self.slices for part in piece.parts)

    @property
    def rows(self) -> int:
        """Rows that the target must hold under the tag once this is committed."""
        return sum(piece.rows for piece in self.slices)


@dataclass(frozen=True, slots=True)
class Access:
    """What the ledger may know of the access minted for one attempt; the secret is not in it.

    `expires_at` is in seconds since the epoch by the storage's clock; None where access never
    expires (a local directory, a managed identity).
    """

    principal: str
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The target took the command and named its operation."""

    operation: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request provably never left: no connection was made. The attempt is closed."""

    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The target answered that the command was not started. The attempt is closed."""

    message: str
    permanent: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer, or one that proves nothing: the command may run now, later, or never."""

    message: str


Submission = Accepted | NotSent | Refused | Lost


@dataclass(frozen=True, slots=True)
class Running:
    """The operation has not ended."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The operation ended and says that it did all it was asked."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """The operation ended without doing anything, because an extent bears the tag."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The operation ended otherwise. Rows may be in all the same: count."""

    message: str
    permanent: bool


@dataclass(frozen=True, slots=True)
class Missing:
    """No record: too early, expired, or never there. Proves nothing."""


OperationStatus = Running | Completed | Skipped | Failed | Missing


@dataclass(frozen=True, slots=True)
class Extent:
    """An extent that bears the transaction's tag or that its operation named.

    `tags` are the values of all its `ingest-by:` tags: after a merge there are several. `named`
    says that an operation of the transaction named this extent: then no merge has touched it.
    `merged` says that one is known to have: its rows may be others' too.
    """

    id: str
    rows: int
    tags: tuple[str, ...]
    named: bool = False
    merged: bool = False


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a look at the target found.

    `busy`: some operation of the principal that could be ours is still running. `kept_s`: how
    long the target keeps this kind of evidence (tag or data retention), None for 'as long as the
    data'.
    """

    extents: tuple[Extent, ...]
    busy: bool
    kept_s: float | None = None
