"""What goes into one command: parts are cut into slices at seal, slices grouped at commit. Pure.

A command takes at most `group_bytes_max` uncompressed bytes and `group_parts_max` parts; a single
part over the limit goes alone. Destinations (and so schemas) are never mixed.
"""

from __future__ import annotations

from collections.abc import Sequence

from exactly_once_kusto.protocol.ledger import Ledger
from exactly_once_kusto.protocol.ports import Settings
from exactly_once_kusto.protocol.slices import Part, Slice


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


def take_group(due: Sequence[Slice], ledger: Ledger, settings: Settings) -> tuple[Slice, ...]:
    """Take due slices of the first one's destination, oldest first, up to the limits.

    A slice that an intent has made part of another transaction is left to that one.
    """
    group: list[Slice] = []
    raw_bytes = parts = 0
    for piece in due:
        adopted = ledger.transaction_of(piece.id) is not None
        if piece.destination != due[0].destination or adopted:
            continue
        raw_bytes += piece.raw_bytes
        parts += len(piece.parts)
        too_large = raw_bytes > settings.group_bytes_max or parts > settings.group_parts_max
        if group and too_large:
            break
        group.append(piece)
    return tuple(group)
