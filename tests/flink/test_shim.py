# ruff: noqa: DTZ001 - Flink's timestamps have no zone
from __future__ import annotations

import datetime as dt
import os
import re
import signal
import time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

pytestmark = pytest.mark.flink
pytest.importorskip("pyflink")

from py4j.protocol import Py4JJavaError  # noqa: E402

from exactly_once_kusto.cluster import wait_until  # noqa: E402
from tests.flink import jobs  # noqa: E402
from tests.flink.directory_sink import ledger, visible  # noqa: E402

SEQUENCE = (
    "'connector' = 'datagen', 'rows-per-second' = '10000000', "
    "'fields.id.kind' = 'sequence', 'fields.id.start' = '1'"
)


@pytest.fixture(scope="module", autouse=True)
def jvm():
    jobs.start_jvm()


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    wait_until(lambda: not list(jobs.workers()), 5, "all workers are gone")
    wait_until(lambda: not jobs.threads_of_workers(), 5, "all threads of workers are gone")


def sequence(tables, end):
    tables.execute_sql(
        f"CREATE TEMPORARY TABLE s (id BIGINT) WITH ({SEQUENCE}, 'fields.id.end' = '{end}')"
    )


TYPES = {
    "BOOLEAN": (pa.bool_(), "TRUE", True),
    "TINYINT": (pa.int8(), "-128", -128),
    "SMALLINT": (pa.int16(), "32767", 32767),
    "INT": (pa.int32(), "-2147483648", -(2**31)),
    "BIGINT": (pa.int64(), "9223372036854775807", 2**63 - 1),
    "FLOAT": (pa.float32(), "1.5", 1.5),
    "DOUBLE": (pa.float64(), "1e-300", 1e-300),
    "DECIMAL(38, 18)": (
        pa.decimal128(38, 18),
        "'-12345678901234567890.123456789012345678'",
        Decimal("-12345678901234567890.123456789012345678"),
    ),
    "DECIMAL(5, 0)": (pa.decimal128(5, 0), "99999", Decimal(99999)),
    "CHAR(3)": (pa.string(), "'abc'", "abc"),
    "VARCHAR(10)": (pa.string(), "''", ""),
    "STRING": (pa.string(), "'Zürich 東京 😀'", "Zürich 東京 😀"),
    "DATE": (pa.date32(), "DATE '1899-12-31'", dt.date(1899, 12, 31)),
    "TIME(0)": (pa.time32("ms"), "TIME '23:59:59'", dt.time(23, 59, 59)),
    "TIMESTAMP(3)": (
        pa.timestamp("ms"),
        "TIMESTAMP '1969-12-31 23:59:59.999'",
        dt.datetime(1969, 12, 31, 23, 59, 59, 999000),
    ),
    "TIMESTAMP(6)": (
        pa.timestamp("us"),
        "TIMESTAMP '0001-01-01 00:00:00.000001'",
        dt.datetime(1, 1, 1, 0, 0, 0, 1),
    ),
    "TIMESTAMP(9)": (
        pa.timestamp("ns"),
        "TIMESTAMP '2262-01-01 00:00:00.123456789'",
        dt.datetime(2262, 1, 1, 0, 0, 0, 123456),
    ),
    "TIMESTAMP_LTZ(3)": (
        pa.timestamp("ms"),
        "TO_TIMESTAMP_LTZ(1700000000123, 3)",
        dt.datetime(2023, 11, 14, 22, 13, 20, 123000),
    ),
}


def test_every_type_arrives_exactly_and_so_does_null(tmp_path):
    tables = jobs.table_env()
    columns = ", ".join(f"c{i} {sql}" for i, sql in enumerate(TYPES))
    tables.execute_sql(jobs.sink_ddl(columns, tmp_path))
    values = ", ".join(f"CAST({v[1]} AS {sql})" for sql, v in TYPES.items())
    nulls = ", ".join(f"CAST(NULL AS {sql})" for sql in TYPES)
    jobs.run(tables, f"INSERT INTO k SELECT {values} UNION ALL SELECT {nulls}")
    found = visible(tmp_path)
    assert dict(zip(TYPES, found.schema.types, strict=True)) == {k: v[0] for k, v in TYPES.items()}
    rows = sorted(zip(*found.to_pydict().values(), strict=True), key=lambda row: row[0] is None)
    values, nulls = map(list, rows)
    at = list(TYPES).index("TIMESTAMP(9)")
    assert values[at].nanosecond == 789
    values[at] = values[at].to_pydatetime(warn=False)
    assert values == [v[2] for v in TYPES.values()]
    assert nulls == [None] * len(TYPES)


