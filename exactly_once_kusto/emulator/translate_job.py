"""What the service and the translator's process say to each other; imports no translator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .catalog import quote
from .types import STORED_AS, Column

PIPED = "__command__"
PIPED_TABLE = '"$piped"'
TOO_COMPLEX = "query is too complex for this emulator"


@dataclass(frozen=True)
class Job:
    """What a translation depends on, but for the catalog: equal jobs have equal translations.

    ``piped`` are the columns of a command's result that the query goes on with.
    """

    text: str
    database: str
    piped: tuple[Column, ...] | None = None
    parameters: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Translation:
    """One statement, its bound values, and the slot for the time of the query if it reads it."""

    sql: str
    values: Mapping[str, Any]
    clock_slot: str | None


def piped_select(columns: Sequence[Column]) -> str:
    """SQL of a command's result: text in its table, typed on the way out."""
    shown = ", ".join(
        f"{_typed(column, i)} AS {quote(column.name)}" for i, column in enumerate(columns)
    )
    return f"SELECT {shown} FROM {PIPED_TABLE}"


def piped_query(pipeline: str) -> str:
    """The query text for the rest of a piped command, without its first ``|``."""
    return f"{PIPED} | {pipeline}"


def _typed(column: Column, index: int) -> str:
    # Python writes a duration as '1 day, 0:00:01', which DuckDB reads without the comma.
    if column.type == "timespan":
        return f"CAST(replace(c{index}, ',', '') AS INTERVAL)"
    if column.type == "decimal":
        return f"CAST(c{index} AS DECIMAL(38, 10))"
    return f"CAST(c{index} AS {STORED_AS[column.type]})"
