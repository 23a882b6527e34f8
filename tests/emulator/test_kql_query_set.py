"""The query set: examples of Kusto's documentation, with the results that their pages print.

Each case of `query_set/*.json` cites its page; values are those of the wire. Every result agrees
with its page by `tests/conformance/documentation.py`, which compares more loosely: a page prints
rounded numbers and no types. Through Microsoft's SDK.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

SETS = Path(__file__).with_name("query_set")
CASES = [
    pytest.param(case, id=f"{path.stem}-{number}")
    for path in sorted(SETS.glob("*.json"))
    for number, case in enumerate(json.loads(path.read_text("utf-8")))
]
SORTED = re.compile(r"\b(sort|order|top)\b")


def test_the_set_is_as_large_as_promised() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("case", CASES)
def test_a_query_of_the_documentation_gives_what_its_page_prints(module_kusto, case: dict) -> None:
    table = module_kusto.table(case["query"])
    assert [f"{c.column_name}:{c.column_type}" for c in table.columns] == case["columns"]
    found, printed = table.raw_rows, case["rows"]
    if not SORTED.search(case["query"]):
        found, printed = (sorted(rows, key=json.dumps) for rows in (found, printed))
    assert len(found) == len(printed)
    for row, wanted in zip(found, printed, strict=True):
        assert [rounded(value) for value in row] == [rounded(value) for value in wanted]


def rounded(value):
    """Doubles to twelve digits: the last ones depend on the order of additions."""
    return float(f"{value:.12g}") if isinstance(value, float) else value
