"""Ingestion: tags, 'only once', operations and their states, and failures that leave nothing."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import uuid
from pathlib import Path

import pytest
from azure.kusto.data.exceptions import KustoApiError

NO_EXTENT = "00000000-0000-0000-0000-000000000000"


def tagged(value: str) -> str:
    return f"tags='[\"ingest-by:{value}\"]', ingestIfNotExists='[\"{value}\"]'"


@pytest.fixture(autouse=True)
def _table(kusto) -> None:
    kusto.rows(".create table T (n:long)")


def test_an_async_ingest_goes_from_in_progress_to_completed_with_its_extents_as_details(
    kusto, kusto_emulator, numbers
) -> None:
    kusto_emulator.faults.set({"on": "ingest", "do": "delay-apply", "seconds": 60})
    path = numbers(1000)
    operation = kusto.one(f".ingest async into table T (h'{path}') with (format='parquet')")
    row = kusto.table(f".show operations ({operation})")[0]
    assert (row["State"], row["Operation"]) == ("InProgress", "DataIngestPull")
    assert kusto.one("T | count") == 0
    with pytest.raises(KustoApiError, match="InProgress"):
        kusto.rows(f".show operation {operation} details")
    kusto_emulator.faults.clear()
    assert kusto.ended(operation)["State"] == "Completed"
    details = kusto.table(f".show operation {operation} details")
    names = [column.column_name for column in details.columns]
    assert names == ["ExtentId", "ItemLoaded", "Duration", "HasErrors", "OperationId"]
    assert [(r["ItemLoaded"], r["HasErrors"], r["OperationId"]) for r in details] == [
        (path, False, operation)
    ]
    extent = kusto.table(f".show table T extents ({details[0]['ExtentId']})")[0]
    assert extent["RowCount"] == kusto.one("T | count") == 1000
    states = kusto.rows(f".show operations | where OperationId == '{operation}' | project State")
    assert states == [["InProgress"], ["Completed"]]


def test_a_second_command_under_one_tag_is_skipped_and_adds_nothing(kusto, numbers) -> None:
    path = numbers(10)
    states = []
    for _ in range(2):
        command = f".ingest async into table T ('{path}') with (format='parquet', {tagged('x')})"
        operation = kusto.one(command)
        states.append(kusto.ended(operation)["State"])
    assert states == ["Completed", "Skipped"]
    assert kusto.one("T | count") == 10
    # The synchronous form says it with an extent of zeros.
    row = kusto.table(f".ingest into table T ('{path}') with (format='parquet', {tagged('x')})")[0]
    assert (row["ExtentId"], row["HasErrors"]) == (NO_EXTENT, False)
    assert kusto.one("T | count") == 10


def test_a_tag_counts_in_its_table_only_and_only_with_its_prefix(kusto, numbers) -> None:
    path = numbers(10)
    kusto.rows(".create table U (n:long)")
    kusto.rows(f".ingest into table T ('{path}') with (format='parquet', tags='[\"x\"]')")
    kusto.rows(f".ingest into table U ('{path}') with (format='parquet', {tagged('x')})")
    kusto.rows(f".ingest into table T ('{path}') with (format='parquet', {tagged('x')})")
    assert kusto.one("T | count") == 20


def test_commands_that_race_for_a_tag_ingest_once(kusto, numbers) -> None:
    # Large enough that the others look for the tag while the first one is still committing.
    path, rows, commands = numbers(500_000), 500_000, 6
    for tag in ("x", "y"):
        command = f".ingest async into table T ('{path}') with (format='parquet', {tagged(tag)})"
        with concurrent.futures.ThreadPoolExecutor(commands) as pool:
            operations = list(pool.map(kusto.one, [command] * commands))
        states = [kusto.ended(operation)["State"] for operation in operations]
        assert sorted(states) == ["Completed"] + ["Skipped"] * (commands - 1)
    assert kusto.one("T | count") == 2 * rows


def test_one_broken_source_of_several_leaves_nothing_of_any(kusto, numbers, tmp_path) -> None:
    good, bad = numbers(100), tmp_path / "bad.parquet"
    bad.write_bytes(b"PAR1 this is no parquet PAR1")
    operation = kusto.one(
        f".ingest async into table T ('{good}', '{bad}') with (format='parquet', {tagged('x')})"
    )
    row = kusto.ended(operation)
    assert (row["State"], row["Status"].partition(":")[0]) == ("Failed", "BadRequest_InvalidBlob")
    assert kusto.one("T | count") == 0
    assert kusto.rows(".show table T extents") == []
    failure = kusto.table(f".show ingestion failures with (OperationId={operation})")[0]
    assert failure["ErrorCode"] == "BadRequest_InvalidBlob"
    assert failure["FailureKind"] == "Permanent"
    assert failure["IngestionSourcePath"] == str(bad)
    with pytest.raises(KustoApiError, match="Failed"):
        kusto.rows(f".show operation {operation} details")


def test_several_sources_become_an_extent_each_under_one_tag(kusto, numbers) -> None:
    sources = ", ".join(f"'{numbers(10, f'{i}.parquet')}'" for i in range(3))
    done = kusto.rows(f".ingest into table T ({sources}) with (format='parquet', {tagged('x')})")
    assert len({row[0] for row in done}) == 3
    counted = kusto.rows(".show table T extents where tags has 'ingest-by:x' | project RowCount")
    assert counted == [[10]] * 3


@pytest.mark.parametrize(
    ("content", "form", "code"),
    [
        (None, "parquet", "Download_SourceNotFound"),
        (b"", "csv", "BadRequest_EmptyBlob"),
        (b"1\n2,3\n", "csv", "Stream_WrongNumberOfFields"),
        (b'1\n"2\n', "csv", "Stream_ClosingQuoteMissing"),
        (b'[{"n":1}', "multijson", "BadRequest_InvalidBlob"),
        (b"nothing of the kind\n", "json", "BadRequest_NoRecordsOrWrongFormat"),
        (b"1\n", "orc", "BadRequest_FormatNotSupported"),
    ],
)
def test_a_bad_source_fails_with_its_code(
    kusto, tmp_path: Path, content: bytes | None, form: str, code: str
) -> None:
    path = tmp_path / "source"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(f".ingest into table T ('{path}') with (format='{form}')")
    assert caught.value.get_api_error().code == code
    assert caught.value.get_api_error().permanent is True
    assert kusto.rows(".show ingestion failures | project ErrorCode") == [[code]]
    assert kusto.one("T | count") == 0


def test_malformed_records_of_json_lines_are_left_out_in_silence(kusto, tmp_path: Path) -> None:
    # https://learn.microsoft.com/azure/data-explorer/ingest-invalid-data
    path = tmp_path / "lines.json"
    path.write_text('{"n":1}\n{"n":\n{"n":3}\n')
    kusto.rows(f".ingest into table T ('{path}') with (format='json')")
    assert kusto.rows("T | sort by n asc") == [[1], [3]]


def test_a_line_of_json_that_is_no_object_is_no_record(kusto, tmp_path: Path) -> None:
    path = tmp_path / "lines.json"
    path.write_text('{"n":1}\n[2]\n3\n"4"\nnull\n {"n":5}\n')
    kusto.rows(f".ingest into table T ('{path}') with (format='json')")
    assert kusto.rows("T | sort by n asc") == [[1], [5]]
    path.write_text('[{"n":1},{"n":2}]')
    with pytest.raises(KustoApiError, match="not of format json"):
        kusto.rows(f".ingest into table T ('{path}') with (format='json')")


@pytest.mark.parametrize(
    "text",
    ['{"n":1}\n{\n"n":2}{"n":3}', ' \n[{"n":1},\n{"n":2},{"n":3}]', '{"n":1}{"n":2} {"n":3}'],
)
def test_multi_line_json_may_be_laid_out_in_any_way(kusto, tmp_path: Path, text: str) -> None:
    path = tmp_path / "several.json"
    path.write_text(text)
    kusto.rows(f".ingest into table T ('{path}') with (format='multijson')")
    assert kusto.rows("T | sort by n asc") == [[1], [2], [3]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("within", ["\n", "\r\n"])
def test_a_quoted_field_may_hold_any_end_of_line(kusto, tmp_path: Path, end, within) -> None:
    path = tmp_path / "lines.csv"
    path.write_text(f'"a""b","1{within}2"{end}"",z{end}', newline="")
    kusto.rows(".create table C (a:string, b:string)")
    kusto.rows(f".ingest into table C ('{path}') with (format='csv')")
    assert kusto.rows("C | sort by a desc") == [['a"b', f"1{within}2"], ["", "z"]]


@pytest.mark.parametrize("text", ["a,b\r\nc\r\n", "a,b\r\nc,d,e\r\n", '"a"b,"c\n"\r\n'])
def test_a_malformed_file_with_carriage_returns_fails_like_any(kusto, tmp_path: Path, text) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, newline="")
    kusto.rows(".create table C (a:string, b:string)")
    with pytest.raises(KustoApiError):
        kusto.rows(f".ingest into table C ('{path}') with (format='csv')")
    assert kusto.one("C | count") == 0


def test_mappings_pick_paths_ordinals_and_constants(kusto, tmp_path: Path) -> None:
    kusto.rows(".create table M (a:long, b:string, c:string)")
    json_path, csv_path = tmp_path / "m.json", tmp_path / "m.csv"
    json_path.write_text('{"x":{"the y":7},"extra":1}\n')
    csv_path.write_text("skipped,8\n")
    kusto.rows(
        f".ingest into table M ('{json_path}') with (format='json', ingestionMapping="
        """'[{"Column":"a","Properties":{"Path":"$.x[\\'the y\\']"}},"""
        """{"column":"c","Properties":{"ConstValue":"k"}}]')"""
    )
    kusto.rows(
        f".ingest into table M ('{csv_path}') with (format='csv', ingestionMapping="
        """'[{"Column":"a","Properties":{"Ordinal":"1"}}]')"""
    )
    assert kusto.rows("M | sort by a asc") == [[7, "", "k"], [8, "", ""]]
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(
            f".ingest into table M ('{csv_path}') with (format='csv', "
            """ingestionMapping='[{"Column":"zz","Properties":{"Ordinal":"1"}}]')"""
        )
    assert caught.value.get_api_error().code == "BadRequest_InconsistentMapping"


