"""`python -m tests.mutants.run`: every mutant must be caught by the simulator (`make mutants`).

First the unchanged sink plays some thousand seeds, which must all be right. Then each mutant plays
the same seeds in a process of its own, until the first that goes wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.build import build
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant

PLAYER = Path(__file__).with_name("player.py")
SECONDS = 60.0
"""Of processor time: what a busy machine takes longer for is caught all the same."""
UNCHANGED_COUNT = 4000
WALL = 5
"""So many times as long as a process may use its core, it may take: others use the core too."""
GRACE_S = 60.0
"""What a process may take to start, and for the schedule that it is in the middle of."""
HEAD = ("mutant", "rule", "caught by", "seed", "schedules", "seconds")


@dataclass(frozen=True, slots=True)
class Play:
    """What came of one build. `kinds`: the verdict of the seed that failed; empty: none did."""

    kinds: tuple[str, ...]
    seed: int
    schedules: int
    seconds: float
    crashes: int = 0
    told: str = ""
    """The judgement, or how the build crashed."""

    @property
    def verdict(self) -> str:
        """What caught it; a crash is no verdict."""
        return ", ".join(self.kinds) or ("BROKEN" if self.crashes else "NOT CAUGHT")


def play(
    mutant: Mutant | None, seconds: float = SECONDS, first: int = 0, count: int | None = None
) -> Play:
    """Build a mutant (None: the unchanged sink) and play seeds until one fails."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        root = build(mutant, Path(folder))
        command = [sys.executable, str(PLAYER), "--build", str(root), "--first", str(first)]
        command += ["--seconds", str(seconds)]
        command += [] if count is None else ["--count", str(count)]
        environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
        begun = time.monotonic()
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                start_new_session=True,
                capture_output=True,
                text=True,
                timeout=WALL * seconds + GRACE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Play((), first, 0, WALL * seconds + GRACE_S, 1, "a schedule that does not end")
        took_s = time.monotonic() - begun
    if done.returncode != 0:
        return Play((), first, 0, took_s, 1, done.stderr[-2000:])
    found = json.loads(done.stdout)
    return Play(
        tuple(found["kinds"]),
        found["seed"],
        found["schedules"],
        took_s,
        found["crashes"],
        found["told"] or found["crash"],
    )


def play_all(mutants: tuple[Mutant, ...], seconds: float, at_a_time: int) -> Iterator[Play]:
    """Play some mutants, several at a time; what came of each, in their order."""
    with ThreadPoolExecutor(at_a_time, "mutant") as pool:
        yield from pool.map(lambda each: play(each, seconds), mutants)


def main() -> int:
    """Play what the command line asks for; 1 if a mutant was not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.run")
    parser.add_argument("names", nargs="*", help="of mutants; none: all of them")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each mutant")
    parser.add_argument("--at-a-time", type=int, default=2)
    parser.add_argument("--unchanged", type=int, default=UNCHANGED_COUNT, help="schedules")
    given = parser.parse_args()
    unknown = set(given.names) - {each.name for each in MUTANTS}
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))} (tests/mutants/catalogue.py)")
    mutants = tuple(each for each in MUTANTS if not given.names or each.name in given.names)
    right = _unchanged(given.unchanged)
    print(" | ".join(HEAD))
    caught = 0
    for mutant, done in zip(
        mutants, play_all(mutants, given.seconds, given.at_a_time), strict=True
    ):
        caught += bool(done.kinds)
        row = (mutant.name, mutant.rule, done.verdict, done.seed, done.schedules)
        print(" | ".join(map(str, (*row, f"{done.seconds:.1f}"))), flush=True)
        if done.crashes and not done.kinds:
            print(f"  crashed {done.crashes} time(s), first with {done.told}", flush=True)
    ok = right and caught == len(mutants) > 0
    print(f"mutants {len(mutants)} | caught {caught} | {'OK' if ok else 'FAILED'}")
    return 0 if ok else 1


def _unchanged(count: int) -> bool:
    """Play the unchanged sink: what it fails on, no mutant may be blamed for."""
    done = play(None, seconds=600.0, count=count)
    wrong = f"seed {done.seed}: {done.told}" if done.kinds or done.crashes else "failures 0"
    print(f"unchanged sink | schedules {done.schedules} | {done.seconds:.1f} s | {wrong}")
    return not done.kinds and not done.crashes and done.schedules == count


if __name__ == "__main__":
    sys.exit(main())
