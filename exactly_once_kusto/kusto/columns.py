"""From a Flink type to the Parquet type that is staged and the Kusto columns it may go into.

    Flink                       Parquet (logical)          goes into
    BOOLEAN                     BOOLEAN                    bool
    TINYINT SMALLINT INT        INT8 INT16 INT32           int, long
    BIGINT                      INT64                      long
    FLOAT DOUBLE                FLOAT32 FLOAT64            real
    DECIMAL(p, s), p <= 34      DECIMAL                    decimal
    CHAR VARCHAR STRING         STRING                     string
    DATE                        DATE                       datetime
    TIME(p)                     STRING, hh:mm:ss[.fff...]  string
    TIMESTAMP(p)                TIMESTAMP, UTC             datetime
    TIMESTAMP_LTZ(p)            TIMESTAMP, UTC             datetime
    BINARY VARBINARY BYTES      STRING, base64             string
    ARRAY MAP ROW               STRING, JSON               dynamic

Source: the table 'Parquet type conversions' of Kusto's management/parquet-mapping.md; only what it
ticks and what keeps every value as it is. It ticks nothing for `timespan`, so a TIME can't go into
one (it would be null without a word): it goes into a string that `totimespan()` reads. Bytes
without a meaning are not in it at all, and no column of Kusto holds any: they go in as base64.

Kusto has no zones: the clock time of a TIMESTAMP is stored as if it were UTC, as Flink does when it
converts one to an instant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exactly_once_kusto.errors import OptionError, TypeRefusedError
from exactly_once_kusto.kusto.command import quote_name
from exactly_once_kusto.kusto.config import NAME_LENGTH_MAX
from exactly_once_kusto.protocol.ports import Column

DECIMAL_DIGITS_MAX = 34  # query/scalar-data-types/decimal.md

NESTED = re.compile(r"(ARRAY|MAP|ROW)<.*>", re.DOTALL)
TYPE = re.compile(
    r"(?P<word>[A-Z]+(?:_LTZ)?)\s*(?:\(\s*(?P<first>\d+)\s*(?:,\s*\d+\s*)?\))?"
    r"\s*(?P<zone>WITHOUT TIME ZONE|WITH LOCAL TIME ZONE)?"
)

GOES_INTO = {
    "BOOLEAN": ("bool",),
    **dict.fromkeys(("TINYINT", "SMALLINT", "INT", "INTEGER"), ("int", "long")),
    "BIGINT": ("long",),
    **dict.fromkeys(("FLOAT", "DOUBLE"), ("real",)),
    **dict.fromkeys(("DECIMAL", "NUMERIC", "DEC"), ("decimal",)),
    **dict.fromkeys(("CHAR", "VARCHAR", "STRING", "TIME"), ("string",)),
    **dict.fromkeys(("DATE", "TIMESTAMP", "TIMESTAMP_LTZ"), ("datetime",)),
    **dict.fromkeys(("BINARY", "VARBINARY", "BYTES"), ("string",)),
    **dict.fromkeys(("ARRAY", "MAP", "ROW"), ("dynamic",)),
}

CASTS = "leave them out, or CAST them to a STRING"


@dataclass(frozen=True, slots=True)
class PlannedColumn:
    """A column of the stream, the table's column it goes into, and the types that one may have."""

    source: str
    type: str
    target: str
    goes_into: tuple[str, ...]


def plan_columns(
    columns: Sequence[Column], mapping: Mapping[str, str] | None
) -> tuple[PlannedColumn, ...]:
    """Return where each column goes, in the stream's order.

    Raises:
        TypeRefusedError: names every column whose type can't be carried, and its type.
        OptionError: the mapping names a column that is not there, or two go into one.
    """
    mapping = mapping or {}
    _check_mapping(columns, mapping)
    refused = [
        f"'{c.name}' {c.type}{why}" for c in columns if (why := _refused(c.type)) is not None
    ]
    if refused:
        raise TypeRefusedError(
            f"columns of a type that Kusto has no place for: {', '.join(refused)}; {CASTS}"
        )
    return tuple(
        PlannedColumn(c.name, c.type, mapping.get(c.name, c.name), GOES_INTO[type_word(c.type)])
        for c in columns
    )


def type_word(flink_type: str) -> str:
    """Return the first word of a type that `plan_columns` took, `TIMESTAMP_LTZ` in full."""
    nested = NESTED.fullmatch(flink_type)
    if nested is not None:
        return nested[1]
    found = TYPE.fullmatch(flink_type)
    assert found is not None
    return found["word"]


def create_command(table: str, plan: Sequence[PlannedColumn]) -> str:
    """Return the command that makes a table which fits, for a person to run."""
    listed = ", ".join(f"{quote_name(c.target)}:{c.goes_into[0]}" for c in plan)
    return f".create table {quote_name(table)} ({listed})"


def _refused(flink_type: str) -> str | None:
    if NESTED.fullmatch(flink_type):
        return None
    found = TYPE.fullmatch(flink_type)
    if found is None or found["word"] not in GOES_INTO:
        return ""
    if found["zone"] and found["word"] != "TIMESTAMP":
        return ""
    digits = int(found["first"] or 0)
    if GOES_INTO[found["word"]] == ("decimal",) and digits > DECIMAL_DIGITS_MAX:
        return f" (a decimal of Kusto has {DECIMAL_DIGITS_MAX} digits)"
    return None


def _check_mapping(columns: Sequence[Column], mapping: Mapping[str, str]) -> None:
    names = [column.name for column in columns]
    for name in mapping:
        if name not in names:
            raise OptionError(
                f"option 'mapping': there is no column '{name}' in the stream; it has "
                f"{', '.join(names)}"
            )
    targets = [mapping.get(name, name) for name in names]
    for target in targets:
        if targets.count(target) > 1:
            raise OptionError(
                f"option 'mapping': two columns go into '{target}'; map or leave out one of them"
            )
        if not target.strip() or len(target) > NAME_LENGTH_MAX or not target.isprintable():
            raise OptionError(
                f"column {target[:80]!r} can't be the name of a column in Kusto; rename it, or "
                "map it with option 'mapping'"
            )
    if not columns:
        raise OptionError("the stream has no columns; there is nothing to write")
