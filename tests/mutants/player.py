"""Plays seeds against the build that is on the path, until one fails; prints what came of it.

Run by path, in a process of its own (run.py): what is imported is the mutant, not the project.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

from exactly_once_kusto import testing
from exactly_once_kusto.testing.campaign import spare_garbage
from exactly_once_kusto.testing.schedules import draw
from exactly_once_kusto.testing.simulation import simulate


def play(first: int, count: int, seconds: float) -> dict[str, object]:
    """Play until the first verdict. A crash of the simulation is none: it is counted, and told."""
    until = time.process_time() + seconds
    crashes, crash = 0, ""
    seed = first
    for seed in range(first, first + count):
        try:
            outcome = simulate(draw(seed))
        except Exception:
            crashes += 1
            crash = crash or f"seed {seed}: {traceback.format_exc(limit=-4)}"
        else:
            if not outcome.judgement.ok:
                kinds, told = outcome.judgement.kinds, str(outcome.judgement)
                return _found(first, seed, crashes, crash, kinds, told)
        if time.process_time() > until:
            break
    return _found(first, seed, crashes, crash, (), "")


def _found(
    first: int, seed: int, crashes: int, crash: str, kinds: tuple[str, ...], told: str
) -> dict[str, object]:
    return {
        "seed": seed,
        "schedules": seed - first + 1,
        "crashes": crashes,
        "crash": crash,
        "kinds": list(kinds),
        "told": told,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1_000_000_000)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    loaded = Path(str(testing.__file__)).resolve()
    if not loaded.is_relative_to(given.build.resolve()):
        raise SystemExit(f"{loaded} was loaded, not the build in {given.build}")
    spare_garbage()
    json.dump(play(given.first, given.count, given.seconds), sys.stdout)


if __name__ == "__main__":
    main()