def test_a_file_uri_is_decoded(kusto, kusto_emulator, numbers) -> None:
    odd = numbers(3, "ein [Name] mit % und *.parquet")
    kusto.rows(f".ingest into table T ('{Path(odd).as_uri()}') with (format='parquet')")
    assert kusto.one("T | count") == 3


def test_a_table_with_soft_delete_zero_keeps_nothing(kusto, numbers) -> None:
    path = numbers(3)
    command = f".ingest into table T ('{path}') with (format='parquet', {tagged('x')})"
    kusto.rows(".alter-merge table T policy retention softdelete = 0d")
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(command)
    code = "BadRequest_ZeroRetentionPolicyWithNoUpdatePolicy"
    assert caught.value.get_api_error().code == code
    kusto.rows(".create table U (n:long)")
    kusto.rows(""".alter table U policy update '[{"Source":"T","Query":"T","IsEnabled":true}]'""")
    assert kusto.rows(command)[0][0] == NO_EXTENT
    assert kusto.rows(".show table T extents") == []


def test_a_creation_time_is_the_extents_and_must_be_within_the_soft_delete_period(
    kusto, numbers
) -> None:
    path = numbers(3)
    kusto.rows(
        f".ingest into table T ('{path}') with (format='parquet', creationTime='2020-01-02')"
    )
    created = kusto.table(".show table T extents")[0]["MaxCreatedOn"]
    assert created.isoformat() == "2020-01-02T00:00:00+00:00"
    kusto.rows(".alter-merge table T policy retention softdelete = 30d")
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(
            f".ingest into table T ('{path}') with (format='parquet', creationTime='2020-01-02')"
        )
    code = "BadRequest_CreationTimeEarlierThanSoftDeletePeriod"
    assert caught.value.get_api_error().code == code


