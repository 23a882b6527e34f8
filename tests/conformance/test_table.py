"""The table in the documentation and the cases say the same."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path

from .case import ROOT

PROJECT = Path(__file__).parents[2]
TABLE = PROJECT / "docs" / "reference" / "conformance.md"
STATES = ("supported", "partial", "deviates", "not yet")
ROW = re.compile(r"\| \[([\w/-]+)\]\((\S+)\) \| ([\w ]+) \| (.*)\|$")


@dataclass(frozen=True)
class Row:
    page: str
    address: str
    state: str
    note: str


def rows() -> list[Row]:
    found = []
    for line in TABLE.read_text("utf-8").splitlines():
        if line.startswith("| ["):
            match = ROW.fullmatch(line)
            assert match, f"not a row: {line}"
            found.append(Row(*(group.strip() for group in match.groups())))
    return found


def cases() -> dict[str, tuple[str, ...]]:
    """The pages that each case cites, by the case's name."""
    found: dict[str, tuple[str, ...]] = {}
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        if file.stem == Path(__file__).stem:
            continue
        module = importlib.import_module(f"{__package__}.{file.stem}")
        for name in dir(module):
            if name.startswith("test_"):
                found[name] = getattr(getattr(module, name), "pages", ())
    return found


def test_every_case_cites_a_page() -> None:
    assert [name for name, pages in cases().items() if not pages] == []


def test_every_cited_page_has_one_row_that_does_not_say_not_yet() -> None:
    listed = [row.page for row in rows()]
    assert len(listed) == len(set(listed))
    cited = {page for pages in cases().values() for page in pages}
    had = {row.page for row in rows() if row.state != "not yet"}
    assert cited - had == set()


def test_every_row_that_claims_something_has_a_case_or_names_a_test() -> None:
    cited = {page for pages in cases().values() for page in pages}
    for row in rows():
        if row.state == "not yet" or row.page in cited:
            continue
        named = re.findall(r"`(tests/\S+\.py)`", row.note)
        assert named, f"{row.page} claims '{row.state}' and nothing tests it"
        assert all((PROJECT / file).is_file() for file in named), row


def test_every_row_has_a_known_state_its_address_and_says_what_differs() -> None:
    for row in rows():
        assert row.state in STATES, row
        assert row.address == ROOT + row.page, row
        assert row.state == "supported" or row.note, row
