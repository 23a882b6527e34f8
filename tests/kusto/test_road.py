"""The whole road: random rows of random schemas, encoded, ingested, queried, equal."""

from __future__ import annotations

import math
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from exactly_once_kusto.kusto.columns import plan_columns
from exactly_once_kusto.protocol.outcome import Completed
from exactly_once_kusto.protocol.ports import Column
from tests.kusto.conftest import COLUMNS, SCHEMA, transaction
from tests.kusto.generate import TYPES, Table, tables
from tests.kusto.test_commit import commit

NANOSECONDS = "TIMESTAMP_LTZ(9)"


def expected(column_type: str, value):
    """Kusto's normal form: no null string, microseconds (the emulator's), UTC."""
    kind = TYPES[column_type]
    if value is None:
        return "" if kind.kusto == "string" else None
    value = kind.plain(value)
    return Decimal(value) if kind.kusto == "decimal" else value


def received(column_type: str, value):
    kind = TYPES[column_type]
    if kind.kusto == "real" and isinstance(value, str):
        value = {"NaN": "nan", "Infinity": math.inf, "-Infinity": -math.inf}[value]
    return kind.plain(value)


@given(table=tables())
@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_rows_of_any_schema_are_in_the_table_as_they_came(kusto, table: Table):
    check_road(kusto, table)


def test_a_time_with_nanoseconds_is_in_the_table_as_it_came(kusto):
    times = pa.array([946_684_800_123_456_000, None], pa.timestamp("ns"))
    batch = pa.record_batch([pa.array([0, 1], pa.int32()), times], names=["n", "c"])
    check_road(kusto, Table((Column("n", "INT"), Column("c", NANOSECONDS)), batch))


def check_road(kusto, table: Table) -> None:
    plan = plan_columns(table.columns, None)
    name = kusto.table(", ".join(f"{c.target}:{c.goes_into[0]}" for c in plan))
    sink = kusto.sink(name)
    target = kusto.target(sink, table.columns)
    target.preflight()
    writer = sink.writer(table.columns, table.batch.schema)
    writer.write(table.batch)
    made = transaction(list(writer.seal()))
    writer.close()
    assert commit(target, made)[1] == Completed()
    raw = kusto.client.execute_query("Demo", f"{name} | order by n asc").primary_results[0]
    rows = [dict(zip([c.column_name for c in raw.columns], r, strict=True)) for r in raw.raw_rows]
    assert len(rows) == table.batch.num_rows
    for column in table.columns:
        came = table.batch.column(column.name).to_pylist()
        read = [_parsed(TYPES[column.type].kusto, row[column.name]) for row in rows]
        assert [received(column.type, v) for v in read] == [expected(column.type, v) for v in came]


def _parsed(kusto_type: str, value):
    if value is None or kusto_type not in ("datetime", "decimal"):
        return value
    if kusto_type == "decimal":
        return Decimal(value)
    # Seven digits, of which the emulator keeps six.
    assert value.endswith("0Z")
    return pa.scalar(value[:-2]).cast(pa.timestamp("us")).as_py()


def test_every_flink_type_is_among_the_random_ones():
    assert {kind.kusto for kind in TYPES.values()} == {
        *("bool", "int", "long", "real", "decimal", "string", "datetime")
    }


@pytest.mark.parametrize("count", [1, 200_000])
def test_many_rows_are_counted(kusto, count):
    table = kusto.table()
    sink = kusto.sink(table)
    target = kusto.target(sink)
    writer = sink.writer(COLUMNS, SCHEMA)
    ids = pa.array(range(count), pa.int64())
    writer.write(pa.record_batch([ids, ids.cast(pa.string())], schema=SCHEMA))
    made = transaction(list(writer.seal()))
    operation, status = commit(target, made)
    assert status == Completed()
    assert sum(e.rows for e in target.look(made, [operation], 0).extents) == count
    assert kusto.query(f"{table} | summarize c = count(), d = sum(id)") == [
        {"c": count, "d": count * (count - 1) // 2}
    ]
