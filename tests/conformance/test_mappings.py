"""Formats and mappings: which part of a record goes into which column."""

from __future__ import annotations

import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.kusto.data.exceptions import KustoApiError

from .case import page


def parquet(columns: dict) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def mapped(*elements: dict) -> str:
    text = json.dumps(elements).replace("\\", "\\\\").replace("'", "\\'")
    return f"ingestionMapping='{text}'"


def code(call) -> str:
    with pytest.raises(KustoApiError) as caught:
        call()
    return caught.value.get_api_error().code


@page("kusto/management/mappings", "kusto/management/csv-mapping")
def test_csv_without_a_mapping_goes_by_position(kusto, make) -> None:
    name = make("a:long, b:string")
    kusto.rows(f".ingest inline into table {name} <| 7,x")
    assert kusto.rows(name) == [[7, "x"]]


@page("kusto/management/csv-mapping")
def test_a_csv_mapping_picks_ordinals_and_constants(kusto, make) -> None:
    name = make("a:long, b:string, c:string")
    mapping = mapped(
        {"Column": "a", "Properties": {"Ordinal": "1"}},
        {"Column": "b", "Properties": {"ConstValue": "k"}},
    )
    kusto.rows(f".ingest inline into table {name} with (format='csv', {mapping}) <| skipped,8")
    assert kusto.rows(name) == [[8, "k", ""]]


@page("kusto/management/json-mapping")
def test_a_json_mapping_picks_paths_the_document_and_constants(kusto, make) -> None:
    name = make("a:long, b:string, whole:dynamic")
    mapping = mapped(
        {"Column": "a", "Properties": {"Path": "$.x['the y']"}},
        {"Column": "b", "Properties": {"Path": "constant"}},
        {"Column": "whole", "Properties": {"Path": "$"}},
    )
    record = {"x": {"the y": 7}, "extra": 1}
    kusto.rows(
        f".ingest inline into table {name} with (format='json', {mapping}) <| {json.dumps(record)}"
    )
    assert kusto.rows(name) == [[7, "constant", record]]


@page("kusto/management/mappings")
def test_dropmappedfields_leaves_out_what_other_columns_took(kusto, make) -> None:
    name = make("Time:datetime, EventName:string, Props:dynamic")
    record = {"Time": "2012-01-15T10:45", "Props": {"EventName": "CustomEvent", "Revenue": 0.456}}
    mapping = mapped(
        {"Column": "EventName", "Properties": {"Path": "$.Props.EventName"}},
        {"Column": "Props", "Properties": {"Path": "$.Props", "Transform": "DropMappedFields"}},
    )
    kusto.rows(
        f".ingest inline into table {name} with (format='json', {mapping}) <| {json.dumps(record)}"
    )
    assert kusto.rows(f"{name} | project EventName, Props") == [["CustomEvent", {"Revenue": 0.456}]]


@page("kusto/management/mappings")
def test_a_property_bag_array_becomes_a_dictionary(kusto, make) -> None:
    name = make("bag:dynamic")
    mapping = mapped(
        {
            "Column": "bag",
            "Properties": {"Path": "$.events", "Transform": "PropertyBagArrayToDictionary"},
        }
    )
    record = {"events": [{"n1": "v1"}, {"n2": "v2"}]}
    kusto.rows(
        f".ingest inline into table {name} with (format='json', {mapping}) <| {json.dumps(record)}"
    )
    assert kusto.one(name) == {"n1": "v1", "n2": "v2"}


@page("kusto/management/create-ingestion-mapping-command", "kusto/ingestion-properties")
def test_a_mapping_can_be_named_and_referenced(kusto, make) -> None:
    name = make("a:long")
    kusto.rows(
        f".create table {name} ingestion csv mapping 'M' "
        """'[{"Column":"a","Properties":{"Ordinal":"1"}}]'"""
    )
    kusto.rows(
        f".ingest inline into table {name} "
        "with (format='csv', ingestionMappingReference='M') <| skipped,8"
    )
    assert kusto.one(name) == 8
    shown = kusto.table(f".show table {name} ingestion csv mapping 'M'")
    assert [row["Name"] for row in shown] == ["M"]
    kusto.rows(f".drop table {name} ingestion csv mapping 'M'")
    assert len(kusto.table(f".show table {name} ingestion mappings")) == 0