NESTED = {
    "BYTES": ("x'00ff'", b"\x00\xff"),
    "ARRAY<DOUBLE>": ("ARRAY[CAST(1.5 AS DOUBLE), CAST(NULL AS DOUBLE)]", "[1.5,null]"),
    "MAP<STRING, INT>": ("MAP['ä\"', 1]", '{"ä\\"":1}'),
    "ROW<a TINYINT, `b c` BOOLEAN, d DATE, e TIME(3), f BYTES, g FLOAT>": (
        "CAST(ROW(CAST(-1 AS TINYINT), TRUE, DATE '0001-01-01', TIME '23:59:58', x'ff', "
        "CAST(1.1 AS FLOAT)) "
        "AS ROW<a TINYINT, `b c` BOOLEAN, d DATE, e TIME(3), f BYTES, g FLOAT>)",
        '{"a":-1,"b c":true,"d":"0001-01-01","e":"23:59:58","f":"/w==","g":1.1}',
    ),
    "ARRAY<ROW<t TIMESTAMP(9), d DECIMAL(38, 2)>>": (
        "ARRAY[CAST(ROW(TIMESTAMP '2024-01-02 03:04:05.1234567', CAST(-7 AS DECIMAL(38, 2))) "
        "AS ROW<t TIMESTAMP(9), d DECIMAL(38, 2)>)]",
        '[{"t":"2024-01-02T03:04:05.1234567Z","d":"-7.00"}]',
    ),
}


def test_nested_values_arrive_as_json_and_bytes_as_they_are(tmp_path):
    tables = jobs.table_env()
    columns = ", ".join(f"c{i} {sql}" for i, sql in enumerate(NESTED))
    tables.execute_sql(jobs.sink_ddl(columns, tmp_path))
    values = ", ".join(v[0] for v in NESTED.values())
    nulls = ", ".join(f"CAST(NULL AS {sql})" for sql in NESTED)
    jobs.run(tables, f"INSERT INTO k SELECT {values} UNION ALL SELECT {nulls}")
    rows = zip(*visible(tmp_path).to_pydict().values(), strict=True)
    values, nulls = sorted(map(list, rows), key=lambda row: row[0] is None)
    assert values == [v[1] for v in NESTED.values()]
    assert nulls == [None] * len(NESTED)


def test_a_number_that_json_does_not_have_is_refused(tmp_path):
    tables = jobs.table_env()
    tables.execute_sql(jobs.sink_ddl("a ARRAY<DOUBLE>", tmp_path))
    with pytest.raises(Py4JJavaError) as failed:
        jobs.run(tables, "INSERT INTO k SELECT ARRAY[CAST('NaN' AS DOUBLE)]")
    assert "column 'a': NaN inside it, which JSON does not have" in jobs.causes(failed.value)


def test_a_timestamp_that_nanoseconds_cannot_hold_is_refused(tmp_path):
    tables = jobs.table_env()
    tables.execute_sql(jobs.sink_ddl("ts TIMESTAMP(9)", tmp_path))
    with pytest.raises(Py4JJavaError) as failed:
        jobs.run(tables, "INSERT INTO k SELECT TIMESTAMP '2300-01-01 00:00:00'")
    assert "column 'ts': 2300-01-01T00:00 can't be carried in nanoseconds" in jobs.causes(
        failed.value
    )


