"""Kusto's ten scalar types: how they are stored in DuckDB and spelled on the wire."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

STORED_AS = {
    "bool": "BOOLEAN",
    "int": "INTEGER",
    "long": "BIGINT",
    "real": "DOUBLE",
    # Kusto's decimal floats (34 digits at any scale), which no DuckDB DECIMAL(p,s) does: the text
    # is kept, and the view over the table shows the widest exact type that its values allow.
    "decimal": "VARCHAR",
    "string": "VARCHAR",
    "datetime": "TIMESTAMP",
    "timespan": "INTERVAL",
    "guid": "UUID",
    "dynamic": "JSON",
}

SYNONYMS = {
    "boolean": "bool",
    "int32": "int",
    "int64": "long",
    "double": "real",
    "date": "datetime",
    "time": "timespan",
    "uuid": "guid",
    "uniqueid": "guid",
}

NET_NAMES = {
    "bool": "System.SByte",
    "int": "System.Int32",
    "long": "System.Int64",
    "real": "System.Double",
    "decimal": "System.Data.SqlTypes.SqlDecimal",
    "string": "System.String",
    "datetime": "System.DateTime",
    "timespan": "System.TimeSpan",
    "guid": "System.Guid",
    "dynamic": "System.Object",
}

Value = Any
"""A value as DuckDB's client gives it, or in its JSON form on the wire."""

EXACT_DECIMAL = 'STRUCT(k DOUBLE, "decimal" VARCHAR)'
"""What a view shows where a column's values fit no DECIMAL(38, s): ordered by value, and no
arithmetic on it (DuckDB then refuses, rather than round)."""


@dataclass(frozen=True)
class Column:
    """A column of a table or of a result: its name and its Kusto scalar type."""

    name: str
    type: str


@dataclass(frozen=True)
class Result:
    """One result table: columns, and rows of values as DuckDB's client gives them."""

    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]


def columns(spec: str) -> tuple[Column, ...]:
    """Columns out of Kusto's own notation, ``"ExtentId:guid, RowCount:long"``."""
    return tuple(Column(*part.strip().split(":")) for part in spec.split(","))


def canonical_type(name: str) -> str | None:
    """The scalar type that a name or a synonym of the documentation means, or None."""
    low = name.lower()
    low = SYNONYMS.get(low, low)
    return low if low in STORED_AS else None


def kusto_type(duckdb_type: str) -> str:
    """The Kusto type of a DuckDB result column, by DuckDB's name for its type."""
    if duckdb_type == EXACT_DECIMAL:
        return "decimal"
    if duckdb_type.startswith("DECIMAL"):
        return "decimal"
    if duckdb_type.endswith("]") or duckdb_type.startswith(("STRUCT", "MAP", "UNION", "LIST")):
        return "dynamic"
    return _FROM_DUCKDB.get(duckdb_type, "string")


_FROM_DUCKDB = {
    "BOOLEAN": "bool",
    "TINYINT": "int",
    "UTINYINT": "int",
    "SMALLINT": "int",
    "USMALLINT": "int",
    "INTEGER": "int",
    "UINTEGER": "long",
    "BIGINT": "long",
    "UBIGINT": "long",
    "HUGEINT": "long",
    "UHUGEINT": "long",
    "FLOAT": "real",
    "DOUBLE": "real",
    "UUID": "guid",
    "DATE": "datetime",
    "TIMESTAMP": "datetime",
    "TIMESTAMP WITH TIME ZONE": "datetime",
    "TIMESTAMP_S": "datetime",
    "TIMESTAMP_MS": "datetime",
    "TIMESTAMP_NS": "datetime",
    "TIME": "timespan",
    "INTERVAL": "timespan",
    "JSON": "dynamic",
}


def encoder(kusto: str) -> Callable[[Any], Any]:
    """A function from a value of DuckDB's client to its JSON form on the wire; None stays None."""
    return _ENCODERS.get(kusto, _same)


def datetime_text(value: Value) -> str:
    """ISO 8601 in UTC with seven fractional digits and a ``Z``, as the service writes it."""
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        return f"{value.isoformat(timespec='microseconds')}0Z"
    if isinstance(value, dt.date):
        return f"{value.isoformat()}T00:00:00.0000000Z"
    return str(value)


def timespan_text(value: Value) -> str:
    """``[-][d.]hh:mm:ss[.fffffff]``."""
    if isinstance(value, dt.time):
        value = dt.timedelta(
            hours=value.hour,
            minutes=value.minute,
            seconds=value.second,
            microseconds=value.microsecond,
        )
    if not isinstance(value, dt.timedelta):
        return str(value)
    micros = value // dt.timedelta(microseconds=1)
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    seconds, micros = divmod(micros, 1_000_000)
    days, seconds = divmod(seconds, 86_400)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    days_text = f"{days}." if days else ""
    fraction = f".{micros:06}0" if micros else ""
    return f"{sign}{days_text}{text}{fraction}"


def _same(value: Value) -> Value:
    return value


def _string(value: Value) -> Value:
    # Kusto has no null string. Bytes appear only where a query made them.
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _real(value: Value) -> Value:
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _decimal(value: Value) -> Value:
    if value is None:
        return None
    if isinstance(value, dict):
        value = value["decimal"]
    return value if isinstance(value, str) else format(value, "f")


def _dynamic(value: Value) -> Value:
    if isinstance(value, str):
        try:
            return json.loads(value, parse_constant=_constant, parse_float=_finite)
        except ValueError:
            return value
    return _plain(value)


def _constant(name: str) -> str:
    # DuckDB's JSON has NaN and infinity; JSON on the wire hasn't.
    return name


def _finite(text: str) -> Value:
    return _real(float(text))


def _plain(value: Value) -> Value:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dt.datetime | dt.date):
        return datetime_text(value)
    if isinstance(value, dt.timedelta | dt.time):
        return timespan_text(value)
    if isinstance(value, float):
        return _real(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _unless_none(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else function(value)


_ENCODERS: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "real": _real,
    "decimal": _decimal,
    "datetime": _unless_none(datetime_text),
    "timespan": _unless_none(timespan_text),
    "guid": _unless_none(str),
    "dynamic": _unless_none(_dynamic),
}
