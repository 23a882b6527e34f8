"""Ingestion: its properties, its results, and what malformed data does."""

from __future__ import annotations

import datetime as dt

import pytest
from azure.kusto.data.exceptions import KustoApiError

from .case import page

NO_EXTENT = "00000000-0000-0000-0000-000000000000"


@page("kusto/management/data-ingestion/ingest-into-command")
def test_an_ingestion_gives_a_row_for_each_extent(kusto, make, stage) -> None:
    name = make("n:long")
    place = stage("a.csv", b"1\n2\n")
    table = kusto.table(f".ingest into table {name} ({place}) with (format='csv')")
    assert [c.column_name for c in table.columns] == [
        *("ExtentId", "ItemLoaded", "Duration", "HasErrors", "OperationId")
    ]
    assert [row["HasErrors"] for row in table] == [False]
    ids = kusto.rows(f".show table {name} extents | project tostring(ExtentId)")
    assert ids == [[str(table[0]["ExtentId"])]]


@page("kusto/management/data-ingestion/ingest-inline")
def test_inline_data_is_csv_as_it_stands(kusto, make) -> None:
    name = make("SKU:string, Quantity:long")
    kusto.rows(
        f'.ingest inline into table {name} <|\nShoes,1000\nWide Shoes,50\n"Coats black",20\n'
        '"Coats with ""quotes""",5\n'
    )
    assert kusto.rows(f"{name} | sort by Quantity asc") == [
        *(['Coats with "quotes"', 5], ["Coats black", 20]),
        *(["Wide Shoes", 50], ["Shoes", 1000]),
    ]


@page("kusto/management/data-ingestion/ingest-from-query")
def test_set_makes_a_table_and_append_adds_to_it(kusto, make) -> None:
    name = make("n:long")
    kusto.rows(f".append {name} <| range n from 1 to 3 step 1")
    kusto.rows(f".set-or-append {name} <| print n=long(4)")
    assert kusto.one(f"{name} | count") == 4
    with pytest.raises(KustoApiError):
        kusto.rows(f".set {name} <| print n=long(5)")


@page("kusto/ingestion-properties")
def test_ignorefirstrecord_leaves_the_header_out(kusto, make, stage) -> None:
    name = make("n:long")
    place = stage("a.csv", b"n\n1\n")
    kusto.rows(f".ingest into table {name} ({place}) with (format='csv', ignoreFirstRecord=true)")
    assert kusto.rows(name) == [[1]]


@page("kusto/ingestion-properties")
def test_creationtime_is_that_of_the_extent(kusto, make) -> None:
    name = make("n:long")
    kusto.rows(f".ingest inline into table {name} with (creationTime='2020-01-02') <| 1")
    created = kusto.table(f".show table {name} extents")[0]["MaxCreatedOn"]
    assert created == dt.datetime(2020, 1, 2, tzinfo=dt.UTC)


@page("kusto/management/extent-tags", "kusto/ingestion-properties")
def test_ingestifnotexists_lets_a_tag_in_once(kusto, make) -> None:
    name = make("n:long")
    command = (
        f".ingest inline into table {name} with (tags='[\"ingest-by:x\"]', "
        "ingestIfNotExists='[\"x\"]') <| 1"
    )
    kusto.rows(command)
    kusto.rows(command)
    assert kusto.one(f"{name} | count") == 1


@page("kusto/management/extent-tags")
def test_ingestifnotexists_looks_at_ingest_by_tags_alone(kusto, make) -> None:
    name = make("n:long")
    kusto.rows(f'.ingest inline into table {name} with (tags=\'["x","drop-by:x"]\') <| 1')
    kusto.rows(f".ingest inline into table {name} with (ingestIfNotExists='[\"x\"]') <| 2")
    assert kusto.one(f"{name} | count") == 2


@page("kusto/management/data-ingestion/ingest-inline")
def test_an_ingestion_of_nothing_gives_an_extent_of_zeros(kusto, make) -> None:
    name = make("n:long")
    command = (
        f".ingest inline into table {name} with (tags='[\"ingest-by:x\"]', "
        "ingestIfNotExists='[\"x\"]') <| 1"
    )
    kusto.rows(command)
    assert [str(row["ExtentId"]) for row in kusto.table(command)] == [NO_EXTENT]


@pytest.mark.parametrize(
    ("content", "form", "codes"),
    [
        (b"1\n2,3\n", "csv", {"Stream_WrongNumberOfFields"}),
        (b'1\n"2\n', "csv", {"Stream_ClosingQuoteMissing"}),
        (b'[{"n":1}', "multijson", {"BadRequest_InvalidBlob"}),
        (b"no parquet", "parquet", {"BadRequest_InvalidBlob"}),
        (b"no json\n", "json", {"BadRequest_NoRecordsOrWrongFormat", "Stream_NoDataToIngest"}),
        (b"", "csv", {"BadRequest_EmptyBlob", "BadRequest_NoRecordsOrWrongFormat"}),
    ],
)
@page("azure/data-explorer/ingest-invalid-data", "azure/data-explorer/error-codes")
def test_malformed_data_fails_for_good_and_leaves_nothing(
    kusto, make, stage, content: bytes, form: str, codes: set[str]
) -> None:
    name = make("n:long")
    place = stage("bad", content)
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(f".ingest into table {name} ({place}) with (format='{form}')")
    error = caught.value.get_api_error()
    assert error.permanent is True
    assert any(code in f"{error.code} {error.description} {caught.value}" for code in codes)
    assert kusto.one(f"{name} | count") == 0


@page("azure/data-explorer/ingest-invalid-data")
def test_malformed_lines_of_json_are_left_out_in_silence(kusto, make, stage) -> None:
    name = make("n:long")
    place = stage("lines.json", b'{"n":1}\n{"n":\n{"n":3}\n')
    kusto.rows(f".ingest into table {name} ({place}) with (format='json')")
    assert kusto.rows(f"{name} | sort by n asc") == [[1], [3]]


@page("azure/data-explorer/error-codes")
def test_a_source_that_is_not_there_is_a_permanent_error(kusto, make, stage) -> None:
    name = make("n:long")
    place = stage("a.csv", b"1\n").replace("a.csv", "b.csv")
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(f".ingest into table {name} ({place}) with (format='csv')")
    assert caught.value.get_api_error().permanent is True
