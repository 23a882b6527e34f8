"""The guard, with processes that are cheaper than JVMs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exactly_once_kusto.cluster import ProcessError, wait_until
from exactly_once_kusto.cluster.processes import Launcher
from tests.process_state import is_gone

# A program with a child of its own, as a TaskManager has workers; the child ignores SIGTERM.
PROGRAM = ["/bin/sh", "-c", "(trap '' TERM; sleep 300) & echo ready; wait"]
OWNER = """
import os, signal, sys
from pathlib import Path
from exactly_once_kusto.cluster.processes import Launcher
launcher = Launcher()
directory = Path(sys.argv[1])
programs = [
    launcher.start(name, sys.argv[3:], os.environ, output_path=directory / name,
                   directory=directory)
    for name in ("one", "two")
]
if sys.argv[2] == "fork" and os.fork() == 0:
    signal.pause()  # holds the guard's pipe open
print(launcher.guard_pid, *[each.pid for each in programs], flush=True)
signal.pause()
"""


def members(group: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    started = Launcher()
    yield started
    started.close()


@pytest.mark.parametrize("how", ["plain", "fork"])
def test_processes_survive_the_sigkill_of_their_owner(how: str, tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), how, *PROGRAM],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert owner.stdout is not None
        guard, *groups = (int(word) for word in owner.stdout.readline().split())
        for group in groups:
            wait_until(lambda group=group: len(members(group)) == 2, 10, "program and child")
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait(10)
        wait_until(lambda: not any(members(group) for group in groups), 10, "the programs' end")
        wait_until(lambda: is_gone(guard), 15, "the guard's end")
    finally:
        for pid in members(owner.pid):
            os.kill(pid, signal.SIGKILL)
        owner.wait(10)
        owner.stdout.close()


def test_closing_leaves_a_child_behind(launcher: Launcher, tmp_path: Path) -> None:
    program = launcher.start(
        "one", PROGRAM, os.environ, output_path=tmp_path / "one", directory=tmp_path
    )
    wait_until(program.children, 10, "the child")
    assert program.log_text().strip() == "ready"
    launcher.close()
    assert not program.alive
    assert program.exit_code == -signal.SIGKILL
    wait_until(lambda: not members(program.pid), 5, "the child's end")
    assert is_gone(launcher.guard_pid)
    launcher.close()


def test_closing_hangs_on_a_paused_process(launcher: Launcher, tmp_path: Path) -> None:
    program = launcher.start(
        "one", PROGRAM, os.environ, output_path=tmp_path / "one", directory=tmp_path
    )
    program.send(signal.SIGSTOP, group=True)
    launcher.close()
    assert not program.alive


def test_number_of_an_ended_group_is_signalled_again(launcher: Launcher, tmp_path: Path) -> None:
    program = launcher.start(
        "one", ["/bin/true"], os.environ, output_path=tmp_path / "one", directory=tmp_path
    )
    launcher.end(program)
    assert program.group_ended()
    killed: list[int] = []
    original, os.killpg = os.killpg, lambda group, number: killed.append(group)
    try:
        program.send(signal.SIGKILL, group=True)
        launcher.close()
    finally:
        os.killpg = original
    assert killed == []


def test_process_is_started_without_a_guard(launcher: Launcher, tmp_path: Path) -> None:
    os.kill(launcher.guard_pid, signal.SIGKILL)
    wait_until(lambda: is_gone(launcher.guard_pid), 5, "the guard's end")
    with pytest.raises(ProcessError, match="start another"):
        launcher.start("one", PROGRAM, {}, output_path=tmp_path / "one", directory=tmp_path)


def test_wait_does_not_say_what_it_waited_for() -> None:
    with pytest.raises(TimeoutError, match=r"waited 0\.05 s for the moon; last seen: 0"):
        wait_until(lambda: 0, 0.05, "the moon", 0.01)
