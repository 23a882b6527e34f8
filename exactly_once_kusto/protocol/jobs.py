"""What is asked of the log, one at a time: read to the end, think, create if absent.

A job is a value; what to append is decided only when its turn has come, on the log as it is then.
"""

from __future__ import annotations

from dataclasses import dataclass

from exactly_once_kusto.protocol.outcome import Access, Transaction
from exactly_once_kusto.protocol.slices import Part


@dataclass(frozen=True, slots=True)
class Survey:
    """Read the log to its end and decide whether this run may begin; nothing is appended."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Append `start` (and `rewind-accepted` before it), unless the log now forbids it."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Look for a later start, then seal `parts` into the slices of a checkpoint."""

    checkpoint: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class ListBatch:
    """Append `batch` with all slices of `parts`, unless an earlier run of the job has."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Intend:
    """Append the intent of an attempt, unless the log has moved on."""

    transaction: Transaction
    attempt: int
    access: Access


@dataclass(frozen=True, slots=True)
class Name:
    """Append the operation of an attempt."""

    transaction: Transaction
    attempt: int
    operation: str


@dataclass(frozen=True, slots=True)
class Conclude:
    """Append `committed`, unless it is there."""

    transaction: Transaction
    rows: int
    extents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """Append `end`: everything this run sealed is in."""


Job = Survey | Begin | Seal | ListBatch | Intend | Name | Conclude | Finish

READS_FIRST = (Survey, Begin, Seal, ListBatch)
"""Jobs that must not decide on an old reading: the run may have been fenced meanwhile."""
