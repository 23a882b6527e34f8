"""SQL that turns a value of a source into a Kusto column's value, or into null where it can't.

From text (CSV, JSON) every type can be read; from Parquet only what the table in
https://learn.microsoft.com/kusto/management/parquet-mapping#parquet-type-conversions allows. What
it doesn't allow becomes null, as any value that doesn't match the column's type does
(https://learn.microsoft.com/azure/data-explorer/ingest-invalid-data).
"""

from __future__ import annotations

from collections.abc import Callable

from .layout import STRING_BYTES_MAX
from .types import STORED_AS

_INTEGERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
)

# DuckDB's cast rounds them, where all else here cuts off what is below a microsecond.
_NANOSECONDS = ("TIMESTAMP_NS", "TIMESTAMPTZ_NS")

# Parquet class -> Kusto types that the documentation ticks. Byte arrays that are not said to be a
# string, a decimal or JSON have no row in its table.
_ALLOWED = {
    "integer": ("bool", "int", "long", "real", "decimal", "string"),
    "uint64": ("bool", "int", "long", "decimal", "string"),
    "float": ("bool", "int", "long", "real", "decimal", "string"),
    "bool": ("bool", "decimal", "string"),
    "decimal": ("bool", "int", "long", "real", "decimal", "string"),
    "timestamp": ("datetime", "string"),
    "date": ("datetime", "string"),
    "string": ("int", "long", "real", "decimal", "string", "dynamic"),
    "uuid": ("string", "guid"),
    "json": ("string", "dynamic"),
    "nested": ("dynamic",),
}

# Kusto types whose values come out of a Parquet column of their own DuckDB type unchanged.
_KEPT = ("bool", "int", "long", "real", "datetime", "guid")


def from_text(kusto: str, expression: str) -> str:
    """SQL for a value given as text; '' and null are null, but for strings."""
    return f'"$emulator".to_{kusto}({expression})'


def from_json(kusto: str, document: str, path: str) -> str:
    """SQL for the value at a path of DuckDB's JSON path language in a JSON document."""
    if kusto == "dynamic":
        value = f"json_extract({document}, {path})"
        return (
            f"CASE WHEN json_type({value}) = 'NULL' "
            f"OR strlen({value}::VARCHAR) > {STRING_BYTES_MAX} THEN NULL ELSE {value} END"
        )
    return from_text(kusto, f"json_extract_string({document}, {path})")


def from_parquet(kusto: str, duckdb_type: str, expression: str) -> str:
    """SQL for a Parquet column (or field of one) of which DuckDB says the type."""
    if duckdb_type in _NANOSECONDS:
        expression, duckdb_type = f'"$emulator".micros({expression})', "TIMESTAMP"
    source = parquet_class(duckdb_type)
    if source is None or kusto not in _ALLOWED[source]:
        return "''" if kusto == "string" else f"CAST(NULL AS {STORED_AS[kusto]})"
    if duckdb_type == STORED_AS[kusto] and kusto in _KEPT:
        return expression  # planning a cast that does nothing costs as much as reading a small file
    return _PARQUET[kusto](source, expression)


def parquet_class(duckdb_type: str) -> str | None:
    """The row of the documentation's table that a DuckDB type belongs to; None for none."""
    if duckdb_type.endswith("]") or duckdb_type.startswith(("STRUCT", "MAP")):
        return "nested"
    if duckdb_type.startswith("DECIMAL"):
        return "decimal"
    if duckdb_type.startswith("TIMESTAMP"):
        return "timestamp"
    if duckdb_type == "UBIGINT":
        return "uint64"
    if duckdb_type in _INTEGERS:
        return "integer"
    return {
        "FLOAT": "float",
        "DOUBLE": "float",
        "BOOLEAN": "bool",
        "DATE": "date",
        "VARCHAR": "string",
        "UUID": "uuid",
        "JSON": "json",
    }.get(duckdb_type)


def _bool(source: str, x: str) -> str:
    return x if source == "bool" else f"({x} <> 0)"


def _whole(target: str, source: str, x: str) -> str:
    if source == "string":
        return from_text(target, x)
    if source in ("float", "decimal"):
        x = f'"$emulator".whole({x})'
    return f"TRY_CAST({x} AS {STORED_AS[target]})"


def _real(source: str, x: str) -> str:
    return from_text("real", x) if source == "string" else f"TRY_CAST({x} AS DOUBLE)"


def _decimal(source: str, x: str) -> str:
    if source == "bool":
        x = f"CAST({x} AS INTEGER)"
    return from_text("decimal", f"CAST({x} AS VARCHAR)")


def _datetime(source: str, x: str) -> str:
    return f'"$emulator".of_time(TRY_CAST(TRY_CAST({x} AS TIMESTAMPTZ) AS TIMESTAMP))'


def _string(source: str, x: str) -> str:
    if source == "timestamp":
        x = f"strftime(CAST({x} AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%fZ')"
    return from_text("string", f"CAST({x} AS VARCHAR)")


def _dynamic(source: str, x: str) -> str:
    if source in ("string", "json"):
        return from_text("dynamic", f"CAST({x} AS VARCHAR)")
    value = f"to_json({x})"
    absent = f"{x} IS NULL OR strlen({value}::VARCHAR) > {STRING_BYTES_MAX}"
    return f"CASE WHEN {absent} THEN NULL ELSE {value} END"


_PARQUET: dict[str, Callable[[str, str], str]] = {
    "bool": _bool,
    "int": lambda source, x: _whole("int", source, x),
    "long": lambda source, x: _whole("long", source, x),
    "real": _real,
    "decimal": _decimal,
    "datetime": _datetime,
    "string": _string,
    "guid": lambda source, x: x,
    "dynamic": _dynamic,
}