def test_an_ingest_into_a_missing_table_is_refused_at_once(kusto, numbers) -> None:
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(f".ingest async into table Nope ('{numbers(1)}') with (format='parquet')")
    assert caught.value.get_api_error().code == "BadRequest_EntityNotFound"


def test_an_unknown_operation_is_no_row_and_its_details_an_error(kusto) -> None:
    unknown = uuid.uuid4()
    assert kusto.rows(f".show operations {unknown}") == []
    with pytest.raises(KustoApiError, match="was not found"):
        kusto.rows(f".show operation {unknown} details")


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ("ingestIfNotExist='[\"x\"]'", "BadRequest_IngestionPropertyNotSupportedInThisContext"),
        ("tags='ingest-by:x'", "BadRequest_MalformedIngestionProperty"),
        ("tags='[1]'", "BadRequest_MalformedIngestionProperty"),
        ("creationTime='yesterday'", "BadRequest_MalformedIngestionProperty"),
        ("ingestionMapping='{}'", "BadRequest_InvalidMapping"),
        ("ingestionMapping='[]', ingestionMappingType='csv'", "BadRequest_InconsistentMapping"),
    ],
)
def test_a_malformed_property_is_refused_and_nothing_is_ingested(
    kusto, numbers, properties: str, code: str
) -> None:
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(f".ingest into table T ('{numbers(1)}') with (format='parquet', {properties})")
    assert caught.value.get_api_error().code == code
    assert kusto.one("T | count") == 0


