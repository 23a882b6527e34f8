"""Reading a source file: one SELECT whose columns are those of the table, in its order."""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from .catalog import Table, quote
from .convert import from_json, from_parquet, from_text
from .errors import KustoError
from .mapping import Source
from .peeking import (
    RECORD_BYTES_MAX,
    check_quotes,
    first_record_width,
    json_layout,
    wrong_number_of_fields,
)
from .types import STORED_AS

BY_ORDINAL = {
    **{"csv": ",", "tsv": "\t", "psv": "|", "scsv": ";", "sohsv": "\x01"},
    # A line, or all of it, is one field: the separator is a character that no text has.
    **{"tsve": "\t", "txt": "\0", "raw": "\0"},
}
_UNQUOTED = ("tsve", "txt")
SUPPORTED = ("parquet", "json", "multijson", *BY_ORDINAL)

_UNIX = {
    "datetimefromunixseconds": "make_timestamp(({x})::BIGINT * 1000000)",
    "datetimefromunixmilliseconds": "make_timestamp(({x})::BIGINT * 1000)",
    "datetimefromunixmicroseconds": "make_timestamp(({x})::BIGINT)",
    "datetimefromunixnanoseconds": "make_timestamp(({x})::BIGINT // 1000)",
}


@dataclass(frozen=True)
class Reading:
    """How to read the sources of one command."""

    format: str
    sources: Sequence[Source]
    ignore_first_record: bool = False


def select(
    connection: duckdb.DuckDBPyConnection, table: Table, reading: Reading, file: Path, name: str
) -> str:
    """The SELECT for one local file; ``name`` is what errors and SourceLocation call it.

    Raises KustoError where the file can't be of the format.
    """
    if reading.format == "parquet":
        return _parquet(connection, table, reading, file, name)
    if reading.format in BY_ORDINAL:
        return _delimited(table, reading, file, name)
    return _json(table, reading, file, name)


def literal(text: str) -> str:
    """A string literal of DuckDB's SQL."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def wrong_format(name: str, why: str) -> KustoError:
    """The file is not of the format that the command says."""
    return KustoError(
        "BadRequest_InvalidBlob", f"The data in '{name}' doesn't match the format: {why}"
    )


def _fixed(kusto: str, source: Source, name: str) -> str | None:
    """SQL for a source that doesn't depend on the record; None if it does."""
    if source.constant is not None:
        return from_text(kusto, literal(source.constant))
    if source.transform == "sourcelocation":
        return from_text(kusto, literal(name))
    if source.transform == "sourcelinenumber":
        return from_text(kusto, "CAST(row_number() OVER () AS VARCHAR)")
    if source.path is None and source.ordinal is None:
        return "''" if kusto == "string" else f"CAST(NULL AS {STORED_AS[kusto]})"
    return None


def _parquet(
    connection: duckdb.DuckDBPyConnection, table: Table, reading: Reading, file: Path, name: str
) -> str:
    relation = f"read_parquet({literal(_escape_glob(file))})"
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    except duckdb.Error as error:
        raise wrong_format(name, _first_line(error)) from error
    types = {row[0]: row[1] for row in described}
    chosen = []
    for column, source in zip(table.columns, reading.sources, strict=True):
        fixed = _fixed(column.type, source, name)
        if fixed is None:
            fixed = _field(column.type, source, types, reading.sources)
        chosen.append(fixed)
    return f"SELECT {', '.join(chosen)} FROM {relation}"


def _field(kusto: str, source: Source, types: dict[str, str], others: Sequence[Source]) -> str:
    path = source.path or ()
    if path == ():
        record = ", ".join(f"{literal(n)}, {quote(n)}" for n in types)
        return _json_value(kusto, source, f"json_object({record})", (), others)
    first = path[0]
    if not isinstance(first, str) or first not in types:
        return "''" if kusto == "string" else f"CAST(NULL AS {STORED_AS[kusto]})"
    unix = _UNIX.get(source.transform or "")
    if len(path) == 1 and unix and kusto == "datetime":
        return unix.format(x=quote(first))
    if len(path) > 1 or source.transform is not None:
        return _json_value(kusto, source, f"to_json({quote(first)})", path[1:], others)
    return from_parquet(kusto, types[first], quote(first))


def _json(table: Table, reading: Reading, file: Path, name: str) -> str:
    # format=json: malformed records are left out in silence; multijson: they fail the ingestion.
    lenient = reading.format == "json"
    function = "read_ndjson_objects" if lenient else "read_json_objects"
    arguments = f"{literal(_escape_glob(file))}, maximum_object_size={RECORD_BYTES_MAX}"
    if lenient:
        arguments += ", ignore_errors=true"
    else:
        try:
            arguments += f", format='{json_layout(file)}'"
        except (OSError, EOFError, zlib.error) as error:
            raise wrong_format(name, _first_line(error)) from error
    chosen = []
    for column, source in zip(table.columns, reading.sources, strict=True):
        fixed = _fixed(column.type, source, name)
        if fixed is None:
            path = source.path or ()
            fixed = _json_value(column.type, source, "json", path, reading.sources)
        chosen.append(fixed)
    # A record is an object: anything else on a line is malformed.
    kept = "starts_with(ltrim(json::VARCHAR), '{')" if lenient else "json IS NOT NULL"
    return f"SELECT {', '.join(chosen)} FROM {function}({arguments}) WHERE {kept}"


