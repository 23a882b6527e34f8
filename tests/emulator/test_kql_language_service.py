"""Every text that the sink sends is what Microsoft's own language service takes for Kusto's."""

from __future__ import annotations

import inspect
import uuid

import pytest

from exactly_once_kusto.kusto import command

from .language_service import diagnostics

NAMES = ("Flights", 'it\'s my "table"', "where", "back\\slash-ä.[x]")
GUID = str(uuid.UUID(int=7))
TAG = "run-7f/00012-4c1d"


def sent() -> dict[str, list[str]]:
    """What every function of `command` that makes a text makes, for plain and hostile names."""
    columns = ["id", "my column", "it's", 'q"q', "a.b"]
    sources = [
        "https://a.blob.core.windows.net/c/p.parquet?sv=1&sig=a%2Fb;token='x'",
        "file:///d/p",
    ]
    per_name = {
        "ingest_command": lambda n: command.ingest_command(n, columns, sources, TAG, "parquet"),
        "show_tagged_extents": lambda n: command.show_tagged_extents(n, TAG),
        "show_extents": lambda n: command.show_extents(n, [GUID, GUID]),
        "show_schema": command.show_schema,
        "count_tables": command.count_tables,
    }
    texts = {name: [make(table) for table in NAMES] for name, make in per_name.items()}
    texts["show_policy"] = [
        *(command.show_policy("table", name, "retention") for name in NAMES),
        command.show_policy("table", "Flights", "extent_tags_retention"),
        command.show_policy("database", "Demo", "extent_tags_retention"),
    ]
    texts["show_operation"] = [command.show_operation(GUID)]
    texts["show_failures"] = [command.show_failures(GUID)]
    texts["show_details"] = [command.show_details(GUID)]
    texts["count_running_ingestions"] = [
        command.count_running_ingestions(1.7e9),
        command.count_running_ingestions(1.7e9, 1.8e9),
    ]
    return texts


PARTS = {
    # What is only ever a part of a text.
    "string_literal", "obfuscated_literal", "quote_name", "ingestion_mapping", "check_guid",
}  # fmt: skip


def test_no_text_of_the_sink_is_left_out() -> None:
    made_here = {
        name
        for name, value in inspect.getmembers(command, inspect.isfunction)
        if value.__module__ == command.__name__ and not name.startswith("_")
    }
    assert made_here == sent().keys() | PARTS


WRONG = [
    ".show operations | where Stte == 1",
    ".ingest into table",
    "Flights | where x = ",
    "print f(1)",
]


@pytest.fixture(scope="module")
def judged() -> dict[str, list[str]]:
    texts = [*(text for several in sent().values() for text in several), *WRONG]
    tables = dict.fromkeys(NAMES, "(id:long, ['my column']:string)")
    return dict(zip(texts, diagnostics(texts, tables), strict=True))


def test_microsofts_language_service_finds_nothing_wrong_in_what_the_sink_sends(judged) -> None:
    assert {text: found for text, found in judged.items() if found and text not in WRONG} == {}


def test_the_language_service_does_find_what_is_wrong(judged) -> None:
    assert all(judged[text] for text in WRONG)