def test_a_named_mapping_is_used_the_tables_before_the_databases(kusto, tmp_path: Path) -> None:
    # https://learn.microsoft.com/kusto/management/create-ingestion-mapping-command
    path = tmp_path / "m.csv"
    path.write_text("1,2\n")
    ingest = f".ingest into table T ('{path}') with (format='csv', ingestionMappingReference='M')"
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(ingest)
    assert caught.value.get_api_error().code == "BadRequest_MappingReferenceWasNotFound"
    kusto.rows(
        '.create database Demo ingestion csv mapping "M" '
        '\'[{"column":"n","Properties":{"Ordinal":"1"}}]\''
    )
    kusto.rows(ingest)
    created = kusto.table(
        ".create table T ingestion csv mapping \"M\" '['"
        '\'{"column":"n","DataType":"long","Properties":{"Ordinal":"0"}}\' \']\''
    )
    assert [column.column_name for column in created.columns] == [
        *("Name", "Kind", "Mapping", "Database", "Table")
    ]
    kusto.rows(ingest)
    assert kusto.rows("T | sort by n asc") == [[1], [2]]
    shown = kusto.rows(".show table T ingestion csv mapping 'M' | project Name, Kind, Table")
    assert shown == [["M", "CSV", "T"]]
    kusto.rows(".drop table T ingestion csv mapping 'M'")
    assert kusto.rows(".show table T ingestion mappings") == []
    assert len(kusto.rows(".show database Demo ingestion mappings")) == 1
    with pytest.raises(KustoApiError, match="was not found"):
        kusto.rows(".show table T ingestion csv mapping 'M'")


def test_a_mapping_is_created_once_altered_only_if_there_and_gone_with_its_table(kusto) -> None:
    text = '\'[{"column":"n","Properties":{"Path":"$.n"}}]\''
    with pytest.raises(KustoApiError, match="was not found"):
        kusto.rows(f".alter table T ingestion json mapping 'M' {text}")
    kusto.rows(f".create table T ingestion json mapping 'M' {text}")
    with pytest.raises(KustoApiError, match="already exists"):
        kusto.rows(f".create table T ingestion json mapping 'M' {text}")
    other = text.replace("$.n", "$.other")
    for verb in ("alter", "create-or-alter"):
        row = kusto.rows(f".{verb} table T ingestion json mapping 'M' {other}")[0]
        assert "$.other" in row[2]
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(".create table T ingestion json mapping 'N' '{}'")
    assert caught.value.get_api_error().code == "BadRequest_InvalidMapping"
    kusto.rows(".drop table T")
    kusto.rows(".create table T (n:long)")
    assert kusto.rows(".show table T ingestion mappings") == []


def test_a_mapping_given_twice_is_refused(kusto, numbers) -> None:
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(
            f".ingest into table T ('{numbers(1)}') with (format='parquet', ingestionMapping='[]', "
            "ingestionMappingReference='M')"
        )
    assert caught.value.get_api_error().code == "BadRequest_DuplicateMapping"


