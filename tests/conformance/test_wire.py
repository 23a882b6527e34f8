"""Wire: envelopes, ids and headers as Microsoft's client reads them."""

from __future__ import annotations

import uuid

import pytest
from azure.kusto.data import ClientRequestProperties
from azure.kusto.data.exceptions import KustoApiError

from .case import page


@page("kusto/api/rest/response-v2")
def test_a_query_answers_with_its_primary_result_and_column_types(kusto) -> None:
    table = kusto.table("print a=1, b='x', c=datetime(2020-01-02), d=dynamic([1])")
    assert [(c.column_name, c.column_type) for c in table.columns] == [
        *(("a", "long"), ("b", "string"), ("c", "datetime"), ("d", "dynamic"))
    ]
    assert len(table) == 1


@page("kusto/api/rest/response")
def test_a_command_answers_with_one_table(kusto, make) -> None:
    name = make("n:long")
    table = kusto.table(f".show table {name} cslschema")
    assert [c.column_name for c in table.columns] == [
        *("TableName", "Schema", "DatabaseName", "Folder", "DocString")
    ]
    assert table[0]["Schema"] == "n:long"


@page("kusto/api/rest/request-properties")
def test_query_parameters_are_bound(kusto) -> None:
    properties = ClientRequestProperties()
    properties.set_parameter("a", "it's")
    properties.set_parameter("n", 3)
    text = "declare query_parameters(a:string, n:long); print a, n + 1"
    assert kusto.table(text, properties)[0].to_list() == ["it's", 4]


@page("kusto/management/show-commands", "kusto/api/rest/request")
def test_a_client_request_id_is_found_among_the_commands_that_ended(kusto, make) -> None:
    name = make("n:long")
    properties = ClientRequestProperties()
    properties.client_request_id = f"conformance;{uuid.uuid4()}"
    kusto.table(f".append {name} <| print n=1", properties)
    found = kusto.rows(
        f".show commands | where ClientActivityId == '{properties.client_request_id}' "
        "| project State"
    )
    assert found == [["Completed"]]


@page("kusto/api/rest/response-v2")
def test_an_error_has_a_code_a_type_and_says_whether_it_is_permanent(kusto) -> None:
    with pytest.raises(KustoApiError) as caught:
        kusto.rows("print 1 |")
    error = caught.value.get_api_error()
    assert (error.code, error.permanent) == ("General_BadRequest", True)
    # The cause is an inner error; the outer type is that of any bad request.
    assert "SyntaxException" in caught.value.http_response.text
    assert caught.value.http_response.status_code == 400


@page("kusto/management/show-databases")
def test_the_database_is_listed(kusto) -> None:
    names = [row["DatabaseName"] for row in kusto.table(".show databases")]
    assert kusto.database in names
