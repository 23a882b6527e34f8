# ruff: noqa: DTZ001 - SQL's timestamps have no zone
from __future__ import annotations

import datetime as dt
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

pytestmark = pytest.mark.flink
pytest.importorskip("pyflink")

from py4j.protocol import Py4JJavaError  # noqa: E402
from pyflink.common import Row, Types, WatermarkStrategy  # noqa: E402
from pyflink.datastream.connectors.number_seq import NumberSequenceSource  # noqa: E402
from pyflink.java_gateway import get_gateway  # noqa: E402
from pyflink.table import DataTypes, StreamTableEnvironment  # noqa: E402
from pyflink.table.expressions import col  # noqa: E402

from exactly_once_kusto.cluster import wait_until  # noqa: E402
from exactly_once_kusto.errors import TypeRefusedError  # noqa: E402
from exactly_once_kusto.flink import attach  # noqa: E402
from tests.flink import jobs  # noqa: E402
from tests.flink.directory_sink import DirectorySink, ledger, visible  # noqa: E402

STREAMING = {"execution_runtime-mode": "STREAMING"}


@pytest.fixture(scope="module", autouse=True)
def jvm():
    jobs.start_jvm()


@pytest.fixture
def sink(tmp_path):
    return DirectorySink("t", str(tmp_path))


def rows_of(env, names, types, *rows):
    return env.from_collection([Row(*row) for row in rows], Types.ROW_NAMED(names, types))


def fields(**types):
    return DataTypes.ROW([DataTypes.FIELD(name, of) for name, of in types.items()])


def test_rows_of_a_typed_stream_arrive(tmp_path, sink):
    env = jobs.stream_env(**STREAMING)
    stream = rows_of(
        env,
        ["id", "small", "name", "x", "ok", "day", "at"],
        [
            Types.LONG(),
            Types.INT(),
            Types.STRING(),
            Types.DOUBLE(),
            Types.BOOLEAN(),
            Types.SQL_DATE(),
            Types.SQL_TIMESTAMP(),
        ],
        (1, 2, "ä", 0.5, True, dt.date(2024, 2, 29), dt.datetime(2024, 3, 31, 2, 30, 0, 1000)),
        (None,) * 7,
    )
    stream.sink_to(attach(sink, env))
    env.execute()
    found = visible(tmp_path)
    assert found.schema.field("at").type == pa.timestamp("us")
    assert sorted(map(str, found.to_pylist())) == sorted(
        [
            str(
                {
                    "id": 1,
                    "small": 2,
                    "name": "ä",
                    "x": 0.5,
                    "ok": True,
                    "day": dt.date(2024, 2, 29),
                    "at": dt.datetime(2024, 3, 31, 2, 30, 0, 1000),
                }
            ),
            str(dict.fromkeys(found.column_names)),
        ]
    )


def test_a_declared_row_type_carries_decimals(tmp_path, sink):
    env = jobs.stream_env(**STREAMING)
    stream = rows_of(
        env, ["a", "b"], [Types.LONG(), Types.BIG_DEC()], (1, Decimal("1.50")), (2, None)
    )
    row_type = fields(id=DataTypes.BIGINT(), amount=DataTypes.DECIMAL(18, 2))
    stream.sink_to(attach(sink, env, row_type))
    env.execute()
    assert sorted(visible(tmp_path).to_pylist(), key=lambda row: row["id"]) == [
        {"id": 1, "amount": Decimal("1.50")},
        {"id": 2, "amount": None},
    ]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Decimal("1.005"), "column 'amount': 1.005 would be rounded to 2 decimals"),
        (Decimal("12345.6"), "column 'amount': 12345.6 does not fit DECIMAL(6, 2)"),
    ],
)
def test_a_decimal_is_never_rounded_or_dropped(tmp_path, sink, value, told):
    env = jobs.stream_env(**STREAMING)
    stream = rows_of(env, ["amount"], [Types.BIG_DEC()], (value,))
    stream.sink_to(attach(sink, env, fields(amount=DataTypes.DECIMAL(6, 2))))
    with pytest.raises(Py4JJavaError) as failed:
        env.execute()
    assert told in jobs.causes(failed.value)
    assert "SuppressRestartsException" in jobs.causes(failed.value)
    assert not visible(tmp_path).num_rows


