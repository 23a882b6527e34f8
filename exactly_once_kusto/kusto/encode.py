"""Batches of a stream as Parquet (zstd) that Kusto converts without changing a value.

Row groups are written as soon as they are full, so memory depends on their size alone. Measured on
one core with five columns: dictionaries for strings only, zstd at level 1 and no statistics (Kusto
makes indexes of its own) take an eighth of a microsecond a row, half of what the defaults take.
Encodings newer than PLAIN and dictionary are left alone: Kusto doesn't say which it reads.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from exactly_once_kusto.errors import TypeRefusedError, ValueRefusedError
from exactly_once_kusto.kusto.columns import PlannedColumn, type_word

if TYPE_CHECKING:
    from exactly_once_kusto.storage.objects import Stored, Upload

STRING_BYTES_MAX = 1 << 20  # query/scalar-data-types/string.md: more is cut, the ingest succeeds
DYNAMIC_BYTES_MAX = 1 << 20  # query/scalar-data-types/dynamic.md: more becomes null, likewise
RECORD_BYTES_MAX = 64_000_000  # string.md: a record over 64 MB fails the ingestion, for good
ROW_GROUP_ROWS_MAX = 128 * 1024
ROW_GROUP_BYTES_MAX = 16 << 20
FIRST_DAY, LAST_DAY = -719_162, 2_932_896  # 0001-01-01 and 9999-12-31, from 1970-01-01
TICK_NS = 100
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6}

Convert = Callable[[pa.Array], pa.Array]


class Encoding:
    """How batches of `schema` become batches of what the parts hold.

    Raises:
        TypeRefusedError: the schema is not that of the planned columns.
    """

    def __init__(self, plan: Sequence[PlannedColumn], schema: pa.Schema) -> None:
        if schema.names != [column.source for column in plan]:
            raise TypeRefusedError(
                f"batches have the columns {', '.join(schema.names)}; the stream was said to have "
                f"{', '.join(column.source for column in plan)}"
            )
        converters = [_converter(c, schema.field(i).type) for i, c in enumerate(plan)]
        self._converters = [convert for _, convert in converters]
        self.schema = pa.schema(
            [pa.field(c.target, made) for c, (made, _) in zip(plan, converters, strict=True)]
        )

    def convert(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch as the parts hold it. No copy where the types are the same.

        Raises:
            ValueRefusedError: a value that Kusto would cut in silence; names column and limit.
        """
        arrays = [
            convert(array) for convert, array in zip(self._converters, batch.columns, strict=True)
        ]
        made = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        _check_records(made)
        return made

    def open(self, upload: Upload) -> ParquetPart:
        """Return a part that is written into `upload`."""
        return ParquetPart(self.schema, upload)


