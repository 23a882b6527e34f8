"""Management commands: names and literals of every kind, extents, policies, pipes, errors."""

from __future__ import annotations

import json

import pytest
from azure.kusto.data import ClientRequestProperties
from azure.kusto.data.exceptions import KustoApiError

from exactly_once_kusto.emulator.commands import Ingest, ShowOperations
from exactly_once_kusto.emulator.errors import KustoError
from exactly_once_kusto.emulator.lexer import quote_name
from exactly_once_kusto.emulator.parser import parse


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (r"'a\'b\\c\té'", "a'b\\c\té"),
        (r'"a\"b\u00e9"', 'a"bé'),
        ('"\\ud83d\\ude00"', "😀"),
        ("@'C:\\x''y'", "C:\\x'y"),
        ("h'secret'", "secret"),
        ('h@"s""x\\"', 's"x\\'),
        ("'a' 'b' // comment\n 'c'", "abc"),
        ("```\nraw \\n 'x'```", "\nraw \\n 'x'"),
    ],
)
def test_string_literals_of_every_kind_are_read(literal: str, value: str) -> None:
    command = parse(f".ingest into table T ({literal})").command
    assert isinstance(command, Ingest)
    assert command.sources == (value,)


@pytest.mark.parametrize(
    "text",
    [
        ".ingest into table T ('open)",
        ".ingest into table T ()",
        ".ingest into T ('a') with (tags=)",
        ".show operations not-a-guid",
        ".show table T extents where tags like 'x'",
        ".create table T (a:blob)",
        ".show tables ; drop",
        r".ingest into table T ('\q')",
    ],
)
def test_a_malformed_command_is_a_syntax_error(text: str) -> None:
    with pytest.raises(KustoError, match=r"Syntax error|not supported"):
        parse(text)


def test_secrets_in_obfuscated_literals_stay_out_of_the_journal(kusto, numbers) -> None:
    path = numbers(1)
    kusto.rows(".create table T (n:long)")
    kusto.rows(f".ingest into table T (h'{path}') with (format='parquet')")
    text = kusto.one(".show commands | where CommandType == 'DataIngestPull' | project Text")
    assert path not in text
    assert "h'*****'" in text


def test_a_list_of_operations_is_read() -> None:
    ids = ("609ad1e2-5b1c-4b79-90c0-1dec262e9f46", "310a60c6-8529-4cdf-a309-fe6aa7857e1d")
    assert parse(f".show operations ({ids[0]}, '{ids[1]}')").command == ShowOperations(ids)


@pytest.mark.parametrize(
    "name",
    [
        "where",
        "my table",
        "a.b-c",
        "1day",
        "Größe",
        "drop",
        'quo"te',
        "T'); drop --",
        "back\\slash",
    ],
)
def test_hostile_names_of_tables_columns_and_tags_are_only_names(kusto, name: str) -> None:
    quoted = quote_name(name)
    bracketed = "['" + name.replace("\\", "\\\\").replace("'", "\\'") + "']"
    tag = json.dumps([f"ingest-by:{name}"]).replace("\\", "\\\\").replace("'", "\\'")
    plain = "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"
    kusto.rows(f".create table {bracketed} ({bracketed}:long, other:string)")
    kusto.rows(f".ingest inline into table {bracketed} with (tags='{tag}') <| 5,x")
    assert kusto.rows(f".show tables | where TableName == {plain} | count") == [[1]]
    shown = kusto.table(f".show table {bracketed} cslschema")[0]
    assert (shown["TableName"], shown["Schema"]) == (name, f"{name}:long,other:string")
    full = "'ingest-by:" + plain[1:]
    found = kusto.table(f".show table {quoted} extents where tags has {full}")
    assert [row["Tags"] for row in found] == [f"ingest-by:{name}"]
    if '"' not in name and "\\" not in name and "'" not in name:
        # Kusto allows no such characters in names; duckdb-kql doesn't read them.
        assert kusto.rows(f"{bracketed} | project x = {bracketed}") == [[5]]
    kusto.rows(f".drop table {bracketed}")
    assert kusto.rows(".show tables") == []


