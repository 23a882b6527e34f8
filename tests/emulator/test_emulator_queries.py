"""Queries: what the tests of the sink lean on, and the edges where duckdb-kql needs a guard."""

from __future__ import annotations

import importlib.metadata
import re
import time
from datetime import timedelta
from pathlib import Path

import pytest
from azure.kusto.data import ClientRequestProperties
from azure.kusto.data.exceptions import KustoApiError, KustoServiceError

from .conftest import Kusto


@pytest.fixture(scope="module")
def kusto(module_kusto):
    kusto = module_kusto
    kusto.rows(".create table T (k:long, s:string)")
    for tag, lines in (("a", "1,x\n2,y"), ("b", "3,x\n4,\n5,z")):
        kusto.rows(f".ingest inline into table T with (tags='[\"ingest-by:{tag}\"]') <| {lines}")
    kusto.rows(".create table U (k:long, v:real)")
    kusto.rows(".ingest inline into table U <| 1,1.5\n3,2.5\n9,0")
    return kusto


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("T | where k between (2 .. 4) | count", [[3]]),
        ("T | summarize n=count(), sum(k) by s | sort by s asc", [
            ["", 1, 4], ["x", 2, 4], ["y", 1, 2], ["z", 1, 5]]),
        ("T | top 2 by k desc | project k", [[5], [4]]),
        ("T | distinct s | count", [[4]]),
        ("T | join kind=inner U on k | project k, v | sort by k asc", [[1, 1.5], [3, 2.5]]),
        ("T | join kind=leftanti U on k | count", [[3]]),
        ("union T, U | count", [[8]]),
        ("union withsource=src T, U | summarize count() by src | sort by src asc", [
            ["T", 5], ["U", 3]]),
        ("union T* | count", [[5]]),
        ("union * | where v > 0 | count", [[2]]),
        ("let big = T | where k > 2; big | extend d = k * 2 | summarize max(d)", [[10]]),
        ("T | where k in ((U | project k)) | count", [[2]]),
        ("T | where s == '' | project k", [[4]]),
        ("database('Demo').T | count", [[5]]),
        ("T | where extent_tags() has 'ingest-by:b' | count", [[3]]),
        ("T | where set_has_element(extent_tags(), 'ingest-by:a') | count", [[2]]),
        ("T | where tostring(extent_tags()) has 'ingest-by:a' | project k | sort by k asc",
         [[1], [2]]),
        ("T | summarize n=count() by extent_id() | project n | sort by n asc", [[2], [3]]),
        ("T | where ingestion_time() > ago(1h) and ingestion_time() <= now() | count", [[5]]),
        ("T | project k, e = extent_id() | where k == 1 | extend same = e == e | project same",
         [[True]]),
        ("T | where k == 1 | join kind=inner (T | where extent_tags() has 'ingest-by:a'"
         " | project k) on k | count", [[1]]),
        ("print a = 1, b = 'x'", [[1, "x"]]),
    ],
)  # fmt: skip
def test_queries_give_what_kusto_gives(kusto, query: str, rows: list[list]) -> None:
    assert kusto.rows(query) == rows


def test_hidden_columns_of_extents_never_show(kusto) -> None:
    for query in ("T", "T | where extent_tags() has 'a'", "T | where isnotnull(extent_id())"):
        assert [c.column_name for c in kusto.table(query).columns] == ["k", "s"]


def test_query_parameters_are_values(kusto) -> None:
    properties = ClientRequestProperties()
    properties.set_parameter("wanted", "x' or 1 == 1 //")
    query = "declare query_parameters(wanted:string); T | where s == wanted | count"
    rows = kusto.client.execute("Demo", query, properties).primary_results[0]
    assert [row.to_list() for row in rows] == [[0]]


def test_a_query_that_would_take_all_memory_is_refused(kusto) -> None:
    nested = "strcat(" * 12 + "'a'" + ", 'b')" * 12
    begun = time.monotonic()
    with pytest.raises(KustoApiError, match="too complex"):
        kusto.rows(f"print {nested}")
    assert time.monotonic() - begun < 5


def test_a_query_ends_at_its_deadline(kusto) -> None:
    properties = ClientRequestProperties()
    properties.set_option(ClientRequestProperties.request_timeout_option_name, timedelta(seconds=1))
    slow = "range a from 1 to 100000 step 1 | extend j=1 | join kind=inner (range b from 1 to 100000 step 1 | extend j=1) on j | summarize sum(a * b % 7)"  # noqa: E501
    begun = time.monotonic()
    with pytest.raises(KustoServiceError, match="timeout of 1 seconds"):
        kusto.client.execute("Demo", slow, properties)
    assert time.monotonic() - begun < 10
    assert kusto.one("T | count") == 5


@pytest.mark.parametrize(
    ("rows", "text", "limit"),
    [(500_001, "x", "record count limit 500000"), (400_000, "x" * 200, "data size limit 67108864")],
)
def test_a_result_over_the_services_limits_is_refused(kusto, rows, text, limit) -> None:
    # https://learn.microsoft.com/kusto/concepts/result-truncation
    with pytest.raises(KustoApiError, match=limit):
        kusto.rows(f"range x from 1 to {rows} step 1 | extend s = '{text}'")


@pytest.mark.slow
def test_the_query_of_a_command_is_not_limited(kusto) -> None:
    kusto.rows(".set-or-append Longer <| range x from 1 to 500001 step 1")
    assert kusto.one("Longer | summarize dcount(x)") == 500_001


def test_a_range_of_any_length_takes_no_memory_and_ends_at_the_deadline(process) -> None:
    # As a list it would be 80 GB, in one step that nothing interrupts.
    connected = Kusto(process.cluster)
    assert connected.rows("range x from 1 to 10000000000 step 1 | take 1") == [[1]]
    properties = ClientRequestProperties()
    properties.set_option(ClientRequestProperties.request_timeout_option_name, timedelta(seconds=1))
    begun = time.monotonic()
    with pytest.raises(KustoServiceError, match="timeout of 1 seconds"):
        connected.client.execute("Demo", "range x from 1 to 10000000000 step 1 | count", properties)
    assert time.monotonic() - begun < 10
    status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
    resident = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert resident is not None
    assert int(resident.group(1)) < 1_000_000
    connected.client.close()


def test_thirty_thousand_wide_rows_come_in_seconds(kusto, tmp_path) -> None:
    path = tmp_path / "wide.csv"
    line = ",".join(["123", "some text", "2024-01-01T00:00:00Z", "1.5"] * 4 + ["7", "x", "8"])
    path.write_text(f"{line}\n" * 30_000)
    types = ("long", "string", "datetime", "real")
    columns = [f"c{i}:{types[i % 4]}" for i in range(16)] + ["x:long", "y:string", "z:long"]
    kusto.rows(f".create table W ({', '.join(columns)})")
    kusto.rows(f".ingest into table W ('{path}') with (format='csv')")
    begun = time.monotonic()
    assert kusto.table("W").rows_count == 30_000
    assert time.monotonic() - begun < 10


def test_the_translator_is_the_version_whose_tree_we_know() -> None:
    # rewrite.py reads duckdb-kql's intermediate tree, which its interface doesn't promise.
    assert importlib.metadata.version("duckdb-kql") == "1.1.2"
    assert importlib.metadata.version("duckdb") == "2.0.0"
