"""Types: what goes in comes out, and what nulls are."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from .case import page

GUID = "6a5b7a3e-9f5c-4c56-9b02-3f5a8d6c1f10"


@pytest.mark.parametrize(
    ("scalar", "text", "value"),
    [
        ("bool", "true", True),
        ("int", "-2147483648", -(2**31)),
        ("long", "9223372036854775807", 2**63 - 1),
        ("real", "-1.5e-3", -0.0015),
        ("decimal", "-12.50", Decimal("-12.5")),
        ("string", '"say ""hi"", é"', 'say "hi", é'),
        (
            "datetime",
            "2024-02-29T12:30:15.123456Z",
            dt.datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=dt.UTC),
        ),
        ("timespan", "-1.02:03:04.500", -dt.timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("guid", GUID, GUID),
        ("dynamic", '"{""a"":[1,null,""x""]}"', {"a": [1, None, "x"]}),
    ],
)
@page("kusto/query/scalar-data-types")
def test_a_value_of_each_type_is_kept(kusto, make, scalar: str, text: str, value) -> None:
    name = make(f"v:{scalar}")
    kusto.rows(f".ingest inline into table {name} <| {text}")
    assert kusto.one(name) == value


@page("kusto/query/scalar-data-types/null-values")
def test_an_empty_field_is_null_but_for_strings(kusto, make) -> None:
    types = [
        "bool",
        "int",
        "long",
        "real",
        "decimal",
        "datetime",
        "timespan",
        "guid",
        "dynamic",
        "string",
    ]
    name = make(", ".join(f"c{i}:{scalar}" for i, scalar in enumerate(types)))
    kusto.rows(f".ingest inline into table {name} <| {',' * (len(types) - 1)}")
    assert kusto.rows(name) == [[None] * 9 + [""]]
    nulls = ", ".join(f"isnull(c{i})" for i in range(9))
    assert kusto.rows(f"{name} | project {nulls}, isempty(c9)") == [[True] * 10]


@page("kusto/query/scalar-data-types/null-values")
def test_a_null_is_unequal_to_every_value(kusto) -> None:
    query = "datatable(val:int)[5, int(null)] | project val == 5, val != 5"
    assert kusto.rows(query) == [[True, False], [False, True]]


@page("azure/data-explorer/ingest-invalid-data")
def test_a_value_that_does_not_fit_its_column_becomes_null(kusto, make) -> None:
    name = make("i:int, l:long, t:datetime, g:guid, s:timespan")
    kusto.rows(f".ingest inline into table {name} <| 1.5,x,x,x,x")
    assert kusto.rows(name) == [[None] * 5]


@page("kusto/query/scalar-data-types/decimal")
def test_a_decimal_of_34_digits_is_exact(kusto, make) -> None:
    name = make("d:decimal")
    digits = "1234567890.123456789012345678901234"
    kusto.rows(f".ingest inline into table {name} <| {digits}")
    assert kusto.one(name) == Decimal(digits)


@page("kusto/query/scalar-data-types/real")
def test_a_real_may_be_infinite_or_no_number(kusto) -> None:
    query = "print isinf(real(+inf)), isnan(real(nan)), isfinite(1.0)"
    assert kusto.rows(query) == [[True, True, True]]


@page("kusto/query/scalar-data-types/datetime")
def test_a_datetime_is_utc(kusto, make) -> None:
    name = make("t:datetime")
    kusto.rows(f".ingest inline into table {name} <| 2020-01-01T01:00:00+01:00")
    assert kusto.one(name) == dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@page("kusto/query/scalar-data-types/string")
def test_a_string_over_a_mebibyte_is_cut_and_the_ingestion_succeeds(kusto, make, stage) -> None:
    name = make("s:string")
    place = stage("long.txt", b"a" * (2**20 + 7) + b"\n")
    kusto.rows(f".ingest into table {name} ({place}) with (format='txt')")
    assert kusto.one(f"{name} | project strlen(s)") == 2**20