def test_creating_twice_changes_nothing_and_merging_adds_columns(kusto) -> None:
    kusto.rows(".create table T (a:long)")
    kusto.rows(".ingest inline into table T <| 1")
    kusto.rows(".create table T (b:string)")
    assert kusto.one(".show table T cslschema | project Schema") == "a:long"
    kusto.rows(".create-merge table T (a:long, b:string, c:int)")
    assert kusto.one(".show table T cslschema | project Schema") == "a:long,b:string,c:int"
    assert kusto.rows("T") == [[1, "", None]]
    with pytest.raises(KustoApiError, match="can't change a type"):
        kusto.rows(".create-merge table T (a:string)")
    schema = json.loads(kusto.one(".show table T schema as json | project Schema"))
    assert [c["CslType"] for c in schema["OrderedColumns"]] == ["long", "string", "int"]


def test_extents_are_filtered_by_id_and_tag_as_documented(kusto) -> None:
    kusto.rows(".create table T (a:long)")
    for tags in ('["aaa","BBB","ccc"]', '["ccc"]', "[]"):
        kusto.rows(f".ingest inline into table T with (tags='{tags}') <| 1")
    first = kusto.rows(".show table T extents | project ExtentId")[0][0]

    def count(clause: str) -> int:
        return len(kusto.rows(f".show table T extents {clause}"))

    assert count("where tags has 'aaa' and tags contains 'bb'") == 1
    assert count("where tags has 'aa' and tags contains 'bb'") == 0
    assert count("where tags contains 'aaa' and tags contains 'bb'") == 1
    assert count("where tags has 'bbb'") == 0
    assert count("where tags !has 'ccc'") == 1
    assert count(f"({first})") == 1
    assert count(f"({first}) where tags !contains 'A'") == 0
    row = kusto.table(f".show table T extents ({first})")[0]
    assert (row["Tags"], row["RowCount"]) == ("aaa\r\nBBB\r\nccc", 1)
    assert (row["DatabaseName"], row["TableName"]) == ("Demo", "T")
    assert len(kusto.rows(".show tables (T) extents where tags has 'ccc'")) == 2
    assert len(kusto.rows(".show database Demo extents")) == 3
    assert len(kusto.rows(".show cluster extents")) == 3


def test_dropped_extents_take_their_rows_and_dropped_tags_leave_them(kusto, numbers) -> None:
    kusto.rows(".create table T (n:long)")
    once = 'tags=\'["ingest-by:x","y"]\', ingestIfNotExists=\'["x"]\''
    kusto.rows(f".ingest inline into table T with ({once}) <| 1")
    before = kusto.one(".show table T extents | project ExtentId")
    changed = kusto.table(".drop table T extent tags ('ingest-by:x')")[0]
    assert (changed["OriginalExtentId"], changed["ResultExtentTags"]) == (before, "y")
    # The evidence is gone, and with it the protection.
    kusto.rows(f".ingest inline into table T with ({once}) <| 2")
    assert kusto.one("T | count") == 2
    after = kusto.one(".show table T extents where tags !has 'ingest-by:x' | project ExtentId")
    assert kusto.rows(f".drop extents ({after}) from T")[0][:2] == [after, "T"]
    assert kusto.rows("T") == [[2]]
    kusto.rows(".drop extents <| .show table T extents where tags has 'ingest-by:x'")
    assert kusto.rows("T") == []


def test_clearing_and_dropping_a_table_take_everything(kusto) -> None:
    kusto.rows(".create table T (a:long)")
    kusto.rows(".ingest inline into table T with (tags='[\"ingest-by:x\"]') <| 1")
    kusto.rows(".clear table T data")
    assert (kusto.rows("T"), kusto.rows(".show table T extents")) == ([], [])
    kusto.rows(".ingest inline into table T with (tags='[\"ingest-by:x\"]') <| 1")
    kusto.rows(".drop table T")
    kusto.rows(".drop table T ifexists")
    with pytest.raises(KustoApiError, match="'T' of kind 'Table' was not found"):
        kusto.rows(".drop table T")
    kusto.rows(".create table T (b:string)")
    assert kusto.rows(".show table T extents") == []


