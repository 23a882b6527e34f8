"""Extents: moved and replaced all or none, merged as their tags allow, retagged, dropped by age."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from azure.kusto.data.exceptions import KustoApiError

from exactly_once_kusto.emulator import extent_commands as e
from exactly_once_kusto.emulator.errors import KustoError
from exactly_once_kusto.emulator.parser import parse

GONE = "609ad1e2-5b1c-4b79-90c0-1dec262e9f46"
WIDE = "extentCreatedOnFrom=datetime(2000-01-01 10:00:00), extentCreatedOnTo=datetime(2100-01-01)"


@pytest.fixture(autouse=True)
def _tables(kusto) -> None:
    kusto.rows(".create table S (n:long, t:string)")
    kusto.rows(".create table D (extra:string, t:string, n:long, more:int)")


def put(kusto, value: int, *tags: str, table: str = "S", creation: str = "") -> str:
    """Ingests one row; the new extent's id."""
    text = ",".join(f'"{tag}"' for tag in tags)
    more = f", creationTime='{creation}'" if creation else ""
    command = f".ingest inline into table {table} with (tags='[{text}]'{more}) <| {value},x"
    return str(kusto.table(command)[0]["ExtentId"])


def ids(kusto, table: str) -> list[str]:
    return [row[0] for row in kusto.rows(f".show table {table} extents | project ExtentId")]


def last_state(kusto, kind: str) -> str:
    return kusto.rows(f".show operations | where Operation == '{kind}' | project State")[-1][0]


def test_moved_extents_take_rows_and_tags_and_leave_nothing(kusto) -> None:
    one, two = put(kusto, 1, "ingest-by:a", "drop-by:x"), put(kusto, 2)
    rows = kusto.rows(f".move extents from table S to table D ({one})")
    assert [(row[0], row[2]) for row in rows] == [(one, "")]
    assert rows[0][1] != one
    assert ids(kusto, "D") == [rows[0][1]]
    assert kusto.rows("D") == [["", "x", 1, None]]
    assert (ids(kusto, "S"), kusto.rows("S")) == ([two], [[2, "x"]])
    assert kusto.one(".show table D extents | project Tags") == "ingest-by:a\r\ndrop-by:x"
    # The tag protects the table that the extent is in now, and no other.
    kusto.rows(".create table E (n:long, t:string)")
    again = "with (ingestIfNotExists='[\"a\"]', tags='[\"ingest-by:a\"]') <| 9,y,9,9"
    kusto.rows(f".ingest inline into table D {again}")
    kusto.rows(".ingest inline into table S with (ingestIfNotExists='[\"a\"]') <| 3,y")
    assert (kusto.one("D | count"), kusto.one("S | count")) == (1, 2)


def test_all_extents_and_those_of_a_query_are_moved(kusto) -> None:
    put(kusto, 1)
    kusto.rows(".create table S2 (n:long, t:string)")
    put(kusto, 2, table="S2")
    put(kusto, 3, table="S2")
    moved = kusto.rows(f".move extents to table D with ({WIDE}) <| .show tables (S, S2) extents")
    assert len(moved) == 3
    assert sorted(kusto.rows("D | project n")) == [[1], [2], [3]]
    put(kusto, 4)
    operation = kusto.one(f".move async extents all from table S to table D with ({WIDE})")
    assert kusto.ended(operation)["State"] == "Completed"
    details = kusto.rows(f".show operation {operation} details")
    assert [row[1] in ids(kusto, "D") for row in details] == [True]
    assert kusto.rows(".move extents all from table S to table D") == []
    query = "S | summarize by ExtentId = extent_id(), TableName = 'S'"
    put(kusto, 5)
    assert len(kusto.rows(f".move extents to table D <| {query}")) == 1
    assert kusto.one("D | count") == 5


def test_a_move_of_extents_that_are_gone_moves_none(kusto) -> None:
    one = put(kusto, 1)
    for missing in (GONE, put(kusto, 2, table="S", creation="1999-01-01")):
        rows = kusto.rows(f".move extents from table S to table D with ({WIDE}) ({one}, {missing})")
        assert [(row[0], row[1]) for row in rows] == [(one, "Failed"), (missing, "Failed")]
        assert missing in rows[0][2]
        assert last_state(kusto, "ExtentsMove") == "Failed"
    assert (kusto.rows("D"), len(ids(kusto, "S"))) == ([], 2)
    kusto.rows(f".move extents from table S to table D ({one})")
    second = kusto.one(f".move async extents from table S to table D ({one})")
    assert kusto.ended(second)["State"] == "Failed"
    assert kusto.one("D | count") == 1