def test_megabyte_strings_arrive_whole(tmp_path):
    tables = jobs.table_env()
    sequence(tables, 40)
    tables.execute_sql(jobs.sink_ddl("id BIGINT, a STRING, b STRING", tmp_path))
    jobs.run(
        tables,
        "INSERT INTO k SELECT id, REPEAT('ä', 524288), CASE WHEN MOD(id, 2) = 0 "
        "THEN REPEAT('b', 1048576) ELSE CAST(NULL AS STRING) END FROM s",
    )
    found = visible(tmp_path).sort_by("id").to_pydict()
    assert found["id"] == list(range(1, 41))
    assert set(found["a"]) == {"ä" * 524288}
    assert found["b"] == [None if i % 2 else "b" * 1048576 for i in range(1, 41)]


@pytest.mark.parametrize("parallelism", [1, 2, 4])
def test_every_row_arrives_once_whatever_the_parallelism(tmp_path, parallelism):
    tables = jobs.table_env(parallelism)
    sequence(tables, 100_000)
    tables.execute_sql(jobs.sink_ddl("id BIGINT", tmp_path))
    jobs.run(tables, "INSERT INTO k SELECT id FROM s")
    assert sorted(visible(tmp_path)["id"].to_pylist()) == list(range(1, 100_001))


def test_a_batch_commits_every_row_once_without_a_checkpoint(tmp_path):
    config = {"execution_runtime-mode": "BATCH", "execution_checkpointing_interval": ""}
    tables = jobs.table_env(2, **config)
    tables.execute_sql(
        f"CREATE TEMPORARY TABLE s (id BIGINT) WITH ({SEQUENCE}, 'fields.id.end' = '50000', "
        "'number-of-rows' = '50000')"
    )
    tables.execute_sql(jobs.sink_ddl("id BIGINT", tmp_path))
    jobs.run(tables, "INSERT INTO k SELECT id FROM s")
    assert sorted(visible(tmp_path)["id"].to_pylist()) == list(range(1, 50_001))
    kinds = [entry["kind"] for entry in ledger(tmp_path)]
    assert kinds == ["start", "batch", "intent", "operation", "committed", "end"]


@pytest.mark.parametrize("role", ["writer", "coordinator"])
def test_a_hung_worker_is_found_within_the_configured_time(tmp_path, role):
    tables = jobs.table_env()
    tables.execute_sql(
        "CREATE TEMPORARY TABLE s (id BIGINT) WITH "
        "('connector' = 'datagen', 'rows-per-second' = '100')"
    )
    tables.execute_sql(jobs.sink_ddl("id BIGINT", tmp_path, **{"heartbeat-timeout": "2 s"}))
    with jobs.running(tables, "INSERT INTO k SELECT id FROM s") as result:
        wait_until(lambda: visible(tmp_path).num_rows > 0, 30, "rows are committed")
        (pid,) = [pid for pid, command in jobs.workers() if f"{role} " in command + " "]
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(Py4JJavaError) as failed:
            result.wait(30_000)
        assert 1.5 < time.monotonic() - began < 8.0
        told = f"{role}.*: sent nothing for 2.0 s \\('heartbeat-timeout'\\) and was killed"
        assert re.search(told, jobs.causes(failed.value))
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 5, "the stopped worker is gone")