def test_policies_are_kept_as_given_and_null_where_none_is(kusto) -> None:
    kusto.rows(".create table T (a:long)")
    shown = kusto.table(".show table T policy extent_tags_retention")[0].to_dict()
    assert shown == {
        "PolicyName": "ExtentTagsRetentionPolicy",
        "EntityName": "[Demo].[T]",
        "Policy": "null",
        "ChildEntities": "",
        "EntityType": "Table",
    }
    kusto.rows(
        ".alter table T policy extent_tags_retention ```[\n"
        '{"TagPrefix": "ingest-by:", "RetentionPeriod": "02:00:00"}]```'
    )
    kusto.rows(
        ".alter-merge database Demo policy retention softdelete = 7d recoverability=disabled"
    )
    tags = json.loads(kusto.one(".show table T policy extent_tags_retention | project Policy"))
    assert tags == [{"TagPrefix": "ingest-by:", "RetentionPeriod": "02:00:00"}]
    kept = json.loads(kusto.one(".show database Demo policy retention | project Policy"))
    assert kept == {"SoftDeletePeriod": "7.00:00:00", "Recoverability": "Disabled"}
    assert kusto.one(".show table T policy retention | project Policy") == "null"
    kusto.rows('.alter table T policy retention "{}"')
    kept = json.loads(kusto.one(".show table T policy retention | project Policy"))
    assert kept == {"SoftDeletePeriod": "365000.00:00:00", "Recoverability": "Enabled"}
    kusto.rows(".delete table T policy retention")
    assert kusto.one(".show table T policy retention | project Policy") == "null"


def test_results_of_commands_are_piped_into_queries(kusto) -> None:
    kusto.rows(".create table T (a:long)")
    kusto.rows(".ingest inline into table T <| 1")
    kusto.rows(".ingest inline into table T <| 2\n3")
    latest = kusto.rows(
        ".show operations | summarize arg_max(LastUpdatedOn, State) by OperationId | count"
    )
    assert latest == [[2]]
    assert kusto.rows(".show table T extents | summarize sum(RowCount)") == [[3]]
    assert kusto.rows(".show operations | where Duration > 1h | count") == [[0]]
    assert kusto.rows(
        ".show table T extents | where RowCount > 1 | join kind=inner (T | where a == 1 "
        "| extend TableName='T') on TableName | project RowCount, a"
    ) == [[2, 1]]


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        (".frobnicate the table", "BadRequest_NotSupported", "frobnicate"),
        (".show table Nope cslschema", "BadRequest_EntityNotFound", "'Nope' of kind 'Table'"),
        ("Nope | count", "General_BadRequest", "SEM0100"),
        ("print x = ", "General_BadRequest", "Syntax error"),
        ("T | where nope == 1", "General_BadRequest", "Semantic error"),
        ("print '\ud800'", "General_BadRequest", "surrogate"),
        ("print " + "(" * 2000 + "1" + ")" * 2000, "General_BadRequest", "complex"),
        ("T | make-series count() on a step 1", "General_BadRequest", "not supported"),
    ],
)
def test_errors_have_the_services_shape(kusto, text: str, code: str, part: str) -> None:
    kusto.rows(".create table T (a:long)")
    properties = ClientRequestProperties()
    properties.client_request_id = "test;1"
    with pytest.raises(KustoApiError, match=part) as caught:
        kusto.client.execute("Demo", text, properties)
    error = caught.value.get_api_error()
    assert (error.code, error.permanent) == (code, True)
    assert error.context["clientRequestId"] == "test;1"
    reply = caught.value.http_response
    assert reply.status_code == 400
    assert reply.headers["x-ms-client-request-id"] == "test;1"
    assert reply.headers["x-ms-activity-id"] == error.context["activityId"]


def test_an_unknown_database_is_an_error_and_case_does_not_matter(kusto) -> None:
    kusto.rows(".create table T (a:long)")
    assert kusto.rows("T | count", database="dEMO") == [[0]]
    with pytest.raises(KustoApiError, match="'Other' of kind 'Database'"):
        kusto.rows("T | count", database="Other")


def test_names_that_differ_only_in_case_are_refused(kusto) -> None:
    kusto.rows(".create table Aa (x:long)")
    with pytest.raises(KustoApiError, match="differs from 'Aa' only in case"):
        kusto.rows(".create table aA (x:long)")
    with pytest.raises(KustoApiError, match="differ only in case"):
        kusto.rows(".create table B (x:long, X:long)")
    with pytest.raises(KustoApiError, match="SEM0100"):
        kusto.rows("aa | count")
