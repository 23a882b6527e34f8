"""Parquet parts hold exactly what came, or the writer refuses it by the column's name."""

from __future__ import annotations

import datetime as dt
import io
import json
from base64 import b64decode
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from exactly_once_kusto.errors import StorageUnavailableError, TypeRefusedError, ValueRefusedError
from exactly_once_kusto.kusto import encode
from exactly_once_kusto.kusto.columns import plan_columns
from exactly_once_kusto.kusto.encode import Encoding, ParquetPart
from exactly_once_kusto.protocol.ports import Column
from tests.kusto.generate import TYPES, tables


class Memory:
    """An upload into memory."""

    def __init__(self) -> None:
        self.data = io.BytesIO()

    def write(self, data) -> int:
        return self.data.write(data)

    def seal(self):
        return self.data

    def abort(self) -> None:
        pass


def encoded(columns, batches) -> pa.Table:
    encoding = Encoding(plan_columns(columns, None), batches[0].schema)
    part = ParquetPart(encoding.schema, Memory())
    for batch in batches:
        part.write(encoding.convert(batch))
    assert part.rows == sum(batch.num_rows for batch in batches)
    data = part.seal()
    data.seek(0)
    return pq.read_table(data)


def one(flink: str, arrow: pa.DataType, values: list) -> pa.Table:
    array = pa.array(values, arrow)
    return encoded([Column("c", flink)], [pa.record_batch([array], names=["c"])])


@given(tables())
@settings(deadline=None)
def test_rows_of_any_schema_read_back_as_they_came(table):
    read = encoded(table.columns, [table.batch, table.batch.slice(1)])
    expected = table.batch.to_pylist() + table.batch.slice(1).to_pylist()
    for row, (column, _) in enumerate(zip(table.columns, table.batch.columns, strict=True)):
        kind = TYPES[column.type]
        got = read.column(row).to_pylist()
        assert [kind.plain(v) for v in got] == [kind.plain(e[column.name]) for e in expected]


def test_times_are_utc_with_the_unit_that_came():
    for flink, unit, kept in [("TIMESTAMP(3)", "ms", "ms"), ("TIMESTAMP(9)", "ns", "ns")]:
        assert one(flink, pa.timestamp(unit), [0]).schema[0].type == pa.timestamp(kept, "UTC")
    assert one("TIMESTAMP(0)", pa.timestamp("s"), [1, None]).column(0).to_pylist() == [
        dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC),
        None,
    ]


