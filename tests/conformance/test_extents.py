"""Extents and their tags: shown, filtered, moved, dropped, and seen in queries."""

from __future__ import annotations

import pytest
from azure.kusto.data.exceptions import KustoApiError

from .case import page

COLUMNS = (
    *("ExtentId", "DatabaseName", "TableName", "MaxCreatedOn", "OriginalSize", "ExtentSize"),
    *("CompressedSize", "IndexSize", "Blocks", "Segments"),
)


def ingest(kusto, name: str, value: int, *tags: str) -> str:
    listed = ",".join(f'"{tag}"' for tag in tags)
    done = kusto.table(f".ingest inline into table {name} with (tags='[{listed}]') <| {value}")
    return str(done[0]["ExtentId"])


@page("kusto/management/show-extents")
def test_extents_are_shown_with_the_documented_columns(kusto, make) -> None:
    name = make("n:long")
    extent = ingest(kusto, name, 1, "ingest-by:a", "b")
    table = kusto.table(f".show table {name} extents")
    assert tuple(c.column_name for c in table.columns)[:10] == COLUMNS
    row = table[0]
    assert (str(row["ExtentId"]), row["TableName"], row["RowCount"]) == (extent, name, 1)
    assert sorted(row["Tags"].split()) == ["b", "ingest-by:a"]
    assert row["MaxCreatedOn"] == row["MinCreatedOn"]


@page("kusto/management/show-extents")
def test_has_is_a_whole_tag_and_contains_a_part_in_any_case(kusto, make) -> None:
    name = make("n:long")
    ingest(kusto, name, 1, "ingest-by:Alpha")
    shown = f".show table {name} extents where tags"
    assert len(kusto.rows(f"{shown} has 'ingest-by:Alpha'")) == 1
    assert len(kusto.rows(f"{shown} has 'Alpha'")) == 0
    assert len(kusto.rows(f"{shown} contains 'ALPHA'")) == 1
    assert len(kusto.rows(f"{shown} !contains 'alpha'")) == 0


@page("kusto/query/extent-id-function", "kusto/query/extent-tags-function")
def test_queries_see_extent_ids_and_tags(kusto, make) -> None:
    name = make("n:long")
    extent = ingest(kusto, name, 1, "a")
    ingest(kusto, name, 2, "b")
    query = f"{name} | where extent_tags() has 'a' | project n, id=tostring(extent_id())"
    assert kusto.rows(query) == [[1, extent]]


@page("kusto/query/ingestion-time-function")
def test_queries_see_when_a_row_was_ingested(kusto, make) -> None:
    name = make("n:long")
    ingest(kusto, name, 1)
    assert kusto.one(f"{name} | where ingestion_time() > ago(1h) | count") == 1


@page("kusto/management/drop-extents")
def test_dropped_extents_are_gone_with_their_rows(kusto, make) -> None:
    name = make("n:long")
    extent = ingest(kusto, name, 1, "a")
    ingest(kusto, name, 2, "drop-by:b")
    dropped = kusto.table(f".drop extents ({extent}) from {name}")
    assert [str(row["ExtentId"]) for row in dropped] == [extent]
    assert kusto.rows(name) == [[2]]
    kusto.rows(f".drop extents <| .show table {name} extents where tags has 'drop-by:b'")
    assert kusto.one(f"{name} | count") == 0


@page("kusto/management/drop-extent-tags")
def test_dropping_a_tag_keeps_the_rows_and_lets_the_tag_in_again(kusto, make) -> None:
    name = make("n:long")
    before = ingest(kusto, name, 1, "ingest-by:a", "b")
    kusto.rows(f".drop table {name} extent tags ('ingest-by:a')")
    row = kusto.table(f".show table {name} extents")[0]
    assert (row["Tags"].split(), row["RowCount"]) == (["b"], 1)
    assert str(row["ExtentId"]) != before
    kusto.rows(f".ingest inline into table {name} with (ingestIfNotExists='[\"a\"]') <| 2")
    assert kusto.one(f"{name} | count") == 2


@page("kusto/management/move-extents")
def test_moved_extents_are_in_the_target_and_nowhere_else(kusto, make) -> None:
    source, target = make("n:long"), make("n:long")
    ingest(kusto, source, 1)
    ingest(kusto, source, 2)
    moved = kusto.table(f".move extents all from table {source} to table {target}")
    assert [c.column_name for c in moved.columns][:3] == [
        *("OriginalExtentId", "ResultExtentId", "Details")
    ]
    assert len(moved) == 2
    assert kusto.one(f"{source} | count") == 0
    assert kusto.rows(f"{target} | sort by n asc") == [[1], [2]]


@page("kusto/management/move-extents")
def test_a_move_into_a_table_that_lacks_a_column_moves_nothing(kusto, make) -> None:
    source, target = make("n:long, m:long"), make("n:long")
    kusto.rows(f".ingest inline into table {source} <| 1,2")
    with pytest.raises(KustoApiError):
        kusto.rows(f".move extents all from table {source} to table {target}")
    assert kusto.one(f"{source} | count") == 1
    assert kusto.one(f"{target} | count") == 0


@page("kusto/management/replace-extents")
def test_replaced_extents_change_places_at_once(kusto, make) -> None:
    target, source = make("n:long"), make("n:long")
    ingest(kusto, target, 1, "drop-by:old")
    ingest(kusto, target, 2)
    ingest(kusto, source, 10, "drop-by:new")
    kusto.rows(
        f".replace extents in table {target} <| "
        f"{{.show table {target} extents where tags has 'drop-by:old'}}, "
        f"{{.show table {source} extents where tags has 'drop-by:new'}}"
    )
    assert kusto.rows(f"{target} | sort by n asc") == [[2], [10]]
    assert kusto.one(f"{source} | count") == 0


@page("kusto/management/clear-table-data-command")
def test_a_cleared_table_has_no_rows_and_no_extents(kusto, make) -> None:
    name = make("n:long")
    ingest(kusto, name, 1)
    kusto.rows(f".clear table {name} data")
    assert kusto.one(f"{name} | count") == 0
    assert len(kusto.table(f".show table {name} extents")) == 0
