"""Command texts: whatever the names are, a command stays one command with one meaning."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exactly_once_kusto.kusto import command

HOSTILE = st.text(
    st.one_of(st.sampled_from("'\"\\`@h[](){}|;,.\n\r\t\0 \u2028\u00a0ä€𝄞-"), st.characters()),
    max_size=40,
)
UNDONE = {"n": "\n", "r": "\r", "t": "\t"}


def read_literal(text: str, at: int) -> tuple[str, int]:
    """The value of the literal at `at` and where it ends, by the rules of string.md."""
    assert text[at] == "'"
    at += 1
    units: list[str] = []
    while text[at] != "'":
        if text[at] != "\\":
            assert text[at] not in "\r\n"
            units.append(text[at])
            at += 1
        elif text[at + 1] == "u":
            units.append(chr(int(text[at + 2 : at + 6], 16)))
            at += 6
        else:
            units.append(UNDONE.get(text[at + 1], text[at + 1]))
            at += 2
    joined = "".join(units).encode("utf-16-le", "surrogatepass")
    return joined.decode("utf-16-le", "surrogatepass"), at + 1


def literals(text: str) -> tuple[list[str], str]:
    """All literals of a command, and the text with each replaced by `?`."""
    values, rest, at = [], [], 0
    while at < len(text):
        if text[at] == "'":
            value, at = read_literal(text, at)
            values.append(value)
            rest.append("?")
        else:
            rest.append(text[at])
            at += 1
    return values, "".join(rest)


@given(HOSTILE)
def test_a_literal_reads_back_as_the_text(text):
    assert read_literal(command.string_literal(text), 0) == (
        text,
        len(command.string_literal(text)),
    )


@given(HOSTILE)
def test_a_literal_is_one_line_of_printable_characters(text):
    assert command.string_literal(text).isprintable()


@given(HOSTILE, st.lists(HOSTILE, min_size=1), st.lists(HOSTILE, min_size=1))
def test_an_ingest_command_has_one_shape_whatever_the_names(table, columns, sources):
    text = command.ingest_command(table, columns, sources, "t-0", "parquet")
    values, shape = literals(text)
    located = ", ".join(["h?"] * len(sources))
    assert shape == (
        f".ingest async into table [?] ({located}) with (format=?, tags=?, ingestIfNotExists=?, "
        "ingestionMapping=?)"
    )
    assert values[: 1 + len(sources)] == [table, *sources]
    data_format, tags, unless, mapping = values[1 + len(sources) :]
    assert (data_format, json.loads(tags)) == ("parquet", ["ingest-by:t-0"])
    assert json.loads(unless) == ["t-0"]
    assert [element["Column"] for element in json.loads(mapping)] == columns


@given(HOSTILE)
def test_a_path_leads_to_the_column_of_the_name(name):
    (element,) = json.loads(command.ingestion_mapping([name]))
    path = element["Properties"]["Path"]
    plain = re.fullmatch(r"\$\.([A-Za-z_][A-Za-z0-9_]*)", path)
    if plain:
        assert plain.group(1) == name
    else:
        assert path.startswith("$['")
        assert path.endswith("']")
        assert re.sub(r"\\(.)", r"\1", path[3:-2], flags=re.DOTALL) == name


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (
            command.show_tagged_extents("T", "t-0"),
            ".show table ['T'] extents where tags has 'ingest-by:t-0' "
            "| project ExtentId, RowCount, Tags, MinCreatedOn, MaxCreatedOn",
        ),
        (command.show_policy("table", "a'b", "retention"), None),
        (command.show_schema("T"), ".show table ['T'] schema as json | project Schema"),
        (
            command.count_running_ingestions(0.5),
            ".show operations | where StartedOn >= datetime(1970-01-01T00:00:00.500Z) and "
            "Operation contains 'Ingest' | summarize Ended = countif(State != 'InProgress' and "
            "State != 'Scheduled') by OperationId | where Ended == 0 | summarize Running = count()",
        ),
    ],
)
def test_texts(made, text):
    assert text is None or made == text


@pytest.mark.parametrize("text", ["", "x", "0" * 36, "1; .drop table T", "a" * 8 + "-1-2-3-4"])
def test_only_a_guid_gets_in_without_quotes(text):
    for make in (command.show_operation, command.show_details, command.show_failures):
        with pytest.raises(ValueError, match="no GUID"):
            make(text)
    with pytest.raises(ValueError, match="no GUID"):
        command.show_extents("T", [text])
