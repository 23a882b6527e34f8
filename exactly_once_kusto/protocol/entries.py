"""The entries of the ledger's log, and their JSON.

Each entry is one object, created only if absent under the next number (storage.log). `nonce` is
fresh for every attempt to append, so that a process whose reply was lost knows its own entry.
Kinds that a later version adds are refused by number and name, never skipped: an entry that is
not understood may be the one that forbids what comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from exactly_once_kusto.errors import DecodeError
from exactly_once_kusto.protocol.codec import canonical, parse_object
from exactly_once_kusto.protocol.slices import Slice, slice_from_json, slice_to_json

ENTRY_VERSION = 1


@dataclass(frozen=True, slots=True)
class Start:
    """A run began under the name. It fences every earlier run, of whatever lineage."""

    nonce: str
    time: float
    run: str
    lineage: str
    job: str
    operator: str
    host: str
    attempt: int
    restored: int | None
    position: int


@dataclass(frozen=True, slots=True)
class End:
    """The run ended cleanly: everything it ever sealed is in."""

    nonce: str
    time: float
    run: str


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be tried, in full, before it is tried (I6)."""

    nonce: str
    time: float
    run: str
    lineage: str
    transaction: str
    attempt: int
    mode: str
    principal: str
    expires_at: float | None
    slices: tuple[Slice, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """The target named the operation of an attempt."""

    nonce: str
    time: float
    run: str
    transaction: str
    attempt: int
    operation: str


@dataclass(frozen=True, slots=True)
class Committed:
    """Evidence was seen: the target holds all rows of the transaction."""

    nonce: str
    time: float
    run: str
    transaction: str
    rows: int
    extents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RewindAccepted:
    """A person chose `on-rewind = allow` for this restored state."""

    nonce: str
    time: float
    run: str
    lineage: str
    restored: int | None
    position: int


@dataclass(frozen=True, slots=True)
class Batch:
    """All slices of a batch job, before the first of them is tried: a rerun commits these."""

    nonce: str
    time: float
    run: str
    lineage: str
    job: str
    slices: tuple[Slice, ...]


Entry = Start | End | Intent | Operation | Committed | RewindAccepted | Batch

KINDS: dict[str, type[Entry]] = {
    "start": Start,
    "end": End,
    "intent": Intent,
    "operation": Operation,
    "committed": Committed,
    "rewind-accepted": RewindAccepted,
    "batch": Batch,
}
_NAMES = {kind: name for name, kind in KINDS.items()}


def kind_of(entry: Entry) -> str:
    """Return the entry's kind as the log spells it."""
    return _NAMES[type(entry)]


def encode_entry(entry: Entry) -> bytes:
    """Return the entry as canonical JSON with its kind and version."""
    body: dict[str, object] = {"v": ENTRY_VERSION, "kind": kind_of(entry)}
    for field in entry.__dataclass_fields__:
        value = getattr(entry, field)
        body[field] = [slice_to_json(s) for s in value] if field == "slices" else value
    return canonical(body).encode()


def decode_entry(number: int, data: bytes) -> Entry:
    """Return the entry that stands under `number`.

    Raises:
        DecodeError: damaged, cut short, of a newer version or of an unknown kind.
    """
    what = f"ledger entry {number}"
    body = parse_object(data, what)
    version, name = body.pop("v", None), body.pop("kind", None)
    if version != ENTRY_VERSION or name not in KINDS:
        raise DecodeError(
            f"{what}: kind {name!r} in version {version!r}; this build reads version "
            f"{ENTRY_VERSION} of {', '.join(KINDS)}: run the build that wrote it, or a newer one"
        )
    kind = KINDS[name]
    try:
        return kind(**{field: _READ[field](body[field]) for field in kind.__dataclass_fields__})
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError(f"{what}: a field is missing or of another kind: {error!r}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected, found {value!r}")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"a whole number expected, found {value!r}")
    return value


def _maybe(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


_READ: Mapping[str, Callable[[Any], Any]] = {
    "nonce": _text,
    "time": float,
    "run": _text,
    "lineage": _text,
    "job": _text,
    "operator": _text,
    "host": _text,
    "attempt": _whole,
    "restored": _maybe(_whole),
    "position": _whole,
    "transaction": _text,
    "mode": _text,
    "principal": _text,
    "expires_at": _maybe(float),
    "slices": lambda rows: tuple(slice_from_json(row) for row in rows),
    "operation": _text,
    "rows": _whole,
    "extents": lambda names: tuple(_text(name) for name in names),
}
