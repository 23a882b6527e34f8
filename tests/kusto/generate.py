"""Random tables: rows of any schema, as Flink hands them over, and what Kusto must show of them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from exactly_once_kusto.protocol.ports import Column

# Without a zone, as Flink hands them over.
FIRST = dt.datetime.fromisoformat("0001-01-01T00:00:00")
LAST = dt.datetime.fromisoformat("9999-12-31T23:59:59.999999")
NS_FIRST = dt.datetime.fromisoformat("1700-01-01T00:00:00")
NS_LAST = dt.datetime.fromisoformat("2250-01-01T00:00:00")
MIDNIGHT = dt.time()


@dataclass(frozen=True)
class Kind:
    """A Flink type: how Arrow has it, its values, and their form after a round trip."""

    arrow: pa.DataType
    kusto: str
    values: st.SearchStrategy
    plain: Callable[[Any], Any] = lambda value: value


def _integers(bits: int) -> st.SearchStrategy:
    return st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def _decimals(digits: int, scale: int) -> st.SearchStrategy:
    whole = st.integers(-(10**digits) + 1, 10**digits - 1)
    return whole.map(lambda n: Decimal((int(n < 0), tuple(map(int, str(abs(n)))), -scale)))


def _number(value: Any) -> Any:
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def _instant(value: Any) -> Any:
    if value is None:
        return None
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime(warn=False)
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, MIDNIGHT)
    return value.replace(tzinfo=None) if value.tzinfo is None else _naive(value)


def _naive(value: dt.datetime) -> dt.datetime:
    return value.astimezone(dt.UTC).replace(tzinfo=None)


def _time_text(value: Any) -> Any:
    if isinstance(value, dt.time):
        return value.isoformat("seconds" if not value.microsecond else "milliseconds")
    if value and value.endswith(".000"):
        return value.removesuffix(".000")
    return value


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)

TYPES = {
    "BOOLEAN": Kind(pa.bool_(), "bool", st.booleans()),
    "TINYINT": Kind(pa.int8(), "int", _integers(8)),
    "SMALLINT": Kind(pa.int16(), "int", _integers(16)),
    "INT": Kind(pa.int32(), "int", _integers(32)),
    "BIGINT": Kind(pa.int64(), "long", _integers(64)),
    "FLOAT": Kind(pa.float32(), "real", st.floats(width=32), _number),
    "DOUBLE": Kind(pa.float64(), "real", st.floats(), _number),
    "DECIMAL(34, 10)": Kind(pa.decimal128(34, 10), "decimal", _decimals(34, 10)),
    "DECIMAL(5, 0)": Kind(pa.decimal128(5, 0), "decimal", _decimals(5, 0)),
    "VARCHAR(100)": Kind(pa.string(), "string", TEXT),
    "STRING": Kind(pa.string(), "string", TEXT),
    "DATE": Kind(pa.date32(), "datetime", st.dates(), _instant),
    "TIME(3)": Kind(
        pa.time32("ms"),
        "string",
        st.integers(0, 86_399_999).map(lambda ms: (FIRST + dt.timedelta(milliseconds=ms)).time()),
        _time_text,
    ),
    "TIMESTAMP(0)": Kind(
        pa.timestamp("s"),
        "datetime",
        st.datetimes(FIRST, LAST).map(lambda t: t.replace(microsecond=0)),
        _instant,
    ),
    "TIMESTAMP(3)": Kind(
        pa.timestamp("ms"),
        "datetime",
        st.datetimes(FIRST, LAST).map(
            lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)
        ),
        _instant,
    ),
    "TIMESTAMP(6)": Kind(pa.timestamp("us"), "datetime", st.datetimes(FIRST, LAST), _instant),
    "TIMESTAMP_LTZ(9)": Kind(
        pa.timestamp("ns"), "datetime", st.datetimes(NS_FIRST, NS_LAST), _instant
    ),
}


@dataclass(frozen=True)
class Table:
    columns: tuple[Column, ...]
    batch: pa.RecordBatch


@st.composite
def tables(draw: st.DrawFn, without: tuple[str, ...] = ()) -> Table:
    """Rows of a random schema; the first column `n` numbers them."""
    of = sorted(set(TYPES) - set(without))
    types = draw(st.lists(st.sampled_from(of), min_size=1, max_size=8))
    columns = (Column("n", "INT"), *(Column(f"c{i}", t) for i, t in enumerate(types)))
    count = draw(st.integers(1, 12))
    arrays = [pa.array(range(count), pa.int32())]
    for flink in types:
        kind = TYPES[flink]
        values = st.lists(st.none() | kind.values, min_size=count, max_size=count)
        arrays.append(pa.array(draw(values), kind.arrow))
    return Table(columns, pa.record_batch(arrays, names=[c.name for c in columns]))
