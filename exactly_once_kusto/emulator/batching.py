"""Batches of queued blobs: which blobs go together, and when a batch is sealed.

Source: https://learn.microsoft.com/kusto/management/batching-policy, whose words for the causes
of sealing are used.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from .policies import Batching
from .queue_messages import Blob

SIZE, COUNT, TIME, FLUSH = "Size", "Count", "Time", "FlushImmediately"
BY_TAG = "SingleBlob_IngestByTag"
IF_NOT_EXISTS = "SingleBlob_IngestIfNotExists"
SIZE_UNKNOWN = "SingleBlob_SizeUnknown"
NOT_BATCHED = "SingleBlob_FlushImmediately"


@dataclass(frozen=True)
class Item:
    """A blob that was taken in: its number in the store, and its bytes (None: can't be known)."""

    number: int
    blob: Blob
    size: int | None


@dataclass(frozen=True)
class Batch:
    """Blobs that one ingest command takes, and why they were sealed; tried ``attempts`` times."""

    items: tuple[Item, ...]
    sealed_by: str
    attempts: int = 0


@dataclass
class _Open:
    items: list[Item] = field(default_factory=list)
    size: int = 0
    due: dt.datetime | None = None


class Batcher:
    """The open batches. Knows no clock: the time is told. Not safe for several threads."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, ...], _Open] = {}

    def add(self, item: Item, arrived: dt.datetime, policy: Batching) -> Batch | None:
        """Puts the blob into the batch that it fits in; the batch, if that sealed it.

        A blob with an ``ingest-by:`` tag or ``ingestIfNotExists`` is a batch of its own.
        """
        alone = _alone(item)
        if alone is not None:
            return Batch((item,), alone)
        key = _key(item.blob)
        batch = self._open.setdefault(key, _Open())
        batch.items.append(item)
        batch.size += item.size or 0
        due = arrived + policy.period
        batch.due = due if batch.due is None else min(batch.due, due)
        cause = None
        if batch.size >= policy.bytes_max:
            cause = SIZE
        elif len(batch.items) >= policy.items_max:
            cause = COUNT
        elif item.blob.flush:
            cause = FLUSH
        return None if cause is None else self._seal(key, cause)

    def due(self, now: dt.datetime) -> list[Batch]:
        """Seals the batches whose time has come."""
        over = [
            key for key, batch in self._open.items() if batch.due is not None and batch.due <= now
        ]
        return [self._seal(key, TIME) for key in over]

    def drop(self, numbers: Iterable[int]) -> set[int]:
        """Takes blobs out of the open batches, where they still are in one; which those were."""
        gone, dropped = set(numbers), set()
        for key, batch in list(self._open.items()):
            dropped |= {item.number for item in batch.items if item.number in gone}
            batch.items = [item for item in batch.items if item.number not in gone]
            batch.size = sum(item.size or 0 for item in batch.items)
            if not batch.items:
                del self._open[key]
        return dropped

    def waiting(self) -> int:
        """How many blobs are in open batches."""
        return sum(len(batch.items) for batch in self._open.values())

    def _seal(self, key: tuple[str, ...], cause: str) -> Batch:
        return Batch(tuple(self._open.pop(key).items), cause)


def _alone(item: Item) -> str | None:
    given = item.blob.properties
    if any(tag.startswith("ingest-by:") for tag in _texts(given.get("tags"))):
        return BY_TAG
    if _texts(given.get("ingestifnotexists")):
        return IF_NOT_EXISTS
    if item.blob.alone:
        return NOT_BATCHED
    return SIZE_UNKNOWN if item.size is None else None


def _key(blob: Blob) -> tuple[str, ...]:
    listed = json.dumps(sorted(blob.properties.items()))
    return (blob.database.lower(), blob.table, listed, blob.token or "")


def _texts(text: str | None) -> list[str]:
    """The strings of a list; what is none is one string, so that its ingestion tells why."""
    if not text:
        return []
    try:
        read = json.loads(text if '"' in text else text.replace("'", '"'))
    except (ValueError, RecursionError):
        return [f"ingest-by:{text}"]
    return [str(each) for each in read] if isinstance(read, list) else [f"ingest-by:{text}"]
