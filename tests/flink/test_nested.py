# ruff: noqa: DTZ001 - Flink's timestamps have no zone
"""Nested and binary values between a job and its worker: what comes through, what is refused."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest

pytestmark = pytest.mark.flink
pytest.importorskip("pyflink")

from py4j.protocol import Py4JJavaError  # noqa: E402
from pyflink.common import Row, Types  # noqa: E402
from pyflink.table import DataTypes  # noqa: E402

from exactly_once_kusto.errors import TypeRefusedError  # noqa: E402
from exactly_once_kusto.flink import attach  # noqa: E402
from tests.flink import jobs  # noqa: E402
from tests.flink.directory_sink import DirectorySink, visible  # noqa: E402

STREAMING = {"execution_runtime-mode": "STREAMING"}


@pytest.fixture(scope="module", autouse=True)
def jvm():
    jobs.start_jvm()


def stream_of(env, types, *rows):
    """A stream of rows with the columns c0, c1, ...; `from_collection` takes no nested rows."""
    names = [f"c{i}" for i in range(len(types))]
    return env.from_collection(list(range(len(rows)))).map(
        lambda n: Row(*rows[n]), output_type=Types.ROW_NAMED(names, types)
    )


def fields(*types):
    return DataTypes.ROW([DataTypes.FIELD(f"c{i}", of) for i, of in enumerate(types)])


INNER = Types.ROW_NAMED(["x", "y z"], [Types.INT(), Types.OBJECT_ARRAY(Types.STRING())])


def test_nested_values_of_a_datastream_arrive(tmp_path):
    env = jobs.stream_env(**STREAMING)
    types = [
        INNER,
        Types.MAP(Types.STRING(), INNER),
        Types.LIST(Types.LONG()),
        Types.PRIMITIVE_ARRAY(Types.DOUBLE()),
        Types.OBJECT_ARRAY(Types.SQL_TIMESTAMP()),
        Types.PRIMITIVE_ARRAY(Types.BYTE()),
    ]
    stream = stream_of(
        env,
        types,
        (
            Row(1, ["a", None]),
            {"k": Row(2, []), "none": None},
            [2**53 + 1],  # PyFlink has no null in a LIST
            [0.5],
            [dt.datetime(2024, 3, 31, 2, 30, 0, 1000), None],
            b"\0\xff",
        ),
        (None,) * 6,
        (Row(None, None), {}, [], [], [], b""),
    )
    stream.sink_to(attach(DirectorySink("t", str(tmp_path)), env))
    env.execute()
    rows = [tuple(row.values()) for row in visible(tmp_path).to_pylist()]
    told = [
        tuple(json.loads(v) if isinstance(v, str) else v for v in row)
        for row in sorted(rows, key=str)
    ]
    assert sorted(told, key=str) == sorted(
        [
            (
                {"x": 1, "y z": ["a", None]},
                {"k": {"x": 2, "y z": []}, "none": None},
                [2**53 + 1],
                [0.5],
                ["2024-03-31T02:30:00.001Z", None],
                b"\0\xff",
            ),
            (None,) * 6,
            ({"x": None, "y z": None}, {}, [], [], [], b""),
        ],
        key=str,
    )


DECIMALS = fields(
    DataTypes.ARRAY(DataTypes.ROW([DataTypes.FIELD("d", DataTypes.DECIMAL(6, 2))])),
    DataTypes.MAP(DataTypes.STRING(), DataTypes.DECIMAL(38, 18)),
)
DECIMAL_TYPES = [
    Types.OBJECT_ARRAY(Types.ROW_NAMED(["d"], [Types.BIG_DEC()])),
    Types.MAP(Types.STRING(), Types.BIG_DEC()),
]


def test_nested_decimals_of_a_datastream_are_exact_once_declared(tmp_path):
    env = jobs.stream_env(**STREAMING)
    exact = Decimal("-12345678901234567890.000000000000000001")
    stream = stream_of(env, DECIMAL_TYPES, ([Row(Decimal("-9999.9"))], {"k": exact, "z": None}))
    stream.sink_to(attach(DirectorySink("t", str(tmp_path)), env, DECIMALS))
    env.execute()
    (row,) = visible(tmp_path).to_pylist()
    assert json.loads(row["c0"]) == [{"d": "-9999.90"}]
    assert json.loads(row["c1"]) == {"k": str(exact), "z": None}


def test_a_nested_decimal_is_never_dropped(tmp_path):
    env = jobs.stream_env(**STREAMING)
    stream = stream_of(env, DECIMAL_TYPES, (None, None), ([Row(Decimal(12345))], {}))
    stream.sink_to(attach(DirectorySink("t", str(tmp_path)), env, DECIMALS))
    with pytest.raises(Py4JJavaError) as failed:
        env.execute()
    assert "column 'c0': 12345 does not fit DECIMAL(6, 2)" in jobs.causes(failed.value)
    assert "SuppressRestartsException" in jobs.causes(failed.value)
    assert not visible(tmp_path).num_rows


@pytest.mark.parametrize(
    ("types", "row_type", "told"),
    [
        ([Types.OBJECT_ARRAY(Types.BIG_DEC())], None, "'c0' is a decimal without precision"),
        (
            [INNER],
            fields(DataTypes.ROW([DataTypes.FIELD("x", DataTypes.INT())])),
            "'c0': row_type says ROW<`x` INT>, the stream carries ROW<`x` INT, `y z`",
        ),
        (
            [Types.OBJECT_ARRAY(Types.STRING())],
            fields(DataTypes.ARRAY(DataTypes.INT())),
            "'c0': row_type says INT, the stream carries java.lang.String",
        ),
        (
            [Types.OBJECT_ARRAY(Types.STRING())],
            fields(DataTypes.MAP(DataTypes.STRING(), DataTypes.INT())),
            "'c0': row_type says MAP<STRING, INT>",
        ),
    ],
)
def test_a_nested_type_that_does_not_fit_is_refused(tmp_path, types, row_type, told):
    env = jobs.stream_env(**STREAMING)
    stream = env.from_collection([], Types.ROW_NAMED(["c0"], types))
    with pytest.raises(TypeRefusedError, match="(?s)" + told.replace("(", "\\(")):
        stream.sink_to(attach(DirectorySink("t", str(tmp_path)), env, row_type))


def test_a_key_that_comes_twice_is_refused(tmp_path):
    """Flink's own functions make such maps."""
    tables = jobs.table_env()
    tables.execute_sql(
        "CREATE TEMPORARY TABLE s (id BIGINT) WITH ('connector' = 'datagen', "
        "'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '1')"
    )
    tables.execute_sql(jobs.sink_ddl("c MAP<STRING, INT>", tmp_path))
    key = "CAST(id AS STRING)"
    with pytest.raises(Py4JJavaError) as failed:
        jobs.run(tables, f"INSERT INTO k SELECT MAP[{key}, 1, {key}, 2] FROM s")
    assert "column 'c': a MAP with the key '1' twice" in jobs.causes(failed.value)
    assert "SuppressRestartsException" in jobs.causes(failed.value)
    assert not visible(tmp_path).num_rows