REFUSED = {
    "unknown option": ("id BIGINT", {"nonsense": "1"}, {}, "Unsupported options.*nonsense"),
    "option of the sink": ("id BIGINT", {"options_nonsense": "1"}, {}, "unknown options: nonsense"),
    "missing folder": ("id BIGINT", {"options_folder": ""}, {}, "option 'folder' is missing"),
    "checkpointing off": (
        "id BIGINT",
        {},
        {"execution_checkpointing_interval": ""},
        "checkpointing is off: nothing would ever be committed; set "
        "execution.checkpointing.interval",
    ),
    "at least once": (
        "id BIGINT",
        {},
        {"execution_checkpointing_mode": "AT_LEAST_ONCE"},
        "rows would be written twice",
    ),
    "heartbeat": (
        "id BIGINT",
        {"heartbeat-timeout": "500 ms"},
        {},
        "'heartbeat-timeout': '500 ms' can't be used; use '1 s' or more",
    ),
    "types": (
        "tags MULTISET<STRING>, counts MAP<INT,INT>",
        {},
        {},
        "not carried: 'tags' MULTISET<.*>, 'counts' MAP<INT, INT>",
    ),
    "type of the sink": ("refused BIGINT", {}, {}, "'refused' BIGINT is not for this sink"),
    "no python": (
        "id BIGINT",
        {"python": "/no/such/python"},
        {"python_client_executable": "/no/such/python"},
        "no Python could be started as /no/such/python.*table option 'python'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_be_known_to_be_wrong_is_refused_at_submission(tmp_path, case):
    columns, options, config, told = REFUSED[case]
    tables = jobs.table_env(**config)
    tables.execute_sql(jobs.sink_ddl(columns, tmp_path, **options))
    nulls = ", ".join(f"CAST(NULL AS {column.split()[1]})" for column in columns.split(", "))
    with pytest.raises(Exception, match="(?s)" + told):
        tables.execute_sql(f"INSERT INTO k SELECT {nulls}")
    assert not list(tmp_path.iterdir())


def test_an_updating_query_is_refused_with_what_to_do(tmp_path):
    tables = jobs.table_env()
    sequence(tables, 10)
    tables.execute_sql(jobs.sink_ddl("id BIGINT, n BIGINT", tmp_path))
    with pytest.raises(Exception, match="can't be changed"):
        tables.execute_sql("INSERT INTO k SELECT MOD(id, 2), COUNT(*) FROM s GROUP BY MOD(id, 2)")


def test_a_kusto_table_without_its_name_is_refused(tmp_path):
    tables = jobs.table_env()
    sequence(tables, 10)
    tables.execute_sql("CREATE TABLE k (id BIGINT) WITH ('connector' = 'exactly-once-kusto')")
    with pytest.raises(Exception, match=r"(?s)Missing required options.*cluster.*name.*table"):
        tables.execute_sql("INSERT INTO k SELECT * FROM s")


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ("raise", ["division by the sink", "Traceback", "directory_sink.py"]),
        ("refuse", ["a string is too long", "SuppressRestartsException"]),
        ("exit", ["writer 1/1: the worker process ended by itself with code 9"]),
    ],
)
def test_a_failing_worker_fails_the_job_in_its_own_words(tmp_path, trouble, told):
    tables = jobs.table_env()
    sequence(tables, 50_000)
    tables.execute_sql(jobs.sink_ddl("id BIGINT", tmp_path, options_trouble=trouble))
    with pytest.raises(Py4JJavaError) as failed:
        jobs.run(tables, "INSERT INTO k SELECT id FROM s")
    for words in told:
        assert words in jobs.causes(failed.value)


@pytest.mark.parametrize("idle", [False, True])
def test_a_killed_worker_fails_the_job(tmp_path, idle):
    tables = jobs.table_env()
    rate = "1" if idle else "1000000"
    tables.execute_sql(
        "CREATE TEMPORARY TABLE s (id BIGINT) WITH "
        f"('connector' = 'datagen', 'rows-per-second' = '{rate}')"
    )
    tables.execute_sql(jobs.sink_ddl("id BIGINT", tmp_path))
    with jobs.running(tables, "INSERT INTO k SELECT id FROM s") as result:
        wait_until(lambda: visible(tmp_path).num_rows > 0, 60, "rows are committed")
        found = list(jobs.workers())
        assert len(found) == 2
        jobs.kill(found[0][0])
        with pytest.raises(Py4JJavaError) as failed:
            result.wait(20_000)
    assert "ended by itself with code 137" in jobs.causes(failed.value)


def test_cancelling_does_not_wait_for_a_worker_that_hangs(tmp_path):
    tables = jobs.table_env()
    tables.execute_sql("CREATE TEMPORARY TABLE s (id BIGINT) WITH ('connector' = 'datagen')")
    tables.execute_sql(jobs.sink_ddl("id BIGINT", tmp_path, options_trouble="hang"))
    with jobs.running(tables, "INSERT INTO k SELECT id FROM s"):
        wait_until(lambda: len(list(jobs.workers())) == 2, 60, "workers run")
    wait_until(lambda: not list(jobs.workers()), 5, "the workers are gone")
