"""Spin, the model checker: found or fetched, and one search of a model with what came of it.

``spin`` comes from PATH, or from its Debian package, which is unpacked into this interpreter's
prefix and needs no root. The verifier that spin writes is C: it is compiled by ``cc`` or ``gcc``
from PATH, or by ``zig cc``, which is fetched from PyPI (``ziglang``) where there is neither.

    python -m tests.model.spin CLONES=1 NO_FENCE SPARE=2    prints the shortest history to an error
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

MODEL = Path(__file__).parent / "commit_protocol.pml"
HOME = Path(sys.prefix) / "share" / "spin"
ZIGLANG = "ziglang>=0.12"

FETCH_WAIT_S = 180.0
COMPILE_WAIT_S = 120.0
SEARCH_WAIT_S = 240.0
DEPTH_MAX = 100_000
MEMORY_MB_MAX = 2_000

VIOLATED = re.compile(r"^pan:\d+: (.*?) \(at depth (\d+)\)", re.MULTILINE)
PROMISE = re.compile(r"assertion violated\s+!\((\w+)\)")
TOLD = ("run ", "Flink", "Kusto", "access of", "tags of", "a person")
"""How the lines begin that the model prints on a trail."""
INCOMPLETE = (
    "Search not completed",
    "max search depth too small",
    "out of memory",
    "reached -DMEM",
    "hit the memory limit",
)


@dataclass(frozen=True, slots=True)
class Tools:
    """What is needed: the path of spin, and the command of a C compiler."""

    spin: str
    compiler: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found. `violated` is the broken promise, None where all hold.

    Where one is broken `depth` is the length of the trail in steps, else the deepest path.
    """

    violated: str | None
    states: int
    transitions: int
    depth: int
    seconds: float

    def __str__(self) -> str:
        """One line for people."""
        found = "holds" if self.violated is None else f"{self.violated} in {self.depth} steps"
        return (
            f"{found}: {self.states:,} states, {self.transitions:,} transitions, "
            f"depth {self.depth}, {self.seconds:.1f} s"
        )


class SpinError(RuntimeError):
    """Something is missing, or a search came to no answer; says what to do."""


def tools() -> Tools:
    """Return spin and a C compiler; what is missing is fetched.

    Raises:
        SpinError: one can't be had; says how to get it.
    """
    return Tools(_find_spin(), _find_compiler())


def search(
    tools: Tools,
    folder: Path,
    defines: Iterable[str],
    *,
    shortest: bool = False,
    cycles: bool = False,
) -> Search:
    """Search all histories of the model in `folder`, which is then full of what spin writes.

    `shortest`: breadth first, so that the trail is as short as one can be. `cycles`: look for
    histories without end as well.

    Raises:
        SpinError: the model or the verifier is faulty, or the search was not complete.
    """
    preprocessor = " ".join([*tools.compiler, "-E", "-x", "c"])
    flags = [f"-D{each}" for each in defines]
    _run([tools.spin, f"-P{preprocessor}", *flags, "-a", str(MODEL)], folder, COMPILE_WAIT_S)
    if not (folder / "pan.c").exists():
        raise SpinError(f"spin wrote no verifier for {MODEL.name} with {flags}")
    kind = ["-DNP"] if cycles else ["-DSAFETY"]
    kind += ["-DBFS"] if shortest else []
    # The short searches are over sooner than -O2 is.
    options = ["-O1" if shortest else "-O2", "-w", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MB_MAX}", *kind]
    _run([*tools.compiler, *options, "-o", "pan", "pan.c"], folder, COMPILE_WAIT_S)
    # -E: waiting for ever is judged by the model itself (Judge), where it knows what may wait.
    command = ["./pan", "-E", f"-m{DEPTH_MAX}", *(["-l"] if cycles else [])]
    return _parse(_run(command, folder, SEARCH_WAIT_S))


def history(tools: Tools, folder: Path, defines: Iterable[str]) -> str:
    """Return what happens on the trail that a search has left in `folder`, a line a step."""
    preprocessor = " ".join([*tools.compiler, "-E", "-x", "c"])
    flags = [f"-D{each}" for each in defines]
    trail = str(folder / f"{MODEL.name}.trail")
    command = [tools.spin, f"-P{preprocessor}", *flags, "-t", "-T", "-k", trail, str(MODEL)]
    lines = map(str.strip, _run(command, folder, COMPILE_WAIT_S).splitlines())
    return "\n".join(line for line in lines if line.startswith(TOLD))


