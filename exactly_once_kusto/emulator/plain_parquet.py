"""Small Parquet files whose columns are already what the table stores: read without DuckDB.

For such a file DuckDB spends far more on planning than on reading. Whatever isn't plainly so, or
can't be read here, is left to `formats`, whose answer counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .catalog import Table
from .layout import STRING_BYTES_MAX
from .mapping import Source

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FILE_BYTES_MAX = 1 << 20
HELD_BYTES_MAX = 2 << 20
"""Neither the rows in memory nor any column of the file may be larger."""
EXPANDED_BYTES_MAX = 64 << 20
"""A value repeated by reference takes no room in a file, but it does in memory."""


def read(table: Table, sources: Sequence[Source], file: Path, size: int) -> pa.Table | None:
    """The file's rows as the table stores them, in columns ``c0, c1, ...``; or None.

    None says nothing about the file: `formats.select` knows what to do with it.
    """
    names = [_name(source) for source in sources]
    if size > FILE_BYTES_MAX or None in names:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(pa.BufferReader(file.read_bytes()))
        if not _fits(opened):
            return None
        found = opened.read(use_threads=False)
        found.validate(full=True)  # DuckDB takes text from Arrow unchecked
        return _as_stored(table, [str(name) for name in names], found)
    except (pa.ArrowException, OSError, ValueError):
        return None


def _name(source: Source) -> str | None:
    """The one name that the source's path consists of; None for any other source."""
    if source.constant is not None or source.transform is not None or source.ordinal is not None:
        return None
    path = source.path or ()
    return path[0] if len(path) == 1 and isinstance(path[0], str) else None


def _fits(opened: pq.ParquetFile) -> bool:
    metadata = opened.metadata
    largest = max(
        (
            metadata.row_group(group).column(column).total_uncompressed_size
            for group in range(metadata.num_row_groups)
            for column in range(metadata.num_columns)
        ),
        default=0,
    )
    return largest <= HELD_BYTES_MAX and largest * metadata.num_rows <= EXPANDED_BYTES_MAX


def _as_stored(table: Table, names: Sequence[str], found: pa.Table) -> pa.Table | None:
    import pyarrow as pa

    # DuckDB gives names that differ only in case, or not at all, new ones.
    if len({name.lower() for name in found.column_names}) < found.num_columns:
        return None
    places = {name: i for i, name in enumerate(found.column_names)}
    stored = []
    for column, name in zip(table.columns, names, strict=True):
        place = places.get(name)
        value = None if place is None else _column(column.type, found.column(place))
        if value is None:
            return None
        stored.append(value)
    rows = pa.table(stored, names=[f"c{i}" for i in range(len(stored))])
    return rows if rows.nbytes <= HELD_BYTES_MAX else None


def _column(kusto: str, values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """The values as `convert.from_parquet` would store them, where they are so already."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if kusto == "string" and values.type in (pa.string(), pa.large_string()):
        if (pc.max(pc.binary_length(values)).as_py() or 0) > STRING_BYTES_MAX:
            return None
        text = values.cast(pa.string())
        return pc.fill_null(text, "") if text.null_count else text  # Kusto has no null string
    if kusto == "datetime" and values.type == pa.timestamp("us", "UTC"):
        return values.cast(pa.timestamp("us"))
    plain = {
        "bool": pa.bool_(),
        "int": pa.int32(),
        "long": pa.int64(),
        "real": pa.float64(),
        "datetime": pa.timestamp("us"),
    }
    return values if values.type == plain.get(kusto) else None
