"""What goes into one command: parts are cut into slices at seal, slices grouped at commit. Pure.

A command takes at most `group_bytes_max` uncompressed bytes and `group_parts_max` parts; a single
part over the limit goes alone. Destinations (and so schemas) are never mixed. Slices may be held
back until there are enough of them: a decision at commit time, of which no state knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exactly_once_kusto.protocol.events import Moment
from exactly_once_kusto.protocol.identity import slice_id
from exactly_once_kusto.protocol.ledger import Ledger
from exactly_once_kusto.protocol.ports import Settings
from exactly_once_kusto.protocol.slices import Part, Slice


def seal(
    parts: Iterable[Part], checkpoint: int, lineage: str, settings: Settings, moment: Moment
) -> list[Slice]:
    """Make parts into slices of a checkpoint, each under an id that is minted here.

    One slice a destination, or several where one would not fit into a command.
    """
    by_destination: dict[str, list[Part]] = {}
    for part in parts:
        by_destination.setdefault(part.destination, []).append(part)
    pieces = [
        (destination, chunk)
        for destination, listed in by_destination.items()
        for chunk in cut(listed, settings)
    ]
    return [
        Slice(
            slice_id(lineage, checkpoint, moment.nonce, index),
            checkpoint,
            destination,
            tuple(chunk),
            moment.now,
        )
        for index, (destination, chunk) in enumerate(pieces)
    ]


def cut(parts: Sequence[Part], settings: Settings) -> list[list[Part]]:
    """Cut the parts of one destination into chunks that each fit into one command."""
    chunks: list[list[Part]] = []
    raw_bytes = 0
    for part in parts:
        full = chunks and (
            raw_bytes + part.raw_bytes > settings.group_bytes_max
            or len(chunks[-1]) >= settings.group_parts_max
        )
        if full or not chunks:
            chunks.append([])
            raw_bytes = 0
        chunks[-1].append(part)
        raw_bytes += part.raw_bytes
    return chunks


def choose_group(
    due: Sequence[Slice], ledger: Ledger, settings: Settings, now: float, *, hold: bool
) -> tuple[tuple[Slice, ...], float]:
    """Return the oldest group that may go; else no group, and the seconds until one may.

    `hold` is False where nothing may be held back any more: at the end of input, or when too much
    waits. Slices that an intent has made part of a transaction are left to that one.
    """
    waits: list[float] = []
    by_destination: dict[str, list[Slice]] = {}
    for piece in due:
        if ledger.transaction_of(piece.id) is None:
            by_destination.setdefault(piece.destination, []).append(piece)
    for slices in by_destination.values():
        group = take_group(slices, settings)
        full = len(group) < len(slices)
        wait_s = _hold_s(group, settings, now) if hold and not full else 0.0
        if wait_s <= 0:
            return group, 0.0
        waits.append(wait_s)
    return (), min(waits, default=0.0)


def take_group(slices: Sequence[Slice], settings: Settings) -> tuple[Slice, ...]:
    """Take slices of one destination, oldest first, up to the limits; at least one."""
    group: list[Slice] = []
    raw_bytes = parts = 0
    for piece in slices:
        raw_bytes += piece.raw_bytes
        parts += len(piece.parts)
        too_large = raw_bytes > settings.group_bytes_max or parts > settings.group_parts_max
        if group and too_large:
            break
        group.append(piece)
    return tuple(group)


def _hold_s(group: Sequence[Slice], settings: Settings, now: float) -> float:
    """How long a group is to be held back yet; 0 or less: it may go."""
    if settings.hold_bytes and sum(s.raw_bytes for s in group) >= settings.hold_bytes:
        return 0.0
    oldest = min(piece.sealed_at for piece in group)
    # Sealed at an unknown time, or by a clock that was ahead: old enough, rather than held on.
    return settings.hold_age_s - (now - oldest) if 0 < oldest <= now else 0.0