@pytest.mark.parametrize(
    ("types", "row_type", "told"),
    [
        (None, None, "not rows with named columns.*output_type=Types.ROW_NAMED"),
        ([Types.BIG_DEC()], None, "'a' is a decimal without precision.*DataTypes.DECIMAL"),
        ([Types.PICKLED_BYTE_ARRAY()], None, "'a' is .*declare the columns"),
        (
            [Types.LONG()],
            fields(a=DataTypes.BIGINT(), b=DataTypes.INT()),
            "row_type has 2 columns, the stream's rows have 1",
        ),
        ([Types.STRING()], fields(a=DataTypes.BIGINT()), "'a': row_type says BIGINT.*String"),
    ],
)
def test_a_stream_without_a_fitting_row_type_is_refused(sink, types, row_type, told):
    env = jobs.stream_env(**STREAMING)
    if types is None:
        stream = env.from_collection([1, 2])
    else:
        stream = env.from_collection([], Types.ROW_NAMED(["a"], types))
    with pytest.raises(TypeRefusedError, match="(?s)" + told):
        stream.sink_to(attach(sink, env, row_type))


def test_automatic_mode_with_bounded_input_is_a_batch(tmp_path, sink):
    env = jobs.stream_env(
        **{"execution_runtime-mode": "AUTOMATIC", "execution_checkpointing_interval": ""}
    )
    rows_of(env, ["id"], [Types.LONG()], (1,), (2,)).sink_to(attach(sink, env))
    env.execute()
    assert sorted(visible(tmp_path)["id"].to_pylist()) == [1, 2]
    assert "batch" in [entry["kind"] for entry in ledger(tmp_path)]


def start(folder: Path, savepoint: str, *, longer: bool):
    """A flood of numbers; `longer` puts operators between source and sink."""
    env = jobs.stream_env(**STREAMING, **{"execution_state-recovery_path": savepoint})
    tables = StreamTableEnvironment.create(env)
    numbers = NumberSequenceSource(1, 10**12)
    source = env.from_source(numbers, WatermarkStrategy.no_watermarks(), "numbers").uid("numbers")
    stream = tables.to_data_stream(tables.from_data_stream(source).alias("id"))
    if longer:
        stream = tables.to_data_stream(tables.from_data_stream(stream).filter(col("id") > 0))
    stream.sink_to(attach(DirectorySink("t", str(folder)), env)).name("out").uid("out")
    return env.execute_async()


def stop_with_savepoint(client, folder: Path) -> str:
    """PyFlink 2.3's own method calls one that Java no longer has."""
    formats = get_gateway().jvm.org.apache.flink.core.execution.SavepointFormatType
    return client._j_job_client.stopWithSavepoint(False, str(folder), formats.CANONICAL).get()


@pytest.mark.slow
def test_state_is_found_after_an_operator_was_added_upstream(tmp_path):
    client = start(tmp_path, "", longer=False)
    try:
        wait_until(lambda: visible(tmp_path).num_rows > 0, 60, "rows are committed")
        savepoint = stop_with_savepoint(client, tmp_path / "savepoints")
        before = visible(tmp_path).num_rows
        client = start(tmp_path, savepoint, longer=True)
        wait_until(lambda: visible(tmp_path).num_rows > before, 60, "more rows are committed")
    finally:
        with suppress(Py4JJavaError):  # it has ended by itself
            client.cancel().result()
    ids = sorted(visible(tmp_path)["id"].to_pylist())
    assert ids == list(range(1, len(ids) + 1))