def test_a_column_without_an_equal_in_the_target_refuses_the_move(kusto) -> None:
    put(kusto, 1)
    kusto.rows(".create table Bad (n:int, t:string)")
    with pytest.raises(KustoApiError, match="column 'n'"):
        kusto.rows(".move extents all from table S to table Bad")
    with pytest.raises(KustoApiError, match="into itself"):
        kusto.rows(".move extents all from table S to table S")
    assert kusto.one("S | count") == 1


def test_a_moved_decimal_is_exact_in_a_table_of_narrower_ones(kusto) -> None:
    kusto.rows(".create table X (d:decimal)")
    kusto.rows(".create table Y (d:decimal)")
    kusto.rows(".ingest inline into table Y <| 1.5")
    kusto.rows(".ingest inline into table X <| 12345678901234567890.123456789")
    kusto.rows(".move extents all from table X to table Y")
    values = [str(row[0]) for row in kusto.rows("Y | order by d desc")]
    assert values[0] == "12345678901234567890.123456789"


def test_only_a_new_ingestion_time_changes_the_time_of_moved_rows(kusto, kusto_emulator) -> None:
    put(kusto, 1)
    kusto_emulator.clock.advance(3 * 3600)
    old = "D | where ingestion_time() < ago(2h) | count"
    kusto.rows(".move extents all from table S to table D")
    assert kusto.one(old) == 1
    kusto.rows(".create table E (extra:string, t:string, n:long, more:int)")
    kusto.rows(".move extents all from table D to table E with (setNewIngestionTime=true)")
    assert kusto.one(old.replace("D", "E", 1)) == 0
    assert kusto.rows(".show table E extents | where MaxCreatedOn < ago(2h) | count") == [[1]]


def test_replaced_extents_go_as_the_others_come(kusto) -> None:
    kusto.rows(".move extents all from table S to table D")
    put(kusto, 1, "drop-by:blue")
    kusto.rows(".move extents all from table S to table D")
    (old,) = ids(kusto, "D")
    new = put(kusto, 2, "drop-by:blue")
    rows = kusto.rows(
        f".replace extents in table D with ({WIDE}) <| "
        "{ .show table D extents where tags has 'drop-by:blue' }, "
        "{ let found = S | where n == 2 | summarize by ExtentId = extent_id(), TableName = 'S';"
        " found }"
    )
    assert [row[0] for row in rows] == [new, old]
    assert rows[1][1:] == ["", ""]
    assert (kusto.rows("D | project n"), kusto.rows("S")) == ([[2]], [])


def test_a_replace_that_misses_an_extent_changes_nothing(kusto) -> None:
    put(kusto, 1)
    rows = kusto.rows(
        f".replace extents in table D <| {{ print ExtentId = '{GONE}' }}, "
        "{ .show table S extents }"
    )
    assert [row[1] for row in rows] == ["Failed"]
    assert (kusto.one("S | count"), kusto.one("D | count")) == (1, 0)
    assert last_state(kusto, "ExtentsReplace") == "Failed"


def test_a_merge_unites_tags_rows_and_creation_times(kusto, kusto_emulator) -> None:
    one = put(kusto, 1, "ingest-by:a", "green", "drop-by:x")
    kusto_emulator.clock.advance(3600)
    two = put(kusto, 2, "drop-by:x", "ingest-by:b", "green")
    before = kusto.rows("S | project n, ingestion_time() | order by n asc")
    rows = kusto.rows(f".merge S ({one}, {two})")
    assert [row[0] for row in rows] == [one, two]
    assert len({row[1] for row in rows}) == 1
    shown = kusto.table(".show table S extents")[0]
    assert (shown["ExtentId"], shown["RowCount"]) == (rows[0][1], 2)
    assert set(shown["Tags"].split("\r\n")) == {"ingest-by:a", "ingest-by:b", "green", "drop-by:x"}
    hour = shown["MaxCreatedOn"] - shown["MinCreatedOn"]
    assert dt.timedelta(minutes=59) < hour < dt.timedelta(minutes=61)
    assert kusto.rows("S | project n, ingestion_time() | order by n asc") == before
    assert kusto.rows("S | summarize dcount(tostring(extent_id()))") == [[1]]
    # Each of the tags still protects, and the next merge, move or drop takes the whole of it.
    for tag in "ab":
        once = f"with (ingestIfNotExists='[\"{tag}\"]')"
        kusto.rows(f".ingest inline into table S {once} <| 9,y")
    assert kusto.one("S | count") == 2
    kusto.rows(".move extents all from table S to table D")
    assert (kusto.one("S | count"), kusto.one("D | count")) == (0, 2)
    kusto.rows(f".drop extents ({ids(kusto, 'D')[0]}) from D")
    assert (kusto.one("D | count"), ids(kusto, "D")) == (0, [])