def test_transformations_of_a_mapping_do_what_their_table_says(kusto, tmp_path: Path) -> None:
    # https://learn.microsoft.com/kusto/management/mappings#mapping-transformations
    kusto.rows(
        ".create table X (Time:datetime, EventName:string, Props:dynamic, Bag:dynamic, "
        "Line:long, Source:string, At:datetime)"
    )
    path = tmp_path / "x.json"
    path.write_text(
        '{"Time":"2012-01-15T10:45","Props":{"EventName":"CustomEvent","Revenue":0.456},'
        '"events":[{"n1":"v1"},{"n2":"v2"}],"unix":1326624300}\n'
        '{"Props":{"Other":{}},"events":[],"unix":"x"}\n'
    )
    mapping = [
        '{"Column":"Time","Properties":{"Path":"$.Time"}}',
        '{"Column":"EventName","Properties":{"Path":"$.Props.EventName"}}',
        '{"Column":"Props","Properties":{"Path":"$.Props","Transform":"DropMappedFields"}}',
        '{"Column":"Bag","Properties":{"Path":"$.events",'
        '"Transform":"PropertyBagArrayToDictionary"}}',
        '{"Column":"Line","Properties":{"Transform":"SourceLineNumber"}}',
        '{"Column":"Source","Properties":{"Transform":"SourceLocation"}}',
        '{"Column":"At","Properties":{"Path":"$.unix","Transform":"DateTimeFromUnixSeconds"}}',
    ]
    kusto.rows(
        f".ingest into table X ('{path}') with (format='json', "
        f"ingestionMapping='[{','.join(mapping)}]')"
    )
    first, second = kusto.rows("X | sort by Line asc")
    at = dt.datetime(2012, 1, 15, 10, 45, tzinfo=dt.UTC)
    bag = {"n1": "v1", "n2": "v2"}
    assert first == [at, "CustomEvent", {"Revenue": 0.456}, bag, 1, str(path), at]
    assert second == [None, "", {"Other": {}}, {}, 2, str(path), None]


def test_an_unknown_transformation_is_refused_rather_than_left_out(kusto, numbers) -> None:
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(
            f".ingest into table T ('{numbers(1)}') with (format='parquet', ingestionMapping="
            """'[{"Column":"n","Properties":{"Path":"$.n","Transform":"Halve"}}]')"""
        )
    assert caught.value.get_api_error().code == "BadRequest_InvalidMapping"


@pytest.mark.parametrize(
    ("form", "content", "rows"),
    [
        ("tsv", b"a\tb\n", [["a", "b"]]),
        ("tsve", b"a\\tb\tc\\\\n\n", [["a\tb", "c\\n"]]),
        ("psv", b"a|b\n", [["a", "b"]]),
        ("scsv", b"a;b\n", [["a", "b"]]),
        ("sohsv", b"a\x01b\n", [["a", "b"]]),
        ("txt", b'a,"b\n\nc\n', [['a,"b', ""], ["c", ""]]),
        ("raw", b'a,"b\n\nc\n', [['a,"b\n\nc\n', ""]]),
    ],
)
def test_delimited_formats_are_read_as_their_page_says(
    kusto, tmp_path: Path, form: str, content: bytes, rows: list[list[str]]
) -> None:
    # https://learn.microsoft.com/kusto/ingestion-supported-formats
    kusto.rows(".create table D (x:string, y:string)")
    path = tmp_path / "d"
    path.write_bytes(content)
    kusto.rows(f".ingest into table D ('{path}') with (format='{form}')")
    assert kusto.rows("D | sort by x asc") == rows


def test_inline_data_may_stand_in_brackets(kusto) -> None:
    # https://learn.microsoft.com/kusto/management/data-ingestion/ingest-inline
    kusto.rows(".create table Logs (Date:datetime, EventDetails:dynamic)")
    kusto.rows(
        '.ingest inline into table Logs\n    [2015-01-01,"{""EventType"":""Read"", '
        '""Count"":""12""}"]\n    [2015-01-02,"{""EventType"":""Write""}"]'
    )
    details = kusto.rows("Logs | sort by Date asc | project EventDetails")
    assert details == [[{"EventType": "Read", "Count": "12"}], [{"EventType": "Write"}]]
    with pytest.raises(KustoApiError, match="Syntax error"):
        kusto.rows(".ingest inline into table Logs [2015-01-01, open")