def _parse(output: str) -> Search:
    found = VIOLATED.search(output)
    if found is None and (said := [each for each in INCOMPLETE if each in output]):
        raise SpinError(f"the search is no proof ({said[0]}):\n{output[-2000:]}")
    violated = None
    if found is not None:
        promise = PROMISE.search(found[1])
        violated = promise[1] if promise else found[1].strip()
    elif "errors: 0" not in output:
        raise SpinError(f"spin's verifier came to no verdict:\n{output[-2000:]}")
    depth = found[2] if found else _number(r"depth reached (\d+)", output)
    return Search(
        violated,
        int(_number(r"(\d+) states, stored", output)),
        int(_number(r"(\d+) transitions", output)),
        int(depth),
        float(_number(r"elapsed time ([\d.]+) seconds", output)),
    )


def _number(pattern: str, output: str) -> str:
    found = re.search(pattern, output)
    if found is None:
        raise SpinError(f"spin's verifier does not say '{pattern}':\n{output[-2000:]}")
    return found[1]


def _run(command: Sequence[str], folder: Path, wait_s: float) -> str:
    """Run in a session of its own, which ends with it; return all that it wrote.

    Raises:
        SpinError: it failed, or took longer than `wait_s`.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=wait_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        told = f"{command[0]} took over {wait_s:.0f} s; it wrote: {output[-500:]}"
        raise SpinError(told) from None
    if process.returncode:
        raise SpinError(f"{' '.join(command)} failed ({process.returncode}): {output[-1000:]}")
    return output


def _find_spin() -> str:
    found = shutil.which("spin") or shutil.which("spin", path=str(HOME / "usr" / "bin"))
    if found is not None:
        return found
    try:
        _unpack_spin()
    except (SpinError, OSError) as error:
        raise SpinError(
            "the model checker 'spin' is not on PATH, and its Debian package can't be fetched: "
            f"{error}\nInstall it (Debian: apt-get install spin; else https://spinroot.com) "
            "so that 'spin -V' works"
        ) from error
    return str(HOME / "usr" / "bin" / "spin")


def _unpack_spin() -> None:
    """Unpack beside, then rename: a half of it is never taken for the whole."""
    HOME.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME.parent, prefix="spin-") as place:
        folder = Path(place)
        try:
            _run(["apt-get", "download", "spin"], folder, FETCH_WAIT_S)
        except SpinError:  # no package lists, or old ones: own ones need no root
            lists = folder / "lists"
            (lists / "partial").mkdir(parents=True)
            own = [f"-oDir::State::lists={lists}", f"-oDir::Cache={folder}/cache"]
            _run(["apt-get", *own, "update"], folder, FETCH_WAIT_S)
            _run(["apt-get", *own, "download", "spin"], folder, FETCH_WAIT_S)
        packages = sorted(folder.glob("spin_*.deb"))
        if not packages:
            raise SpinError("apt-get downloaded no package")
        whole = folder / "whole"
        _run(["dpkg-deb", "-x", str(packages[0]), str(whole)], folder, FETCH_WAIT_S)
        shutil.rmtree(HOME, ignore_errors=True)
        whole.rename(HOME)


def _find_compiler() -> tuple[str, ...]:
    found = shutil.which("cc") or shutil.which("gcc")
    if found is not None:
        return (found,)
    if find_spec("ziglang") is None:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", ZIGLANG]
        try:
            _run(pip, Path.cwd(), FETCH_WAIT_S)
        except SpinError as error:
            raise SpinError(
                "there is no C compiler: neither 'cc' nor 'gcc' on PATH, and 'ziglang' can't be "
                f"installed: {error}\nInstall one (Debian: apt-get install gcc)"
            ) from error
    return (sys.executable, "-m", "ziglang", "cc")


def main(defines: Sequence[str]) -> None:
    """Print what a search with these -D finds, and how it comes to it."""
    with tempfile.TemporaryDirectory(prefix="spin-") as place:
        folder, found = Path(place), tools()
        result = search(found, folder, defines, shortest=True)
        if result.violated is not None:
            print(history(found, folder, defines))
        print(result)


if __name__ == "__main__":
    main(sys.argv[1:])
