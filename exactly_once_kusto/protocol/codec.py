"""Bytes that outlive a process: magic, version, canonical JSON. Damaged or newer is refused.

One form for everything in Flink's state: four bytes of magic that say what it is, a two-byte
version (big endian), then canonical JSON in UTF-8. Golden files in `tests/golden` hold one
example of each released version.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

from exactly_once_kusto.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD = struct.Struct(">4sH")
_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical(value: object) -> str:
    """Return the one JSON text for `value`: sorted keys, no blanks, no NaN."""
    return _ENCODER.encode(value)


def pack(magic: bytes, version: int, body: Mapping[str, object]) -> bytes:
    """Return the bytes of `body` under `magic` and `version`."""
    return HEAD.pack(magic, version) + canonical(body).encode()


def unpack(magic: bytes, newest: int, data: bytes, what: str) -> tuple[int, dict[str, Any]]:
    """Return version and body of bytes made by `pack`.

    Raises:
        DecodeError: other magic, a version above `newest`, or damaged JSON.
    """
    if len(data) < HEAD.size or data[:4] != magic:
        raise DecodeError(
            f"{what}: {len(data)} bytes that begin with {data[:4]!r} are not of this sink; "
            "check that the operator's uid has not been given to another operator"
        )
    _, version = HEAD.unpack_from(data)
    if not 1 <= version <= newest:
        raise DecodeError(
            f"{what}: written in version {version}, this build reads up to version {newest}; "
            "run the newer build, or restore what this build wrote"
        )
    return version, parse_object(data[HEAD.size :], what)


def parse_object(data: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object in `data`.

    Raises:
        DecodeError: cut short, not UTF-8, not JSON, or not an object.
    """
    try:
        body = json.loads(data.decode())
    except ValueError as error:
        raise DecodeError(f"{what}: damaged or cut short ({len(data)} bytes): {error}") from error
    if not isinstance(body, dict):
        raise DecodeError(f"{what}: a JSON object was expected, found {type(body).__name__}")
    return body
