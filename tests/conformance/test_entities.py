"""Tables, policies and roles."""

from __future__ import annotations

import json

import pytest
from azure.kusto.data.exceptions import KustoApiError

from .case import page


@page("kusto/management/create-table-command")
def test_creating_a_table_again_changes_nothing(kusto, make) -> None:
    name = make("n:long")
    kusto.rows(f".create table {name} (other:string)")
    assert kusto.table(f".show table {name} cslschema")[0]["Schema"] == "n:long"


@page("kusto/management/create-merge-table-command")
def test_create_merge_adds_columns_and_keeps_rows(kusto, make) -> None:
    name = make("n:long")
    kusto.rows(f".ingest inline into table {name} <| 1")
    kusto.rows(f".create-merge table {name} (n:long, s:string)")
    assert kusto.rows(name) == [[1, ""]]


@page("kusto/management/create-merge-table-command")
def test_create_merge_changes_no_type(kusto, make) -> None:
    name = make("n:long")
    with pytest.raises(KustoApiError):
        kusto.rows(f".create-merge table {name} (n:string)")


@page("kusto/management/drop-table-command")
def test_dropping_what_is_not_there_fails_unless_told_ifexists(kusto, make) -> None:
    name = make("n:long")
    kusto.rows(f".drop table {name}")
    with pytest.raises(KustoApiError):
        kusto.rows(f".drop table {name}")
    kusto.rows(f".drop table {name} ifexists")


@page("kusto/query/schema-entities/entity-names")
def test_names_in_brackets_may_have_spaces(kusto, make) -> None:
    name = make("['my column']:long, plain:string")
    kusto.rows(f".ingest inline into table {name} <| 1,x")
    assert kusto.rows(f"{name} | where ['my column'] == 1 | project ['my column']") == [[1]]


@page("kusto/management/show-table-schema-command")
def test_a_schema_as_json_names_net_and_kusto_types(kusto, make) -> None:
    name = make("n:long, d:dynamic")
    shown = json.loads(kusto.table(f".show table {name} schema as json")[0]["Schema"])
    columns = [(c["Name"], c["Type"], c["CslType"]) for c in shown["OrderedColumns"]]
    assert columns == [("n", "System.Int64", "long"), ("d", "System.Object", "dynamic")]


@page(
    "kusto/management/retention-policy",
    "kusto/management/alter-merge-table-retention-policy-command",
)
def test_a_retention_policy_is_merged_and_shown(kusto, make) -> None:
    name = make("n:long")
    kusto.rows(f".alter-merge table {name} policy retention softdelete = 9d")
    row = kusto.table(f".show table {name} policy retention")[0]
    assert json.loads(row["Policy"])["SoftDeletePeriod"] == "9.00:00:00"
    kusto.rows(f".delete table {name} policy retention")
    row = kusto.table(f".show table {name} policy retention")[0]
    assert row["Policy"] in ("null", "", None)


@page("kusto/management/extent-tags-retention-policy")
def test_a_policy_of_tag_retention_is_kept(kusto, make) -> None:
    name = make("n:long")
    rule = [{"TagPrefix": "ingest-by:", "RetentionPeriod": "02:00:00"}]
    kusto.rows(f".alter table {name} policy extent_tags_retention '{json.dumps(rule)}'")
    row = kusto.table(f".show table {name} policy extent_tags_retention")[0]
    assert json.loads(row["Policy"])[0]["TagPrefix"] == "ingest-by:"


@page("azure/data-explorer/error-codes", "kusto/management/retention-policy")
def test_a_creationtime_before_the_soft_delete_period_is_refused(kusto, make) -> None:
    name = make("n:long")
    kusto.rows(f".alter-merge table {name} policy retention softdelete = 30d")
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(f".ingest inline into table {name} with (creationTime='2020-01-02') <| 1")
    assert caught.value.get_api_error().permanent is True


@page("kusto/management/manage-table-security-roles")
def test_the_principals_of_a_table_have_the_documented_columns(kusto, make) -> None:
    name = make("n:long")
    table = kusto.table(f".show table {name} principals")
    assert [c.column_name for c in table.columns][:5] == [
        *("Role", "PrincipalType", "PrincipalDisplayName", "PrincipalObjectId", "PrincipalFQN")
    ]


@page("kusto/api/rest/response-v2")
def test_a_query_of_a_missing_table_is_a_semantic_error(kusto) -> None:
    with pytest.raises(KustoApiError) as caught:
        kusto.rows("NoSuchTable | count")
    error = caught.value.get_api_error()
    assert error.permanent is True
    assert "SemanticException" in caught.value.http_response.text
    assert "NoSuchTable" in error.description


@pytest.mark.parametrize(
    "command",
    [
        ".ingest inline into table NoSuchTable <| 1",
        ".show table NoSuchTable extents",
        ".drop extents from NoSuchTable",
        ".create table Bad (a:blob)",
        ".show table",
        ".no such command",
    ],
)
@page("azure/data-explorer/error-codes")
def test_a_command_that_can_not_be_carried_out_is_refused_for_good(kusto, command: str) -> None:
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(command)
    assert caught.value.get_api_error().permanent is True
