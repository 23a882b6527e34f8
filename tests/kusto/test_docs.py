from __future__ import annotations

import re
from pathlib import Path

import pytest

from exactly_once_kusto import errors
from exactly_once_kusto.kusto.columns import GOES_INTO
from exactly_once_kusto.kusto.config import OPTIONS
from exactly_once_kusto.kusto.units import duration_text, size_text

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "options.md").read_text("utf-8")
ROWS = [[c.strip() for c in line.split(" | ")] for line in PAGE.splitlines() if line[:2] == "| "]
BY_KEY = {row[0].strip("| `"): row for row in ROWS if len(row) == 5}
ERRORS = [
    name
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, errors.ExactlyOnceError)
]
SYNONYMS = {"INTEGER", "NUMERIC", "DEC"}


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.key)
def test_every_option_is_documented_with_field_default_and_refusals(option):
    _, field, default, _, refused = BY_KEY[option.key]
    assert field == f"`{option.field}`"
    if option.required:
        assert default == "required"
    elif option.default is not None:
        texts = {"duration": duration_text, "size": size_text}
        shown = texts.get(option.kind, str)(option.default)
        assert default.strip("`") in (shown, shown.removesuffix(" b"))
    for choice in set(option.choices) - set(option.works):
        assert f"`{choice}`" in refused


def test_no_option_is_documented_that_does_not_exist():
    heads = {"DDL key"}
    first_table = PAGE.partition("## Types")[0]
    listed = {key for key, row in BY_KEY.items() if f"{row[0]} |" in first_table}
    assert listed - heads == {option.key for option in OPTIONS}


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_documented(name):
    assert f"`{name}`" in PAGE


def test_no_error_is_documented_that_does_not_exist():
    named = set(re.findall(r"`(\w+Error)`", PAGE))
    assert named == set(ERRORS)


@pytest.mark.parametrize("word", sorted(set(GOES_INTO) - SYNONYMS))
def test_every_type_is_documented_with_the_columns_it_goes_into(word):
    types = PAGE.partition("## Types")[2].partition("## Errors")[0]
    (row,) = [r for r in ROWS if re.search(rf"`{word}[`(]", r[0]) and r[0] in types]
    assert tuple(re.findall(r"`(\w+)`", row[2])) == GOES_INTO[word]
