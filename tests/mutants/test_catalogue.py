"""The mutants can be built from today's code, and the simulator still tells them from the sink."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.build import StaleMutantError, build
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Change, Mutant
from tests.mutants.run import play

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
SECONDS = 30.0
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "mutants.md"


def test_no_two_mutants_have_one_name() -> None:
    doubled = [name for name, times in Counter(m.name for m in MUTANTS).items() if times > 1]
    assert doubled == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name)
def test_a_mutant_can_be_built_and_compiled(mutant: Mutant, tmp_path: Path) -> None:
    package = build(mutant, tmp_path) / "exactly_once_kusto"
    for change in mutant.changes:
        path = package / change.file
        compile(path.read_text("utf-8"), str(path), "exec")


def test_a_mutant_that_the_code_has_left_behind_is_refused_loudly(tmp_path: Path) -> None:
    gone = Change("protocol/commit.py", "no such text", "")
    with pytest.raises(StaleMutantError, match="this text 0 times"):
        build(Mutant("stale", "none", (gone,)), tmp_path)


def test_the_unchanged_sink_is_not_caught() -> None:
    done = play(None, SECONDS, count=300)
    assert (done.kinds, done.crashes, done.schedules) == ((), 0, 300), done.told


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("committed-before-ingest", "lost"),
        ("no-rewind-guard", "duplicated"),
        ("due-before-completion", "early"),
    ],
)
def test_the_simulator_catches_a_mutant(name: str, kind: str) -> None:
    done = play(BY_NAME[name], SECONDS)
    assert kind in done.kinds, done.verdict


def test_the_page_lists_every_mutant() -> None:
    listed = {
        line.split("|")[1].strip().strip("`")
        for line in PAGE.read_text("utf-8").splitlines()
        if line.startswith("| `")
    }
    assert listed == set(BY_NAME)