def test_what_may_not_be_merged_stays_apart(kusto) -> None:
    blue = put(kusto, 1, "drop-by:blue", "drop-by:red", "green")
    red = put(kusto, 2, "drop-by:red", "yellow")
    both = put(kusto, 3, "purple", "drop-by:red", "drop-by:blue")
    assert {row[1] for row in kusto.rows(f".merge S ({blue}, {red})")} == {"Failed"}
    assert {row[1] for row in kusto.rows(f".merge S ({blue}, {GONE})")} == {"Abandoned"}
    abandoned = kusto.one(f".merge async S ({blue}, {GONE})")
    assert kusto.ended(abandoned)["State"] == "Abandoned"
    assert {row[1] for row in kusto.rows(f".merge dryrun S ({blue}, {both})")} == {""}
    assert len(ids(kusto, "S")) == 3
    operation = kusto.one(f".merge async S ({blue}, {both}) with (rebuild=true)")
    assert kusto.ended(operation)["State"] == "Completed"
    assert len(ids(kusto, "S")) == 2


def test_altered_tags_are_set_or_added_and_the_extent_is_a_new_one(kusto) -> None:
    one = put(kusto, 1, "a", "b")
    put(kusto, 2, "c")
    choice = ".show table S extents where tags has 'a'"
    row = kusto.table(f".alter-merge table S extent tags ('b', 'z') with ({WIDE}) <| {choice}")[0]
    assert (row["OriginalExtentId"], row["ResultExtentTags"]) == (one, "a b z")
    assert one not in ids(kusto, "S")
    operation = kusto.one(f".alter async table S extent tags ('drop-by:q') <| {choice}")
    assert kusto.ended(operation)["State"] == "Completed"
    assert kusto.one(f".show operation {operation} details | project ResultExtentTags")
    tags = kusto.rows(".show table S extents | project Tags")
    assert sorted(tags) == [["c"], ["drop-by:q"]]


def test_tags_named_by_a_query_are_dropped(kusto) -> None:
    put(kusto, 1, "drop-by:a", "keep")
    put(kusto, 2, "drop-by:b")
    kusto.rows(
        f".drop table S extent tags with ({WIDE}) <| .show table S extents "
        "| where Tags has 'drop-by:a' | project ExtentId, Tags = 'drop-by:a'"
    )
    assert sorted(kusto.rows(".show table S extents | project Tags")) == [["drop-by:b"], ["keep"]]


def test_extents_are_dropped_by_age_size_and_number_oldest_first(kusto, kusto_emulator) -> None:
    for n in range(4):
        put(kusto, n)
        kusto_emulator.clock.advance(24 * 3600)
    assert len(kusto.rows(".drop-pretend extents older 2 days from all tables")) == 3
    assert len(kusto.rows(".drop extents whatif <| .show table S extents")) == 4
    assert kusto.one("S | count") == 4
    kusto.rows(".drop extents older 10 hours from tables (S, D) limit 1")
    assert sorted(kusto.rows("S | project n")) == [[1], [2], [3]]
    size = kusto.rows(".show table S extents | project OriginalSize")[0][0]
    kusto.rows(f".drop extents from S trim by datasize {int(2 * size)} bytes")
    assert sorted(kusto.rows("S | project n")) == [[2], [3]]
    kusto.rows(".drop extents older 25 hours from S")
    assert kusto.rows("S | project n") == [[3]]


def test_details_of_a_table_count_its_extents(kusto) -> None:
    put(kusto, 1)
    put(kusto, 2)
    kusto.rows(".alter-merge table S policy retention softdelete = 9d")
    row = kusto.table(".show table S details")[0]
    assert (row["TotalExtents"], row["TotalRowCount"], row["HotRowCount"]) == (2, 2, 2)
    assert row["TotalOriginalSize"] > 0
    assert "9.00:00:00" in row["RetentionPolicy"]
    assert [r["TableName"] for r in kusto.table(".show tables details")] == ["D", "S"]


def test_a_merge_that_fails_says_why(kusto) -> None:
    one, two = put(kusto, 1, "drop-by:a"), put(kusto, 2, "drop-by:b")
    kusto.rows(f".merge S ({one}, {two})")
    kusto.rows(f".merge S ({one}, {GONE})")
    told = kusto.rows(
        ".show operations | where Operation == 'ExtentsMerge' | project State, Status"
    )
    assert told == [
        ["Failed", "the extents have different sets of drop-by tags"],
        ["Abandoned", "some of the extents are gone"],
    ]


