"""Part, slice and state: frozen values and their bytes.

A part is one sealed blob of one writer. A slice is what one checkpoint adds to one destination.
Everything that a commit needs is frozen into the slice when it is sealed: options that change
between a savepoint and its restore apply to new slices only. Addresses hold no token (I8).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from exactly_once_kusto.errors import DecodeError
from exactly_once_kusto.protocol.codec import pack, unpack

PART_MAGIC, PART_VERSION = b"EOKP", 1
STATE_MAGIC, STATE_VERSION = b"EOKS", 2


@dataclass(frozen=True, slots=True)
class Part:
    """A sealed blob: where it lies, how to know that it is still the same, what it holds.

    `destination` is the sink's own canonical JSON (cluster, database, table, mapping, schema,
    format, mode ...): the protocol compares it and never looks inside.
    """

    address: str
    length: int
    etag: str
    rows: int
    raw_bytes: int
    destination: str


@dataclass(frozen=True, slots=True)
class Slice:
    """The parts of one checkpoint for one destination, under an id that is minted once (I4).

    `sealed_at` is in seconds since the epoch, 0 where it is not known. It says how long the slice
    has waited and is not part of what it is: the ledger does not write it.
    """

    id: str
    checkpoint: int
    destination: str
    parts: tuple[Part, ...]
    sealed_at: float = field(default=0.0, compare=False)

    @property
    def rows(self) -> int:
        """Rows in all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def raw_bytes(self) -> int:
        """Uncompressed bytes in all parts."""
        return sum(part.raw_bytes for part in self.parts)


@dataclass(frozen=True, slots=True)
class State:
    """What the coordinator keeps in a checkpoint: lineage, position in the log, open slices.

    `position` is the number of the last ledger entry folded when the snapshot was taken. A state
    without slices is written too: it tells 'restored' from 'fresh'.
    """

    name: str
    ledger: str
    lineage: str
    position: int
    slices: tuple[Slice, ...]


def encode_part(part: Part) -> bytes:
    """Return the bytes that carry a part from a writer to the coordinator."""
    return pack(PART_MAGIC, PART_VERSION, {"part": _row(part), "destination": part.destination})


def decode_part(data: bytes) -> Part:
    """Return the part in `data`.

    Raises:
        DecodeError: not a part, damaged, or of a newer version.
    """
    _, body = unpack(PART_MAGIC, PART_VERSION, data, "part")
    try:
        return _part(body["part"], body["destination"])
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError(f"part: a field is missing or of another kind: {error!r}") from error


def encode_state(state: State) -> bytes:
    """Return the bytes that Flink keeps for the coordinator; each destination is written once."""
    destinations = sorted({piece.destination for piece in state.slices})
    index = {text: i for i, text in enumerate(destinations)}
    body = {
        "name": state.name,
        "ledger": state.ledger,
        "lineage": state.lineage,
        "position": state.position,
        "destinations": destinations,
        "slices": [
            [
                piece.id,
                piece.checkpoint,
                index[piece.destination],
                [_row(p) for p in piece.parts],
                piece.sealed_at,
            ]
            for piece in state.slices
        ],
    }
    return pack(STATE_MAGIC, STATE_VERSION, body)


def decode_state(data: bytes) -> State:
    """Return the state in `data`.

    Raises:
        DecodeError: not a state, damaged, or of a newer version.
    """
    version, body = unpack(STATE_MAGIC, STATE_VERSION, data, "state of the coordinator")
    try:
        destinations = body["destinations"]
        rows = body["slices"] if version > 1 else [[*row, 0.0] for row in body["slices"]]
        slices = tuple(
            _slice(identity, checkpoint, destinations[index], parts, sealed_at)
            for identity, checkpoint, index, parts, sealed_at in rows
        )
        return State(
            str(body["name"]),
            str(body["ledger"]),
            str(body["lineage"]),
            int(body["position"]),
            slices,
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DecodeError(f"state: a field is missing or of another kind: {error!r}") from error


def slice_to_json(piece: Slice) -> list[Any]:
    """Return a slice as the ledger writes it: in full, with its destination."""
    return [piece.id, piece.checkpoint, piece.destination, [_row(p) for p in piece.parts]]


def slice_from_json(row: list[Any]) -> Slice:
    """Return the slice written by `slice_to_json`."""
    identity, checkpoint, destination, parts = row
    return _slice(identity, checkpoint, destination, parts, 0.0)


def _slice(
    identity: str, checkpoint: int, destination: str, parts: list[Any], sealed_at: float
) -> Slice:
    return Slice(
        str(identity),
        int(checkpoint),
        str(destination),
        tuple(_part(part, destination) for part in parts),
        float(sealed_at),
    )


def _row(part: Part) -> list[Any]:
    return [part.address, part.length, part.etag, part.rows, part.raw_bytes]


def _part(row: list[Any], destination: str) -> Part:
    address, length, etag, rows, raw_bytes = row
    return Part(str(address), int(length), str(etag), int(rows), int(raw_bytes), str(destination))
