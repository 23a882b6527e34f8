"""Every value on the whole road: Flink, shim, worker, Parquet, Kusto, query."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exactly_once_kusto.cluster import FlinkCluster

from .road import Road, differences, expected

pytestmark = pytest.mark.flink

ROWS = 12
ORDER = "ROW<x INT, y MAP<STRING, BYTES>>"
# column, Flink type, Kusto type, expression; a value in Kusto's normal form for each n
COLUMNS: list[tuple[str, str, str, str, Any]] = [
    ("n", "BIGINT", "long", "n", lambda n: n),
    ("flag", "BOOLEAN", "bool", "MOD(n, 2) = 0", lambda n: n % 2 == 0),
    ("tiny", "TINYINT", "int", "CAST(n - 128 AS TINYINT)", lambda n: n - 128),
    ("small", "SMALLINT", "int", "CAST(n - 32768 AS SMALLINT)", lambda n: n - 32768),
    ("whole", "INT", "int", "CAST(n - 2147483648 AS INT)", lambda n: n - 2147483648),
    ("single", "FLOAT", "real", "CAST(n AS FLOAT) / 4", lambda n: n / 4),
    ("twice", "DOUBLE", "real", "n / CAST(8 AS DOUBLE)", lambda n: n / 8),
    (
        "money",
        "DECIMAL(34, 2)",
        "decimal",
        "CAST(CONCAT('-', CAST(10 + n AS STRING), '345678901234567890123456789012.34') "
        "AS DECIMAL(34, 2))",
        lambda n: Decimal(f"-{10 + n}345678901234567890123456789012.34"),
    ),
    ("fixed", "CHAR(3)", "string", "'abc'", lambda n: "abc"),
    (
        "text",
        "STRING",
        "string",
        "CASE MOD(n, 4) WHEN 0 THEN 'Grüße ''\"\\ 漢字 🚕' WHEN 1 THEN '' "
        "WHEN 2 THEN CONCAT('two', CHR(10), 'lines') ELSE CAST(NULL AS STRING) END",
        lambda n: ["Grüße '\"\\ 漢字 🚕", "", "two\nlines", ""][n % 4],
    ),
    (
        "day",
        "DATE",
        "datetime",
        "DATE '1969-12-31'",
        lambda n: datetime(1969, 12, 31, tzinfo=UTC),
    ),
    ("clock", "TIME(0)", "string", "TIME '23:59:58'", lambda n: "23:59:58"),
    (
        "booked",
        "TIMESTAMP(6)",
        "datetime",
        "TIMESTAMPADD(SECOND, CAST(n AS INT), TIMESTAMP '1999-12-31 23:59:59.123456')",
        lambda n: datetime(1999, 12, 31, 23, 59, 59, 123456, UTC) + timedelta(seconds=n),
    ),
    (
        "instant",
        "TIMESTAMP_LTZ(3)",
        "datetime",
        "TO_TIMESTAMP_LTZ(1700000000123 + n, 3)",
        lambda n: datetime.fromtimestamp(1_700_000_000, UTC) + timedelta(milliseconds=123 + n),
    ),
    (
        "local",
        "TIMESTAMP_LTZ(3)",
        "datetime",
        # Daylight saving time began that night in New York.
        "CAST(TIMESTAMPADD(DAY, CAST(MOD(n, 2) AS INT), TIMESTAMP '2024-03-09 12:30:00') "
        "AS TIMESTAMP_LTZ(3))",
        lambda n: datetime(2024, 3, 9 + n % 2, 17 - n % 2, 30, tzinfo=UTC),
    ),
    (
        "tick",
        "TIMESTAMP(7)",
        "datetime",
        "TIMESTAMP '2024-02-29 00:00:00.1234563'",
        lambda n: datetime(2024, 2, 29, 0, 0, 0, 123456, UTC),  # the emulator has microseconds
    ),
    (
        "bin",
        "BYTES",
        "string",
        "CASE WHEN MOD(n, 2) = 0 THEN x'00ff10' ELSE CAST(NULL AS BYTES) END",
        lambda n: "" if n % 2 else "AP8Q",
    ),
    (
        "tags",
        "ARRAY<STRING>",
        "dynamic",
        "CASE MOD(n, 3) WHEN 0 THEN ARRAY['a\"b', 'ü', CAST(NULL AS STRING)] "
        "WHEN 1 THEN CAST(NULL AS ARRAY<STRING>) ELSE ARRAY[CAST(n AS STRING)] END",
        lambda n: [json.dumps(['a"b', "ü", None]), None, json.dumps([str(n)])][n % 3],
    ),
    (
        "scores",
        "MAP<STRING, BIGINT>",
        "dynamic",
        "MAP['exact', 9007199254740993 + n, 'none', CAST(NULL AS BIGINT)]",
        lambda n: json.dumps({"exact": 9007199254740993 + n, "none": None}),
    ),
    (
        "deep",
        "ROW<a INT, b ROW<c DECIMAL(34, 2), d ARRAY<TIMESTAMP(3)>>>",
        "dynamic",
        "CAST(ROW(CAST(n AS INT), ROW(CAST('12345678901234567890.12' AS DECIMAL(34, 2)), "
        "ARRAY[TIMESTAMP '2024-01-02 03:04:05.600'])) AS "
        "ROW<a INT, b ROW<c DECIMAL(34, 2), d ARRAY<TIMESTAMP(3)>>>)",
        lambda n: json.dumps(
            {"a": n, "b": {"c": "12345678901234567890.12", "d": ["2024-01-02T03:04:05.6Z"]}},
            sort_keys=True,
        ),
    ),
    (
        "orders",
        f"ARRAY<{ORDER}>",
        "dynamic",
        "CASE MOD(n, 2) WHEN 0 THEN ARRAY[CAST(ROW(CAST(n AS INT), MAP['k', x'00ff']) "
        f"AS {ORDER}), CAST(NULL AS {ORDER}), "
        f"CAST(ROW(CAST(NULL AS INT), CAST(NULL AS MAP<STRING, BYTES>)) AS {ORDER})] "
        f"ELSE ARRAY_REMOVE(ARRAY[CAST(NULL AS {ORDER})], CAST(NULL AS {ORDER})) END",
        lambda n: (
            "[]"
            if n % 2
            else json.dumps([{"x": n, "y": {"k": "AP8="}}, None, {"x": None, "y": None}])
        ),
    ),
    (
        "overflown",
        "DECIMAL(4, 2)",
        "decimal",
        "CAST(123456 + n AS DECIMAL(10, 2))",
        lambda n: None,  # Flink's own cast does that, before the sink
    ),
    (
        "maybe",
        "INT",
        "int",
        "CASE WHEN MOD(n, 3) = 0 THEN CAST(NULL AS INT) ELSE CAST(n AS INT) END",
        lambda n: None if n % 3 == 0 else n,
    ),
]


def test_every_type_arrives_as_it_was_sent(road: Road, cluster: FlinkCluster) -> None:
    road.create_table("Types", ", ".join(f"{c[0]}:{c[2]}" for c in COLUMNS))
    road.table = "Types"
    job = road.submit(
        rows=ROWS,
        rate=1000,
        parallelism=1,
        columns=", ".join(f"`{c[0]}` {c[1]}" for c in COLUMNS),
        select=", ".join(c[3] for c in COLUMNS),
        config={"table.local-time-zone": "America/New_York"},
    )
    road.finished(job)
    names = ", ".join(c[0] for c in COLUMNS)
    seen = road.rows(f"Types | project {names}")
    wanted = Counter(tuple(c[4](n) for c in COLUMNS) for n in range(ROWS))
    assert sorted(seen, key=lambda row: row[0]) == sorted(wanted, key=lambda row: row[0])


def test_a_value_that_kusto_would_cut_stops_the_job_and_nothing_of_it_is_in(
    road: Road, cluster: FlinkCluster
) -> None:
    road.create_table("Texts", "n:long, tags:dynamic")
    road.table = "Texts"
    job = road.submit(
        rows=100,
        rate=1000,
        columns="n BIGINT, tags ARRAY<STRING>",
        select="n, ARRAY[REPEAT('x', CASE n WHEN 77 THEN 1048576 ELSE 1 END)]",
    )
    text = road.failed(job)
    assert "column 'tags' (ARRAY<STRING>): a nested value with a JSON of 1,048,580 bytes" in text
    assert "would store null instead in silence" in text
    assert road.count() == 0
    assert road.ledger().transactions == {}


def test_a_decimal_that_overflows_a_column_that_is_not_null_stops_the_job(
    road: Road, cluster: FlinkCluster
) -> None:
    road.create_table("Sums", "n:long, amount:decimal")
    road.table = "Sums"
    job = road.submit(
        rows=100,
        rate=1000,
        columns="n BIGINT, amount DECIMAL(4, 2) NOT NULL",
        select="n, CAST(n * 2 AS DECIMAL(20, 2))",
        config={"restart-strategy.type": "none"},
    )
    assert "Column 'amount' is NOT NULL" in road.failed(job)
    assert road.count() == 0
    assert road.ledger().transactions == {}


def test_nested_rows_of_a_datastream(road: Road, cluster: FlinkCluster) -> None:
    road.create_table("Nested", "n:long, items:dynamic, tags:dynamic")
    job = cluster.run_python(
        Path(__file__).with_name("nested_job.py"),
        args=[road.kusto.cluster, road.kusto.staging, ROWS],
    )
    road.finished(job)
    digits = "1234567890123456789012345678901234"
    wanted = Counter(
        (
            n,
            [
                None,
                "[]",
                json.dumps(
                    [
                        {"at": "2024-03-31T02:30:00.001Z", "price": f"{digits}{n % 10}.678"},
                        None,
                        {"at": None, "price": None},
                    ]
                ),
            ][n % 3],
            [None, "{}", json.dumps({"a b": None, "ü": str(n)}, sort_keys=True)][n % 3],
        )
        for n in range(ROWS)
    )
    assert differences(road.rows("Nested | project n, items, tags"), wanted) == {}


@pytest.mark.parametrize("parallelism", [1, 4])
def test_a_datastream_of_typed_rows_on_a_cluster(
    road: Road, cluster: FlinkCluster, parallelism: int
) -> None:
    job = cluster.run_python(
        Path(__file__).with_name("attach_job.py"),
        args=[road.kusto.cluster, road.kusto.staging, 5000, parallelism],
    )
    road.finished(job)
    assert differences(road.rows(), expected(5000)) == {}
