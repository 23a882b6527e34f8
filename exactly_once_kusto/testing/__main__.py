"""`python -m exactly_once_kusto.testing`: play schedules; replay, tell and shrink one that failed.

--first N --count N    play the schedules of these seeds, stop at the first that fails
--seed N               tell the whole story of one seed, cut down as far as it still fails
"""

from __future__ import annotations

import argparse
import sys

from exactly_once_kusto.testing.campaign import run
from exactly_once_kusto.testing.schedules import Schedule, draw, shrink
from exactly_once_kusto.testing.simulation import Outcome, simulate


def main() -> int:
    """Play what the command line asks for; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m exactly_once_kusto.testing", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so long")
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    if given.count < 1 or (given.processes or 1) < 1 or min(given.first, given.seed or 0) < 0:
        parser.error("--count and --processes begin at 1, seeds at 0")
    if given.seed is not None:
        outcome = smallest(draw(given.seed))
        print(outcome.story())
        return 0 if outcome.judgement.ok else 1
    campaign = run(given.first, given.count, given.processes, given.seconds)
    print(campaign)
    for seed, _, judgement in campaign.failures:
        print(f"seed {seed} FAILED: {judgement}")
        print(f"python -m exactly_once_kusto.testing --seed {seed}   tells its story")
    return 1 if campaign.failures else 0


def smallest(schedule: Schedule) -> Outcome:
    """Return the told outcome of a schedule, cut down as far as it fails in the same way."""
    kinds = simulate(schedule).judgement.kinds
    if kinds:
        schedule = shrink(schedule, lambda each: simulate(each).judgement.kinds == kinds)
    return simulate(schedule, told=True)


if __name__ == "__main__":
    sys.exit(main())
