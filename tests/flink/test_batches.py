"""The data plane: what the task's buffers say is what the arrays hold."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exactly_once_kusto.flink.batches import arrow_schema, arrow_type, read_batch
from exactly_once_kusto.flink.frames import BadFrame
from exactly_once_kusto.protocol.ports import Column

from .worker_process import write_batch

VALUES = {
    "BOOLEAN": st.booleans(),
    "TINYINT": st.integers(-128, 127),
    "SMALLINT": st.integers(-(2**15), 2**15 - 1),
    "INT": st.integers(-(2**31), 2**31 - 1),
    "BIGINT": st.integers(-(2**63), 2**63 - 1),
    "FLOAT": st.floats(width=32, allow_nan=False),
    "DOUBLE": st.floats(allow_nan=False),
    "DECIMAL(34, 0)": st.integers(-(10**34) + 1, 10**34 - 1).map(Decimal),
    "STRING": st.text(),
    "VARCHAR(7)": st.text(max_size=7),
    "DATE": st.dates(),
    "TIME(3)": st.times().map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)),
    "TIMESTAMP(6)": st.datetimes(),
    "TIMESTAMP_LTZ(6)": st.datetimes(),
    "BYTES": st.binary(),
    "VARBINARY(4)": st.binary(max_size=4),
    "ARRAY<INT>": st.lists(st.integers(0, 9), max_size=3).map(str),
}


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[Column], pa.RecordBatch]:
    types = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5))
    rows = draw(st.integers(0, 10))
    columns = [Column(f"c{i}", kind) for i, kind in enumerate(types)]
    arrays = [
        pa.array(
            draw(st.lists(st.none() | VALUES[kind], min_size=rows, max_size=rows)),
            arrow_type(kind),
        )
        for kind in types
    ]
    return columns, pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(columns))


@given(batches())
def test_every_value_comes_as_it_was_sent(given_batch) -> None:
    columns, batch = given_batch
    seen = read_batch(write_batch(batch), arrow_schema(columns))
    seen.validate(full=True)
    assert seen.to_pylist() == batch.to_pylist()


@pytest.mark.parametrize(
    ("flink", "arrow"),
    [
        ("CHAR(3)", pa.string()),
        ("DECIMAL(10, 2)", pa.decimal128(10, 2)),
        ("TIME(0)", pa.time32("s")),
        ("TIME(6)", pa.time64("us")),
        ("TIME(9)", pa.time64("ns")),
        ("TIMESTAMP(0)", pa.timestamp("s")),
        ("TIMESTAMP(1)", pa.timestamp("ms")),
        ("TIMESTAMP(3)", pa.timestamp("ms")),
        ("TIMESTAMP(4)", pa.timestamp("us")),
        ("TIMESTAMP_LTZ(9)", pa.timestamp("ns")),
        ("TIMESTAMP(3) WITH LOCAL TIME ZONE", pa.timestamp("ms")),
    ],
)
def test_a_type_that_crosses_in_another_unit_would_shift_every_value(flink, arrow) -> None:
    assert arrow_type(flink) == arrow


def test_buffers_of_another_schema_are_a_bad_frame() -> None:
    payload = write_batch(pa.record_batch({"a": pa.array([1]), "b": pa.array([2])}))
    with pytest.raises(BadFrame, match="jar and package differ"):
        read_batch(payload, arrow_schema([Column("a", "BIGINT")]))


def test_no_row_at_all_is_a_batch_too() -> None:
    schema = arrow_schema([Column("d", "DATE"), Column("s", "STRING")])
    empty = pa.RecordBatch.from_arrays(
        [pa.array([], pa.date32()), pa.array([], pa.string())], schema=schema
    )
    assert read_batch(write_batch(empty), schema).num_rows == 0
