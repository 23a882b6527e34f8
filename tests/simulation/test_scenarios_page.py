"""docs/reference/scenarios.md names every scenario and no other, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

from tests.simulation import earlier
from tests.simulation.test_counterexamples import COUNTEREXAMPLES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "scenarios.md").read_text("utf-8")


def test_the_page_names_every_counterexample_and_wording() -> None:
    stories = {story.__name__ for story, _, _ in COUNTEREXAMPLES}
    wordings = {wording.__name__ for _, wording, _ in COUNTEREXAMPLES}
    table = PAGE.partition("## The failure matrix")[0]
    named = {name for name in re.findall(r"`([a-z_]+)`", table) if "_" in name}
    assert named == stories | wordings
    assert all(hasattr(earlier, name) for name in wordings)


def test_the_page_names_every_test_of_the_failure_matrix() -> None:
    files = Path(__file__).parent.glob("test_failure_matrix*.py")
    tests = {n for file in files for n in re.findall(r"^def (test_\w+)", file.read_text(), re.M)}
    assert set(re.findall(r"`(test_[a-z_]+)`", PAGE)) == tests


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(compile(example, "scenarios.md", "exec"), {})
