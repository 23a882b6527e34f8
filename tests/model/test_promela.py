"""The commit protocol as a Promela model: it holds, and each of its guards is needed.

docs/reference/model.md says what stands for what. Searches are exhaustive within their budgets of
faults; one that is not complete fails.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.model import spin

pytestmark = pytest.mark.slow

HOLDS = [
    "ATOMIC=1 ZOMBIES=1 LOSSES=1",
    "CRASHES=2 LOSSES=1",
    "CRASHES=1 LOSSES=1 FAILS=1 PARTIALS=1 ABORTS=1",
    "ZOMBIES=1 LOSSES=1 FAILS=1",
    "ZOMBIES=2 ROWS=1",
    "ZOMBIES=1 LOSSES=1 EXPIRIES=1",
    "ZOMBIES=1 CRASHES=1 PARTIALS=1 ROWS=1",
    "CLONES=1 LOSSES=1",
    "CLONES=1 ABORTS=1",
    "ROWS=3 CRASHES=2",
    "ROWS=3 ZOMBIES=1",
]

ENDS = ["CRASHES=1 LOSSES=1", "ZOMBIES=1", "CLONES=1"]

GUARDS = [
    ("EAGER", "", "early"),
    ("NO_INTENT", "CRASHES=1", "duplicated"),
    ("REGROUP", "CRASHES=1", "duplicated"),
    ("COMMIT_BEFORE_INGEST", "", "lost"),
    ("TAG_IS_COMPLETE", "PARTIALS=1", "lost"),
    ("OPERATION_IS_EVIDENCE", "PARTIALS=1", "lost"),
    ("DELETE_FIRST", "FAILS=1", "lost"),
    ("NO_WAIT", "", "duplicated"),
    ("NO_CLOSE", "LOSSES=1", "duplicated"),
    ("NO_BUSY", "LOSSES=1", "duplicated"),
    ("NO_SECOND_LOOK", "LOSSES=1", "duplicated"),
    ("NO_EXPIRY", "CRASHES=1 EXPIRIES=1", "duplicated"),
    ("NO_EXPIRY", "ATOMIC=1 ZOMBIES=1 EXPIRIES=1", "duplicated"),
    ("NO_RESTORE", "CRASHES=1", "stuck"),
    ("NO_FENCE", "CLONES=1", "duplicated"),
    ("NO_REWIND", "CLONES=1", "duplicated"),
    ("NO_RECHECK", "CLONES=1", "duplicated"),
    ("REFUSED_START", "CLONES=1", "stuck"),
    ("NO_OWNER", "CLONES=1", "endless"),
]


@pytest.fixture(scope="module")
def tools() -> spin.Tools:
    return spin.tools()


def told(capsys: pytest.CaptureFixture[str], name: str, found: spin.Search) -> None:
    with capsys.disabled():
        print(f"\n{name}: {found}", end=" ")


@pytest.mark.parametrize("faults", HOLDS)
def test_a_history_breaks_no_promise(
    faults: str, tools: spin.Tools, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = spin.search(tools, tmp_path, faults.split())
    told(capsys, faults, found)
    assert found.violated is None


@pytest.mark.parametrize("faults", ENDS)
def test_every_history_ends(
    faults: str, tools: spin.Tools, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With Judge: it ends with all rows in, or before a person. No fairness is assumed."""
    found = spin.search(tools, tmp_path, faults.split(), cycles=True)
    told(capsys, f"ends, {faults}", found)
    assert found.violated is None


@pytest.mark.parametrize(("guard", "faults", "verdict"), GUARDS)
def test_a_guard_that_is_gone_is_missed(
    guard: str,
    faults: str,
    verdict: str,
    tools: spin.Tools,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    defines = [guard, "SPARE=2", *faults.split()]
    found = spin.search(tools, tmp_path, defines, shortest=True)
    told(capsys, f"{guard} {faults}".strip(), found)
    assert found.violated == verdict
    assert spin.history(tools, tmp_path, defines)


@pytest.mark.parametrize("guard", ["NO_BUSY", "NO_SECOND_LOOK"])
def test_an_atomic_ingest_forgives_a_second_command(
    guard: str, tools: spin.Tools, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where Kusto is atomic two commands at once do no harm; with today's guards there are none."""
    found = spin.search(tools, tmp_path, [guard, "ATOMIC=1", "CRASHES=1", "LOSSES=1"])
    told(capsys, f"{guard} ATOMIC=1", found)
    assert found.violated is None


def test_a_history_can_end_with_all_rows_in(tools: spin.Tools, tmp_path: Path) -> None:
    """Without this the model could hold because nothing happens in it."""
    found = spin.search(tools, tmp_path, ["FINISH", "CRASHES=1"], shortest=True)
    assert found.violated == "finished"


def test_an_endless_history_is_found(tools: spin.Tools, tmp_path: Path) -> None:
    found = spin.search(tools, tmp_path, ["NO_PAUSE", "LOSSES=1"], cycles=True)
    assert found.violated == "non-progress cycle"


def test_a_search_that_was_cut_is_no_proof(
    tools: spin.Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spin, "DEPTH_MAX", 50)
    with pytest.raises(spin.SpinError, match="max search depth too small"):
        spin.search(tools, tmp_path, [])


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = tmp_path / "apt-get"
    away.write_text("#!/bin/sh\necho the registry is away >&2\nexit 100\n")
    away.chmod(away.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/nowhere")
    monkeypatch.setattr(spin, "HOME", tmp_path / "share" / "spin")
    with pytest.raises(spin.SpinError, match=r"(?s)'spin' is not on PATH.*apt-get install spin"):
        spin.tools()