def test_tags_of_extents_that_are_gone_are_not_changed_and_no_others(kusto) -> None:
    one = put(kusto, 1, "a")
    query = f"range x from 1 to 2 step 1 | project ExtentId = iff(x == 1, '{one}', '{GONE}')"
    rows = kusto.rows(f".alter table S extent tags ('b') <| {query}")
    assert [row[:3] for row in rows] == [[one, "Failed", "null"], [GONE, "Failed", "null"]]
    assert GONE in rows[0][3]
    assert kusto.one(".show table S extents | project Tags") == "a"
    assert last_state(kusto, "ExtentTagsAlter") == "Failed"


def test_the_pages_way_to_drop_some_tags_leaves_the_others(kusto) -> None:
    put(kusto, 1, "ingest-by:a", "drop-by:x", "drop-by:y")
    kusto.rows(
        f".drop table S extent tags with ({WIDE}) <| .show table S extents "
        "| where isnotempty(Tags) | extend Tags = split(Tags, '\\r\\n') "
        "| mv-expand Tags to typeof(string) | where Tags startswith 'drop-by'"
    )
    assert kusto.one(".show table S extents | project Tags") == "ingest-by:a"


def test_what_is_no_id_of_an_extent_is_a_bad_request(kusto) -> None:
    for ident in ("x" * 36, "1", ""):
        query = f"print ExtentId = '{ident}', TableName = 'S'"
        for command in (".drop extents", ".move extents to table D"):
            with pytest.raises(KustoApiError, match="is no extent id"):
                kusto.rows(f"{command} <| {query}")


def test_nothing_is_older_than_time(kusto) -> None:
    put(kusto, 1)
    assert kusto.rows(".drop extents older 999999999 days from S") == []


@pytest.mark.parametrize(
    "rule",
    [
        {"do": "failed-rows"},
        {"do": "no-rows", "applied": False},
        {"do": "no-rows"},
        {"do": "lose-tags"},
    ],
)
def test_a_move_may_answer_200_and_not_have_moved_or_not_say_so(
    kusto, kusto_emulator, rule: dict
) -> None:
    put(kusto, 1, "ingest-by:a")
    kusto_emulator.faults.set({"on": "move-extents", **rule})
    rows = kusto.rows(".move extents all from table S to table D")
    moved = rule in ({"do": "no-rows"}, {"do": "lose-tags"})
    assert kusto.one("D | count") == moved
    assert kusto.one("S | count") == (not moved)
    if rule["do"] == "failed-rows":
        assert [row[1] for row in rows] == ["Failed"]
        assert last_state(kusto, "ExtentsMove") == "Failed"
    else:
        assert len(rows) == (rule["do"] == "lose-tags")
        assert last_state(kusto, "ExtentsMove") == "Completed"
    tags = {row[0] for row in kusto.rows(".show database Demo extents | project Tags")}
    assert tags == {"" if rule["do"] == "lose-tags" else "ingest-by:a"}


def test_every_form_of_a_move_is_read() -> None:
    one, two = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
    span = e.Span(dt.datetime(2023, 3, 10, 4, 5, 6), dt.datetime(2023, 3, 12))  # noqa: DTZ001
    options = (
        "extentCreatedOnFrom=datetime(2023-03-10 04:05:06), extentCreatedOnTo='2023-03-12T00:00Z'"
    )
    assert parse(".move extents all from table S to table D").command == e.MoveExtents("D", "S")
    assert parse(
        f".move async extents from table S to table ['a b'] with ({options}) ({one},{two})"
    ).command == e.MoveExtents("a b", "S", (one, two), span=span, asynchronous=True)
    assert parse(
        f".move extents to table D with (setNewIngestionTime = true) <| T | where x == '{one}'"
    ).command == e.MoveExtents("D", query=f" T | where x == '{one}'", new_ingestion_time=True)
    assert parse(".replace extents in table D <| {a | where x == '}'},{b}").command == (
        e.ReplaceExtents("D", "a | where x == '}'", "b")
    )


@pytest.mark.parametrize(
    "text",
    [
        ".move extents from table S to table D",
        ".move extents all from table S to table D with (speed=1)",
        ".move extents to table D",
        ".replace extents in table D <| {a}",
        ".replace extents in table D <| {a},{b",
        ".replace extents in table D <| {a},{b}}",
        ".replace extents in table D <| a,{b}",
        ".merge S",
        ".drop extents older many days from S",
        ".drop extents older 999999999999 days from S",
        ".cancel operation nothing",
        ".alter table S extent tags ('a')",
    ],
)
def test_malformed_commands_on_extents_are_syntax_errors(text: str) -> None:
    with pytest.raises(KustoError, match=r"Syntax error|not supported"):
        parse(text)
