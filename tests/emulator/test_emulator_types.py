"""What goes in comes out: the ten scalar types, by every format, as the SDK reads them."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import math
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

TEN = (
    ".create table T (b:bool, i:int, l:long, r:real, d:decimal, s:string, t:datetime, "
    "ts:timespan, g:guid, dy:dynamic)"
)
GUID = "6a5b7a3e-9f5c-4c56-9b02-3f5a8d6c1f10"
ROW = [
    True,
    -5,
    2**62,
    1.5,
    Decimal("-12.50"),
    'say "hi", é\n',
    dt.datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=dt.UTC),
    dt.timedelta(days=-1, hours=-2, microseconds=-7),
    GUID,
    {"a": [1, None, "x"]},
]
NULLS = [None, None, None, None, None, "", None, None, None, None]
TEXTS = [
    "true",
    "-5",
    str(2**62),
    "1.5",
    "-12.50",
    'say "hi", é\n',
    "2024-02-29T12:30:15.1234569Z",
    "-1.02:00:00.000007",
    GUID,
    '{"a":[1,null,"x"]}',
]


@pytest.fixture
def kusto(module_kusto):
    yield module_kusto
    module_kusto.rows(".drop table T")


def csv_line(values: list[str]) -> str:
    return ",".join('"' + v.replace('"', '""') + '"' for v in values)


def stored(kusto, path: Path, form: str, more: str = "") -> list[list]:
    kusto.rows(f".ingest into table T ('{path}') with (format='{form}'{more})")
    return kusto.rows("T")


def test_csv_brings_all_ten_types_and_their_nulls(kusto, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(f"{csv_line(TEXTS)}\n{',' * 9}\n".encode()))
    kusto.rows(TEN)
    assert stored(kusto, path, "csv") == [ROW, NULLS]
    types = [column.column_type for column in kusto.table("T").columns]
    assert types == [
        *("bool", "int", "long", "real", "decimal"),
        *("string", "datetime", "timespan", "guid", "dynamic"),
    ]


def test_json_brings_all_ten_types_and_their_nulls(kusto, tmp_path: Path) -> None:
    names = ["b", "i", "l", "r", "d", "s", "t", "ts", "g", "dy"]
    record = dict(zip(names, TEXTS, strict=True)) | {"dy": ROW[9], "b": True, "i": -5, "r": 1.5}
    path = tmp_path / "rows.json"
    path.write_text(f"{json.dumps(record)}\n{{}}\n")
    kusto.rows(TEN)
    assert stored(kusto, path, "json") == [ROW, NULLS]


def test_parquet_brings_what_its_conversion_table_allows_and_else_null(
    kusto, tmp_path: Path
) -> None:
    path = tmp_path / "rows.parquet"
    table = pa.table(
        {
            "b": [True, None],
            "i": pa.array([-5, None], pa.int32()),
            "l": pa.array([2**62, None], pa.int64()),
            "r": [1.5, None],
            "d": pa.array([Decimal("-12.50"), None], pa.decimal128(20, 2)),
            "s": [ROW[5], None],
            "t": pa.array([ROW[6], None], pa.timestamp("us", "UTC")),
            # https://learn.microsoft.com/kusto/management/parquet-mapping: a string becomes
            # neither timespan nor guid nor datetime.
            "ts": ["01:00:00", None],
            "g": [GUID, None],
            "dy": [json.dumps(ROW[9]), None],
        }
    )
    pq.write_table(table, path)
    kusto.rows(TEN)
    assert stored(kusto, path, "parquet") == [[*ROW[:7], None, None, ROW[9]], NULLS]


def test_parquet_bytes_without_a_logical_type_become_nothing(kusto, tmp_path: Path) -> None:
    # https://learn.microsoft.com/kusto/management/parquet-mapping: its table has no row for them
    path = tmp_path / "bytes.parquet"
    pq.write_table(pa.table({"s": [b"abc"], "y": [b"[1]"]}), path)
    kusto.rows(".create table T (s:string, y:dynamic)")
    assert stored(kusto, path, "parquet") == [["", None]]


def test_parquet_lists_and_structs_become_dynamic(kusto, tmp_path: Path) -> None:
    path = tmp_path / "nested.parquet"
    pq.write_table(pa.table({"x": [[1, 2], None], "y": [{"k": "v"}, {"k": None}]}), path)
    kusto.rows(".create table T (x:dynamic, y:dynamic, k:string)")
    mapping = (
        '[{"Column":"x","Properties":{"Path":"$.x"}},{"Column":"y","Properties":{"Path":"$.y"}},'
        '{"Column":"k","Properties":{"Path":"$.y.k"}}]'
    )
    rows = stored(kusto, path, "parquet", f", ingestionMapping='{mapping}'")
    assert rows == [[[1, 2], {"k": "v"}, "v"], [None, {"k": None}, ""]]


@pytest.mark.parametrize(
    "texts",
    [
        ["1.50", "-2.25"],
        ["1234567890123456789012345678901234", "-1"],
        ["0.000000000000000001", "0.1"],
        # Together they fit no DECIMAL(38, s).
        ["1234567890123456789012345678901234", "0.000000000000000001", "-7.50"],
    ],
)
def test_decimals_are_exact_whatever_their_scale(kusto, tmp_path: Path, texts: list[str]) -> None:
    path = tmp_path / "d.csv"
    path.write_text("".join(f"{text}\n" for text in texts))
    kusto.rows(".create table T (d:decimal)")
    stored(kusto, path, "csv")
    assert sorted(row[0] for row in kusto.rows("T")) == sorted(Decimal(t) for t in texts)
    ordered = [row[0] for row in kusto.rows("T | sort by d asc")]
    assert ordered == sorted(Decimal(t) for t in texts)


def test_a_decimal_of_35_digits_becomes_null(kusto, tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("12345678901234567890123456789012345\n")
    kusto.rows(".create table T (d:decimal)")
    assert stored(kusto, path, "csv") == [[None]]


def test_reals_that_are_no_numbers_arrive_as_their_names(kusto, tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"r": [math.nan, math.inf, -math.inf, 0.1]}), path)
    kusto.rows(".create table T (r:real)")
    assert stored(kusto, path, "parquet") == [["NaN"], ["Infinity"], ["-Infinity"], [0.1]]


def test_values_that_do_not_fit_become_null_and_never_something_else(kusto, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("x,1.5,9223372036854775808,x,x,x,x,x,x\n")
    kusto.rows(
        ".create table T (b:bool, i:int, l:long, r:real, d:decimal, t:datetime, ts:timespan, "
        "g:guid, dy:dynamic)"
    )
    assert stored(kusto, path, "csv") == [[None] * 8 + ["x"]]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_string_over_one_mebibyte_is_cut_in_silence(kusto, tmp_path: Path, form: str) -> None:
    # https://learn.microsoft.com/kusto/query/scalar-data-types/string
    exact, longer = "a" * 2**20, "a" + "é" * 2**19
    path = tmp_path / "long"
    if form == "parquet":
        pq.write_table(pa.table({"s": [exact, longer]}), path)
    elif form == "csv":
        path.write_text(f"{exact}\n{longer}\n")
    else:
        path.write_text(
            "\n".join(json.dumps({"s": s}, ensure_ascii=False) for s in (exact, longer))
        )
    kusto.rows(".create table T (s:string)")
    first, second = (row[0] for row in stored(kusto, path, form))
    assert first == exact
    assert second == "a" + "é" * (2**19 - 1)
    assert len(second.encode()) == 2**20 - 1


def test_a_dynamic_over_one_mebibyte_becomes_null(kusto, tmp_path: Path) -> None:
    # https://learn.microsoft.com/azure/data-explorer/ingest-invalid-data
    path = tmp_path / "long.json"
    path.write_text(json.dumps({"dy": ["x" * 2**20]}) + "\n")
    kusto.rows(".create table T (dy:dynamic)")
    assert stored(kusto, path, "json") == [[None]]


def test_datetimes_are_read_in_the_documented_formats(kusto, tmp_path: Path) -> None:
    # https://learn.microsoft.com/kusto/query/scalar-data-types/datetime#supported-formats
    zones, rfc = ("", " GMT", " UTC"), ("8 Nov 14", "08-Nov-14")
    texts = [f"{day} {at}{zone}" for day in rfc for at in ("15:05:02", "15:05") for zone in zones]
    texts += [f"{week}, {text}" for week, text in zip(["Sat", "Saturday"] * 6, texts, strict=True)]
    texts += [f"2014-11-08{sep}15:05:02{z}" for sep in "T " for z in ("", "Z", ".000", " GMT")]
    path = tmp_path / "t.csv"
    path.write_text("".join(f'"{text}"\n' for text in texts) + "Nov\n08-Xyz-14 15:05\n15:05\n")
    kusto.rows(".create table T (t:datetime)")
    moment = dt.datetime(2014, 11, 8, 15, 5, tzinfo=dt.UTC)
    read = stored(kusto, path, "csv")
    assert [row[0] and row[0].replace(second=0) for row in read] == [moment] * len(texts) + [
        None
    ] * 3


def test_a_value_that_does_not_fit_is_null_in_a_table_of_that_type_alone(
    kusto, tmp_path: Path
) -> None:
    # DuckDB would have its CSV reader make the cast, which fails the file.
    path = tmp_path / "bad.csv"
    path.write_text(f"1.5,{GUID}\nx,y\n1_0,{{{GUID}}}\n .5 ,{GUID.replace('-', '')}\n")
    kusto.rows(".create table T (r:real, g:guid)")
    assert stored(kusto, path, "csv") == [[1.5, GUID], [None, None], [None, GUID], [0.5, GUID]]


@pytest.mark.parametrize(
    ("kusto_type", "texts", "values"),
    [
        ("datetime", ["10000-01-01", "0000-01-01", "infinity", "2024-02-30"], [None] * 4),
        ("timespan", ["00:61:00", "00:00:60", "-00:00:01"], [None, None, dt.timedelta(0, -1)]),
        ("decimal", [".5", "5.", " 1.5 ", "+.5", "1_0"], [
            Decimal("0.5"), Decimal(5), Decimal("1.5"), Decimal("0.5"), None]),
        ("dynamic", ["NaN", "[Infinity]", '"nan"', '"{""a"":""NaN""}"'], [
            "NaN", "[Infinity]", "nan", {"a": "NaN"}]),
    ],
)  # fmt: skip
def test_texts_at_the_edge_of_a_type_are_values_or_null(
    kusto, tmp_path: Path, kusto_type: str, texts: list[str], values: list
) -> None:
    path = tmp_path / "edge.csv"
    path.write_text("".join(f"{text}\n" for text in texts))
    kusto.rows(f".create table T (v:{kusto_type})")
    assert [row[0] for row in stored(kusto, path, "csv")] == values


def test_nanoseconds_are_cut_off_in_every_format(kusto, tmp_path: Path) -> None:
    path = tmp_path / "ns.parquet"
    nanoseconds = [1_704_067_200_123_456_999, -1]
    columns = {name: pa.array(nanoseconds, pa.timestamp("ns", zone)) for name, zone in (
        ("t", None), ("z", "UTC"), ("s", "UTC"))}  # fmt: skip
    pq.write_table(pa.table(columns), path)
    kusto.rows(".create table T (t:datetime, z:datetime, s:string)")
    assert [row[:2] for row in kusto_texts(kusto, path)] == [
        ["2024-01-01T00:00:00.1234560Z"] * 2, ["1969-12-31T23:59:59.9999990Z"] * 2]  # fmt: skip
    assert kusto.one("T | where t > datetime(2000-01-01) | project s").startswith(
        "2024-01-01T00:00:00.123456"
    )


def kusto_texts(kusto, path: Path) -> list[list]:
    stored(kusto, path, "parquet")
    return kusto.rows("T | project tostring(t), tostring(z), s")