class ParquetPart:
    """One Parquet object that is being written. Takes whole batches, keeps at most a row group.

    Attributes:
        rows: rows taken so far.
        raw_bytes: their uncompressed bytes (in Arrow's layout).
    """

    def __init__(self, schema: pa.Schema, upload: Upload) -> None:
        self.rows = 0
        self.raw_bytes = 0
        self._upload = upload
        self._out = _Out(upload)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._waiting_bytes = 0
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._out, mode="w"),
            schema,
            version="2.6",
            compression="zstd",
            compression_level=1,
            use_dictionary=[f.name for f in schema if pa.types.is_string(f.type)] or False,
            write_statistics=False,
            store_schema=False,
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch; it must not change afterwards.

        Raises:
            StorageUnavailableError: the storage is full, gone or read-only.
        """
        size = batch.nbytes
        self.rows += batch.num_rows
        self.raw_bytes += size
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += size
        if self._waiting_rows >= ROW_GROUP_ROWS_MAX or self._waiting_bytes >= ROW_GROUP_BYTES_MAX:
            self._flush()

    def seal(self) -> Stored:
        """Make the whole object durable and return where it lies.

        Raises:
            StorageUnavailableError: the storage is full, gone or read-only.
        """
        self._flush()
        self._writer.close()
        return self._upload.seal()

    def abort(self) -> None:
        """Forget the object."""
        self._waiting.clear()
        self._upload.abort()
        # The writer's end writes a footer whatever happens; it goes nowhere.
        self._out.discard = True
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting)
            self._writer.write_table(table, row_group_size=table.num_rows)
            self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0


class _Out:
    """An upload as the file that pyarrow wants."""

    closed = False

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._at = 0
        self.discard = False

    def write(self, data: bytes) -> int:
        self._at += len(data)
        return len(data) if self.discard else self._upload.write(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def _converter(column: PlannedColumn, given: pa.DataType) -> tuple[pa.DataType, Convert]:
    """Return the type of a column in the part, and what makes it of the given one."""
    word = type_word(column.type)
    types = pa.types
    if types.is_string(given) and column.goes_into == ("string",):
        return given, lambda array: _check_strings(column, array, STRING_BYTES_MAX)
    if types.is_string(given) and column.goes_into == ("dynamic",):
        return given, lambda array: _check_strings(column, array, DYNAMIC_BYTES_MAX)
    if types.is_binary(given) and column.goes_into == ("string",):
        return pa.string(), lambda array: _check_strings(column, _base64(array), STRING_BYTES_MAX)
    if types.is_timestamp(given) and word in ("TIMESTAMP", "TIMESTAMP_LTZ"):
        return _timestamps(column, given)
    if types.is_time(given) and word == "TIME":
        return pa.string(), lambda array: array.cast(pa.string())
    if types.is_date32(given) and word == "DATE":
        return given, lambda array: _check_range(column, array, pa.int32(), FIRST_DAY, LAST_DAY)
    fits = {
        "bool": types.is_boolean,
        "int": types.is_signed_integer,
        "long": types.is_signed_integer,
        "real": types.is_floating,
        "decimal": types.is_decimal128,
    }.get(column.goes_into[0])
    if fits is None or not fits(given):
        raise TypeRefusedError(
            f"column '{column.source}' was said to be {column.type}, but comes as {given}; the "
            "job's jar and the workers' package must be of one version"
        )
    return given, lambda array: array


def _timestamps(column: PlannedColumn, given: pa.DataType) -> tuple[pa.DataType, Convert]:
    if given.unit == "ns":
        made = pa.timestamp("ns", "UTC")
        return made, lambda array: _check_ticks(column, array).view(made)
    # Parquet knows no seconds. Within the years 1 to 9999 nothing overflows.
    made = pa.timestamp("ms" if given.unit == "s" else given.unit, "UTC")
    per_second = PER_SECOND[given.unit]
    first, last = FIRST_DAY * 86_400 * per_second, (LAST_DAY + 1) * 86_400 * per_second - 1

    def convert(array: pa.Array) -> pa.Array:
        checked = _check_range(column, array, pa.int64(), first, last)
        if given.unit == "s":
            checked = pc.multiply(checked.view(pa.int64()), 1000)
        return checked.view(made)

    return made, convert


def _check_strings(column: PlannedColumn, array: pa.Array, bytes_max: int) -> pa.Array:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        raise ValueRefusedError(
            f"column '{column.source}' ({column.type}): {error}; Kusto would put U+FFFD in its "
            "place in silence; mend or filter such rows upstream, or carry them as BYTES"
        ) from None
    # Whatever is shorter altogether has no string that is too long.
    if array.nbytes <= bytes_max:
        return array
    longest = pc.max(pc.binary_length(array)).as_py() or 0
    if longest > bytes_max:
        kind, loss = "a string", "cut the rest"
        if column.goes_into == ("dynamic",):
            kind, loss = "a nested value with a JSON", "store null instead"
        raise ValueRefusedError(
            f"column '{column.source}' ({column.type}): {kind} of {longest:,} bytes in UTF-8; "
            f"Kusto keeps {bytes_max:,} and would {loss} in silence; shorten or split it upstream, "
            "or filter such rows out"
        )
    return array


def _check_records(batch: pa.RecordBatch) -> None:
    # A batch of many rows is far smaller: only that of one huge row gets beyond the first line.
    if batch.nbytes <= RECORD_BYTES_MAX:
        return
    sizes = pa.array([0] * batch.num_rows, pa.int64())
    for array in batch.columns:
        if pa.types.is_string(array.type):
            sizes = pc.add(sizes, pc.fill_null(pc.binary_length(array), 0))
    longest = pc.max(sizes).as_py()
    if longest > RECORD_BYTES_MAX:
        raise ValueRefusedError(
            f"a row with {longest:,} bytes of text in all its columns; Kusto takes records of 64 "
            "MB and would refuse all rows of the ingestion; split or filter such rows upstream"
        )


def _base64(array: pa.Array) -> pa.Array:
    texts = [None if v is None else b64encode(v).decode() for v in array.to_pylist()]
    return pa.array(texts, pa.string())


def _check_range(
    column: PlannedColumn, array: pa.Array, integer: pa.DataType, first: int, last: int
) -> pa.Array:
    found = pc.min_max(array.view(integer)).as_py()
    if found["min"] is not None and (found["min"] < first or found["max"] > last):
        raise ValueRefusedError(
            f"column '{column.source}' ({column.type}): a time outside the years 1 to 9999 "
            f"({found['min']} to {found['max']} {_unit(array.type)} from 1970), which is all that "
            "Kusto's datetime has; mend or filter such rows upstream"
        )
    return array


def _check_ticks(column: PlannedColumn, array: pa.Array) -> pa.Array:
    values = array.view(pa.int64())
    whole = pc.multiply(pc.divide(values, TICK_NS), TICK_NS)
    if pc.any(pc.not_equal(values, whole)).as_py():
        raise ValueRefusedError(
            f"column '{column.source}' ({column.type}): a time with nanoseconds below {TICK_NS}, "
            "which Kusto's datetime would cut in silence; CAST the column to TIMESTAMP(6)"
        )
    return array


def _unit(given: pa.DataType) -> str:
    return "days" if pa.types.is_date(given) else str(given.unit)