def _json_value(
    kusto: str,
    source: Source,
    document: str,
    path: tuple[str | int, ...],
    others: Sequence[Source],
) -> str:
    """SQL for the value at a path of a JSON document, transformed as the mapping says."""
    place = literal(_json_path(path))
    unix = _UNIX.get(source.transform or "")
    if unix and kusto == "datetime":
        number = f"try_cast(json_extract_string({document}, {place}) AS HUGEINT)"
        return f"try({unix.format(x=number)})"
    if source.transform == "propertybagarraytodictionary":
        bags = f"json_extract({document}, {place})"
        document, place = f'"$emulator".dictionary({bags})', "'$'"
    elif source.transform == "dropmappedfields":
        document, place = _without(f"json_extract({document}, {place})", source, others), "'$'"
    return from_json(kusto, document, place)


def _without(value: str, source: Source, others: Sequence[Source]) -> str:
    """A JSON object without what other columns are mapped from."""
    root = source.path or ()
    for other in others:
        inner = (other.path or ())[len(root) :]
        if other is source or not inner or (other.path or ())[: len(root)] != root:
            continue
        if not all(isinstance(step, str) for step in inner):
            continue
        # A merge patch takes away what it names null (RFC 7396), and makes what isn't there.
        patch: object = None
        for step in reversed(inner):
            patch = {str(step): patch}
        place = literal(_json_path(inner))
        merged = f"json_merge_patch({value}, {literal(json.dumps(patch))}::JSON)"
        value = f"CASE WHEN json_exists({value}, {place}) THEN {merged} ELSE {value} END"
    return value


def _delimited(table: Table, reading: Reading, file: Path, name: str) -> str:
    if reading.format == "raw":
        relation, width = f"(SELECT decode(content) AS f0 FROM {_blob(file)})", 1
    else:
        relation, width = _lines(reading, file, name)
    chosen = []
    for column, source in zip(table.columns, reading.sources, strict=True):
        fixed = _fixed(column.type, source, name)
        if fixed is None:
            present = source.ordinal is not None and source.ordinal < width
            field = f"f{source.ordinal}" if present else "NULL"
            if reading.format == "tsve" and present:
                field = f'"$emulator".unescaped({field})'
            unix = _UNIX.get(source.transform or "")
            if unix and column.type == "datetime":
                fixed = f"try({unix.format(x=f'try_cast({field} AS HUGEINT)')})"
            else:
                fixed = from_text(column.type, field)
        chosen.append(fixed)
    kept = " WHERE f0 IS NOT NULL" if reading.format == "txt" else ""  # empty lines are skipped
    return f"SELECT {', '.join(chosen)} FROM {relation}{kept}"


def _blob(file: Path) -> str:
    return f"read_blob({literal(_escape_glob(file))})"


def _lines(reading: Reading, file: Path, name: str) -> tuple[str, int]:
    """The SQL of a delimited file's records, all fields text ``f0, f1, ...``, and their number."""
    delimiter, quoted = BY_ORDINAL[reading.format], reading.format not in _UNQUOTED
    try:
        width = first_record_width(file, delimiter, quoted)
        strict = not quoted or check_quotes(file, delimiter, width, name)
    except (OSError, EOFError, csv.Error, zlib.error) as error:
        raise wrong_format(name, _first_line(error)) from error
    listed = ", ".join(f"'f{i}': 'VARCHAR'" for i in range(width))
    compression = "gzip" if file.suffix == ".gz" else "none"
    quotes = "'\"'" if quoted else "''"
    separator = "'\\0'" if delimiter == "\0" else literal(delimiter)
    relation = (
        f"read_csv({literal(_escape_glob(file))}, auto_detect=false, columns={{{listed}}}, "
        f"delim={separator}, quote={quotes}, escape={quotes}, "
        f"header={str(reading.ignore_first_record).lower()}, compression='{compression}', "
        f"strict_mode={str(strict).lower()}, null_padding=false, max_line_size={RECORD_BYTES_MAX}, "
        f"buffer_size={RECORD_BYTES_MAX + 1}, parallel=false)"
    )
    return relation, width


def _json_path(steps: tuple[str | int, ...]) -> str:
    parts = ["$"]
    for step in steps:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        else:
            escaped = step.replace('"', '\\"')
            parts.append(f'."{escaped}"')
    return "".join(parts)


def _escape_glob(file: Path) -> str:
    # DuckDB reads *, ? and [ in file names as patterns.
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(file))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def load_error(error: duckdb.Error, reading: Reading, name: str) -> KustoError:
    """Kusto's error for a failure of DuckDB while it read a source."""
    if reading.format in BY_ORDINAL and "Expected Number of Columns" in str(error):
        return wrong_number_of_fields(name)
    if isinstance(error, duckdb.OutOfMemoryException):
        return KustoError("OutOfMemory", _first_line(error), permanent=False)
    return wrong_format(name, _first_line(error))
