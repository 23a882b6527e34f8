"""Batches on the wire: Arrow's buffers as they are, without Arrow's messages around them.

    u32 rows | u32 count of buffers | count * u32 length | padding to 8 | buffers, each padded to 8

Big endian up to the buffers; in them everything is as the Arrow columnar format has it (little
endian). A column has its validity bitmap first (length 0: no nulls), then its values, or offsets
and text. The task needs no Arrow library for that, and here nothing is copied. Must match
`jvm/.../BatchEncoder.java`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

import pyarrow as pa

from exactly_once_kusto.flink.frames import BadFrame
from exactly_once_kusto.protocol.ports import Column

HEAD = struct.Struct(">II")
TYPE = re.compile(r"([A-Z_]+)(?:\((\d+)(?:, ?(\d+))?\))?( WITH LOCAL TIME ZONE)?.*", re.DOTALL)
PLAIN = {
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INT": pa.int32(),
    "BIGINT": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "DATE": pa.date32(),
    "STRING": pa.string(),
    "CHAR": pa.string(),
    "VARCHAR": pa.string(),
    "BINARY": pa.binary(),
    "VARBINARY": pa.binary(),
    "BYTES": pa.binary(),
    "ARRAY": pa.string(),
    "MAP": pa.string(),
    "ROW": pa.string(),
}


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the schema that the batches of these columns have (column_types.py has the table)."""
    return pa.schema([pa.field(c.name, arrow_type(c.type), c.nullable) for c in columns])


def arrow_type(flink_type: str) -> pa.DataType:
    """Return the Arrow type in which a Flink type crosses."""
    found = TYPE.fullmatch(flink_type)
    assert found is not None, flink_type
    word, precision = found[1], int(found[2] or 0)
    if word in PLAIN:
        return PLAIN[word]
    if word == "DECIMAL":
        return pa.decimal128(precision, int(found[3] or 0))
    unit = ("s", "ms", "us", "ns")[(precision + 2) // 3]
    if word == "TIME":
        return pa.time32(unit) if precision <= 3 else pa.time64(unit)
    if word in ("TIMESTAMP", "TIMESTAMP_LTZ"):
        return pa.timestamp(unit)
    raise AssertionError(f"{flink_type} was not refused by check_types")


def read_batch(payload: bytes, schema: pa.Schema) -> pa.RecordBatch:
    """Return the batch in a payload; its arrays share the payload's memory.

    Raises:
        BadFrame: not the buffers that the schema asks for.
    """
    rows, count = HEAD.unpack_from(payload)
    lengths = struct.unpack_from(f">{count}I", payload, HEAD.size)
    at, whole, buffers = _padded(HEAD.size + 4 * count), pa.py_buffer(payload), []
    for length in lengths:
        buffers.append(whole.slice(at, length) if length else None)
        at += _padded(length)
    wanted = sum(_buffers_of(kind) for kind in schema.types)
    if count != wanted or at != len(payload):
        raise BadFrame(
            f"bad frame: a batch of {count} buffers and {len(payload)} bytes, expected {wanted} "
            f"and {at}; jar and package differ?"
        )
    arrays, taken = [], 0
    for kind in schema.types:
        parts = buffers[taken : taken + _buffers_of(kind)]
        taken += len(parts)
        # Only the bitmap may be left out; no text at all is an empty buffer, not none.
        parts = [parts[0], *(p if p is not None else pa.py_buffer(b"") for p in parts[1:])]
        arrays.append(pa.Array.from_buffers(kind, rows, parts))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _buffers_of(kind: pa.DataType) -> int:
    return 3 if pa.types.is_string(kind) or pa.types.is_binary(kind) else 2


def _padded(length: int) -> int:
    return (length + 7) & ~7
