"""Small Parquet files read without DuckDB: the very rows that DuckDB's way gives, or left to it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exactly_once_kusto.emulator import Faults, formats, plain_parquet
from exactly_once_kusto.emulator.catalog import DecimalWidth, Table
from exactly_once_kusto.emulator.mapping import Source, sources
from exactly_once_kusto.emulator.service import Service
from exactly_once_kusto.emulator.types import STORED_AS, Column

# As they are stored: UTC without a zone.
MOMENT = dt.datetime(2024, 2, 29, 23, 59, 59, 999999)  # noqa: DTZ001
FIRST = dt.datetime(1, 1, 1)  # noqa: DTZ001
LAST = dt.datetime(9999, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001


@pytest.fixture(scope="module")
def connection(tmp_path_factory) -> Iterator[duckdb.DuckDBPyConnection]:
    service = Service(tmp_path_factory.mktemp("k"), ["Demo"], Faults())
    with service.engine.reader() as q:
        yield q
    service.close()


def table(*types: str) -> Table:
    columns = tuple(Column(f"a{i}", each) for i, each in enumerate(types))
    return Table(1, "Demo", "T", columns, tuple(DecimalWidth() for _ in columns))


def written(path: Path, *arrays: pa.Array, **options) -> Path:
    named = {f"a{i}": array for i, array in enumerate(arrays)}
    pq.write_table(pa.table(named), path, **options)
    return path


def read(known: Table, file: Path, given: tuple[Source, ...] | None = None) -> pa.Table | None:
    chosen = given or sources(known.columns, None, by_ordinal=False)
    return plain_parquet.read(known, chosen, file, file.stat().st_size)


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"row_group_size": 2}])
@pytest.mark.parametrize(
    ("kusto", "array"),
    [
        ("bool", pa.array([True, None, False])),
        ("int", pa.array([-(2**31), None, 2**31 - 1], pa.int32())),
        ("long", pa.array([-(2**63), None, 2**63 - 1], pa.int64())),
        ("real", pa.array([math.nan, math.inf, -0.0, None, 5e-324])),
        ("string", pa.array(["", None, "ä\0\U0001f600", "a'b\n"])),
        ("string", pa.array(["", None, "x"], pa.large_string())),
        ("string", pa.array([None, None], pa.string())),
        ("string", pa.array(["x" * 2**20, "y"])),
        ("datetime", pa.array([MOMENT, None, FIRST], pa.timestamp("us"))),
        ("datetime", pa.array([MOMENT, None, LAST], pa.timestamp("us", "UTC"))),
        ("long", pa.array([], pa.int64())),
    ],
)
def test_a_plain_column_has_the_values_that_duckdb_reads(
    connection, tmp_path: Path, kusto: str, array: pa.Array, options: dict
) -> None:
    known = table(kusto, "long")
    file = written(tmp_path / "f.parquet", array, pa.array(range(len(array)), pa.int64()))
    rows = read(known, file)
    assert rows is not None
    reading = formats.Reading("parquet", sources(known.columns, None, by_ordinal=False))
    query = formats.select(connection, known, reading, file, "f")
    expected = connection.execute(f"SELECT * FROM ({query}) ORDER BY 2").fetchall()
    stored = f"CREATE OR REPLACE TEMP TABLE s (c0 {STORED_AS[kusto]}, c1 BIGINT)"
    connection.execute(stored)
    connection.register("given", rows)
    connection.execute("INSERT INTO s SELECT * FROM given")
    connection.unregister("given")
    found = connection.execute("SELECT * FROM s ORDER BY 2").fetchall()
    assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    ("kusto", "array"),
    [
        ("int", pa.array([1], pa.int64())),
        ("long", pa.array([1], pa.int32())),
        ("long", pa.array([1], pa.uint64())),
        ("real", pa.array([1.0], pa.float32())),
        ("decimal", pa.array([Decimal("1.50")])),
        ("decimal", pa.array(["1.50"])),
        ("string", pa.array([1], pa.int64())),
        ("string", pa.array([b"x"], pa.binary())),
        ("string", pa.array(["x"]).dictionary_encode()),
        ("string", pa.array(["x" * (2**20 + 1)])),
        ("string", pa.array([b"\xff"], pa.binary()).cast(pa.string(), safe=False)),
        ("datetime", pa.array([MOMENT], pa.timestamp("ns"))),
        ("datetime", pa.array([MOMENT], pa.timestamp("ms"))),
        ("datetime", pa.array([MOMENT], pa.timestamp("us", "Europe/Berlin"))),
        ("datetime", pa.array([MOMENT.date()])),
        ("timespan", pa.array([1], pa.duration("us"))),
        ("guid", pa.array([b"0" * 16], pa.binary(16))),
        ("dynamic", pa.array(["{}"])),
        ("dynamic", pa.array([[1]])),
    ],
)
def test_a_column_that_is_not_plainly_the_tables_is_left_to_duckdb(
    tmp_path: Path, kusto: str, array: pa.Array
) -> None:
    assert read(table(kusto), written(tmp_path / "f.parquet", array)) is None


@pytest.mark.parametrize(
    "source",
    [
        Source(),
        Source(constant="1"),
        Source(path=()),
        Source(path=("a0", "b")),
        Source(path=("a0",), transform="datetimefromunixseconds"),
        Source(path=("A0",)),
        Source(path=("missing",)),
    ],
)
def test_a_mapping_that_is_more_than_a_name_is_left_to_duckdb(tmp_path: Path, source) -> None:
    file = written(tmp_path / "f.parquet", pa.array([1], pa.int64()))
    assert read(table("long"), file, (source,)) is None


def test_names_choose_the_columns_and_others_are_passed_over(tmp_path: Path) -> None:
    file = written(tmp_path / "f.parquet", pa.array([1]), pa.array(["x"]), pa.array([[2]]))
    rows = read(table("string", "long"), file, (Source(path=("a1",)), Source(path=("a0",))))
    assert rows is not None
    assert rows.to_pydict() == {"c0": ["x"], "c1": [1]}


def test_names_that_duckdb_would_change_are_left_to_it(tmp_path: Path) -> None:
    file = tmp_path / "f.parquet"
    pq.write_table(pa.table({"a0": pa.array([1]), "A0": pa.array([2])}), file)
    assert read(table("long"), file) is None


def test_a_file_that_would_not_stay_small_in_memory_is_left_to_duckdb(tmp_path: Path) -> None:
    large = pa.array(["x" * 100_000] * 5_000)  # one value in the file's dictionary
    file = written(tmp_path / "f.parquet", large)
    assert file.stat().st_size < 100_000
    assert read(table("string"), file) is None
    many = written(tmp_path / "g.parquet", pa.array(range(500_000), pa.int64()))
    assert read(table("long"), many) is None


@pytest.mark.parametrize("cut", [0, 1, 4, 40, -1, -5, -60])
def test_a_broken_file_is_left_to_duckdb_which_names_what_is_wrong(tmp_path: Path, cut) -> None:
    file = written(tmp_path / "f.parquet", pa.array(range(100), pa.int64()))
    file.write_bytes(file.read_bytes()[:cut])
    assert read(table("long"), file) is None


def test_a_file_that_is_not_there_is_left_to_duckdb(tmp_path: Path) -> None:
    source = (Source(path=("a0",)),)
    assert plain_parquet.read(table("long"), source, tmp_path / "none", 10) is None