def test_a_time_keeps_its_100_nanoseconds():
    ticks = [1, 1_700_000_000_123_456_700, -100, None, 0]
    values = [None if t is None else t // 100 * 100 for t in ticks]
    read = one("TIMESTAMP(9)", pa.timestamp("ns"), values).column(0)
    assert read.cast(pa.int64()).to_pylist() == values
    assert 1_700_000_000_123_456_700 in values


def test_a_decimal_keeps_its_34_digits():
    value = Decimal("-1234567890123456789012345678901.234")
    read = one("DECIMAL(34, 3)", pa.decimal128(34, 3), [value, None])
    assert read.column(0).to_pylist() == [value, None]


def test_a_time_of_day_becomes_text_that_kusto_reads():
    read = one("TIME(3)", pa.time32("ms"), [dt.time(1, 2, 3, 4000), None]).column(0)
    assert read.to_pylist() == ["01:02:03.004", None]
    assert one("TIME(0)", pa.time32("s"), [dt.time(23, 59, 59)])[0].to_pylist() == ["23:59:59"]


@pytest.mark.parametrize("text", ["x" * (1 << 20), "ä" * (1 << 19), "𝄞" * (1 << 18)])
def test_a_string_of_just_the_limit_passes(text):
    assert one("STRING", pa.string(), ["", None, text])[0].to_pylist() == ["", None, text]


@pytest.mark.parametrize("text", ["x" * ((1 << 20) + 1), "ä" * ((1 << 19) + 1)])
def test_a_string_over_the_limit_is_refused_with_its_length(text):
    with pytest.raises(ValueRefusedError) as caught:
        one("STRING", pa.string(), ["short", None, text])
    assert "column 'c' (STRING)" in str(caught.value)
    assert f"{len(text.encode()):,} bytes" in str(caught.value)
    assert "1,048,576" in str(caught.value)
    assert "cut the rest in silence" in str(caught.value)


def test_bytes_become_base64():
    values = [b"", b"\x00\xff\x10", None, bytes(range(256))]
    read = one("VARBINARY(300)", pa.binary(), values)[0].to_pylist()
    assert [None if text is None else b64decode(text) for text in read] == values


@pytest.mark.parametrize("length", [786_432, 786_433])
def test_bytes_are_limited_by_their_text(length):
    value = bytes(length)
    if length == 786_432:
        assert one("BYTES", pa.binary(), [value]).num_rows == 1
        return
    with pytest.raises(
        ValueRefusedError, match=r"column 'c' \(BYTES\): a string of 1,048,580 bytes"
    ):
        one("BYTES", pa.binary(), [value])


def test_a_nested_value_over_the_limit_is_refused_and_one_of_just_the_limit_passes():
    fits = json.dumps(["x" * ((1 << 20) - 4)])
    assert len(fits) == 1 << 20
    assert one("ARRAY<STRING>", pa.string(), [fits, None])[0].to_pylist() == [fits, None]
    with pytest.raises(ValueRefusedError) as caught:
        one("ARRAY<STRING>", pa.string(), ["[]", fits + " "])
    assert "a nested value with a JSON of 1,048,577 bytes" in str(caught.value)
    assert "store null instead in silence" in str(caught.value)


def test_bytes_become_base64_and_the_limit_is_that_of_the_text():
    read = one("BYTES", pa.binary(), [b"\x00\xff", b"", None])
    assert read.schema[0].type == pa.string()
    assert read[0].to_pylist() == ["AP8=", "", None]
    one("BYTES", pa.binary(), [b"x" * (3 << 18)])
    with pytest.raises(ValueRefusedError, match=r"'c' \(BYTES\): a string of 1,048,580 bytes"):
        one("BYTES", pa.binary(), [b"short", b"x" * ((3 << 18) + 1)])


def test_a_nested_value_of_just_the_limit_passes_and_one_over_it_is_refused():
    text = '["' + "ä" * ((1 << 19) - 2) + '"]'
    assert one("ARRAY<STRING>", pa.string(), ["[]", None, text])[0].to_pylist()[2] == text
    with pytest.raises(ValueRefusedError) as caught:
        one("ARRAY<STRING>", pa.string(), ["[]", None, f"{text} "])
    assert "column 'c' (ARRAY<STRING>)" in str(caught.value)
    assert "JSON of 1,048,577 bytes" in str(caught.value)
    assert "store null instead in silence" in str(caught.value)


@pytest.mark.parametrize("flink", ["STRING", "ARRAY<STRING>"])
@pytest.mark.parametrize("text", [b"a\xffb", b"\xed\xa0\x80", b"\xc0\x80", b"\xe6\xbc"])
def test_a_text_that_is_no_utf8_is_refused(flink, text):
    buffers = pa.array([b"ok", text], pa.binary()).buffers()
    array = pa.Array.from_buffers(pa.string(), 2, buffers)
    with pytest.raises(ValueRefusedError, match=r"column 'c' .*UTF8 .* U\+FFFD .* as BYTES"):
        encoded([Column("c", flink)], [pa.record_batch([array], names=["c"])])


def test_the_character_nul_passes():
    assert one("STRING", pa.string(), ["a\0b"])[0].to_pylist() == ["a\0b"]


def test_a_record_over_the_limit_is_refused_though_each_of_its_strings_is_short():
    text = "x" * (1 << 20)
    names = [f"c{i}" for i in range(62)]
    columns = [Column(name, "STRING") for name in names]
    fits = pa.record_batch([pa.array([text, None])] * 61, names=names[:61])
    encoded(columns[:61], [fits])
    over = pa.record_batch([pa.array(["", None, text])] * 62, names=names)
    with pytest.raises(ValueRefusedError, match=r"a row with 65,011,712 bytes .* of 64 MB"):
        encoded(columns, [over])


YEAR_10000_MS = 253_402_300_800_000
YEAR_1_MS = -62_135_596_800_000


@pytest.mark.parametrize(
    ("flink", "arrow", "inside", "outside"),
    [
        ("TIMESTAMP(3)", pa.timestamp("ms"), YEAR_10000_MS - 1, YEAR_10000_MS),
        ("TIMESTAMP(3)", pa.timestamp("ms"), YEAR_1_MS, YEAR_1_MS - 1),
        ("TIMESTAMP(6)", pa.timestamp("us"), YEAR_1_MS * 1000, YEAR_1_MS * 1000 - 1),
        ("TIMESTAMP(0)", pa.timestamp("s"), YEAR_10000_MS // 1000 - 1, YEAR_10000_MS // 1000),
        ("DATE", pa.date32(), YEAR_1_MS // 86_400_000, YEAR_1_MS // 86_400_000 - 1),
        ("DATE", pa.date32(), YEAR_10000_MS // 86_400_000 - 1, YEAR_10000_MS // 86_400_000),
    ],
)
def test_a_time_that_kusto_has_no_year_for_is_refused(flink, arrow, inside, outside):
    one(flink, arrow, [None, inside])
    with pytest.raises(ValueRefusedError, match=r"column 'c' .* outside the years 1 to 9999"):
        one(flink, arrow, [0, None, outside])


@pytest.mark.parametrize("value", [1, 1_700_000_000_000_000_050, -1])
def test_nanoseconds_that_kusto_would_cut_are_refused(value):
    with pytest.raises(ValueRefusedError, match=r"'c' \(TIMESTAMP\(9\)\).*TIMESTAMP\(6\)"):
        one("TIMESTAMP(9)", pa.timestamp("ns"), [None, 0, value])


def test_batches_of_another_schema_are_refused():
    plan = plan_columns([Column("a", "INT"), Column("b", "STRING")], None)
    with pytest.raises(TypeRefusedError, match="have the columns b, a"):
        Encoding(plan, pa.schema([("b", pa.string()), ("a", pa.int32())]))
    with pytest.raises(TypeRefusedError, match="'a' was said to be INT, but comes as string"):
        Encoding(plan, pa.schema([("a", pa.string()), ("b", pa.string())]))


def test_parts_bear_the_names_of_the_table_s_columns():
    plan = plan_columns([Column("amount", "INT")], {"amount": "My Amount"})
    assert Encoding(plan, pa.schema([("amount", pa.int32())])).schema.names == ["My Amount"]


def test_row_groups_are_written_while_rows_come_in():
    encoding = Encoding(plan_columns([Column("a", "INT")], None), pa.schema([("a", pa.int32())]))
    memory = Memory()
    part = ParquetPart(encoding.schema, memory)
    batch = pa.record_batch([pa.array(range(10_000), pa.int32())], names=["a"])
    sizes = []
    for _ in range(30):
        part.write(batch)
        sizes.append(memory.data.tell())
    assert sizes[12] < 100 < sizes[13] < sizes[27]
    groups = pq.ParquetFile(part.seal()).metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [
        140_000,
        140_000,
        20_000,
    ]


def test_one_wide_batch_is_written_at_once():
    memory = Memory()
    part = ParquetPart(pa.schema([("s", pa.string())]), memory)
    part.write(pa.record_batch([pa.array(["x" * 1000] * 17_000)], names=["s"]))
    assert memory.data.tell() > 100
    assert part._waiting == []
    part.abort()


def test_an_error_of_the_storage_comes_through_as_it_is():
    class Full(Memory):
        def write(self, data):
            if self.data.tell() > 100:
                raise StorageUnavailableError("disk full")
            return super().write(data)

    encoding = Encoding(plan_columns([Column("a", "INT")], None), pa.schema([("a", pa.int32())]))
    part = ParquetPart(encoding.schema, Full())
    batch = pa.record_batch([pa.array(range(encode.ROW_GROUP_ROWS_MAX), pa.int32())], names=["a"])
    with pytest.raises(StorageUnavailableError, match="disk full"):
        part.write(batch)
    part.abort()