@page("kusto/management/create-ingestion-mapping-command")
def test_create_refuses_a_mapping_that_exists_and_create_or_alter_does_not(kusto, make) -> None:
    name = make("a:long")
    rest = """ingestion csv mapping 'M' '[{"Column":"a","Properties":{"Ordinal":"1"}}]'"""
    kusto.rows(f".create table {name} {rest}")
    with pytest.raises(KustoApiError):
        kusto.rows(f".create table {name} {rest}")
    kusto.rows(f".create-or-alter table {name} {rest}")


@page("azure/data-explorer/error-codes")
def test_a_mapping_that_does_not_exist_is_named_in_the_error(kusto, make, stage) -> None:
    name = make("a:long")
    place = stage("a.csv", b"1\n")
    found = code(
        lambda: kusto.rows(
            f".ingest into table {name} ({place}) "
            "with (format='csv', ingestionMappingReference='Nope')"
        )
    )
    assert found in ("BadRequest_MappingReferenceWasNotFound", "BadRequest_EntityNotFound")


@page("kusto/management/parquet-mapping")
def test_parquet_goes_by_name_and_ignores_what_the_table_has_not(kusto, make, stage) -> None:
    name = make("n:long, s:string, missing:real")
    place = stage("a.parquet", parquet({"s": ["x"], "extra": [1], "n": [7]}))
    kusto.rows(f".ingest into table {name} ({place}) with (format='parquet')")
    assert kusto.rows(name) == [[7, "x", None]]


@page("kusto/management/parquet-mapping")
def test_parquet_lists_and_structs_become_dynamic(kusto, make, stage) -> None:
    name = make("x:dynamic, k:string")
    place = stage("n.parquet", parquet({"x": [[1, 2]], "y": [{"k": "v"}]}))
    mapping = mapped(
        {"Column": "x", "Properties": {"Path": "$.x"}},
        {"Column": "k", "Properties": {"Path": "$.y.k"}},
    )
    kusto.rows(f".ingest into table {name} ({place}) with (format='parquet', {mapping})")
    assert kusto.rows(name) == [[[1, 2], "v"]]


@page("kusto/ingestion-supported-formats")
def test_gzip_is_known_by_the_names_end(kusto, make, stage) -> None:
    name = make("n:long")
    place = stage("rows.csv.gz", gzip.compress(b"1\n2\n"))
    kusto.rows(f".ingest into table {name} ({place}) with (format='csv')")
    assert kusto.rows(f"{name} | sort by n asc") == [[1], [2]]


@page("kusto/ingestion-supported-formats")
def test_multijson_takes_records_over_many_lines_and_arrays(kusto, make, stage) -> None:
    name = make("n:long")
    for text in (b'{\n"n":1\n}\n{"n":2}', b'[{"n":3},\n{"n":4}]'):
        place = stage("rows.json", text)
        kusto.rows(f".ingest into table {name} ({place}) with (format='multijson')")
    assert kusto.rows(f"{name} | sort by n asc") == [[1], [2], [3], [4]]


@pytest.mark.parametrize(
    ("form", "content"),
    [("tsv", b"a\tb\n"), ("psv", b"a|b\n"), ("scsv", b"a;b\n"), ("sohsv", b"a\x01b\n")],
)
@page("kusto/ingestion-supported-formats")
def test_separated_values_are_read(kusto, make, stage, form: str, content: bytes) -> None:
    name = make("x:string, y:string")
    place = stage("rows.txt", content)
    kusto.rows(f".ingest into table {name} ({place}) with (format='{form}')")
    assert kusto.rows(name) == [["a", "b"]]
