"""Thousands of drawn schedules: no row is lost, doubled or early, no job is stuck or gives up.

EOK_SEED=17 EOK_SEEDS=1 replays one; `python -m exactly_once_kusto.testing --seed 17` tells it.
"""

from __future__ import annotations

import os

import pytest

from exactly_once_kusto.protocol import judging
from exactly_once_kusto.testing.campaign import Campaign, run
from exactly_once_kusto.testing.schedules import Schedule, draw, shrink
from exactly_once_kusto.testing.simulation import simulate

FIRST = int(os.environ.get("EOK_SEED", "0"))
COUNT = int(os.environ.get("EOK_SEEDS", "20000"))
MILLION = 1_000_000


def _passes(campaign: Campaign) -> None:
    print(campaign)
    for seed, _, judgement in campaign.failures:
        print(f"seed {seed}: {judgement}")
    if campaign.failures:
        pytest.fail(simulate(draw(campaign.failures[0][0]), told=True).story())


def test_no_schedule_loses_or_doubles_a_row() -> None:
    campaign = run(FIRST, COUNT)
    _passes(campaign)
    assert campaign.schedules == COUNT
    if COUNT > 1000:
        assert campaign.long > COUNT * 0.95, "the schedules are too short to prove much"
        assert campaign.restarts > COUNT / 5, "hardly anything was killed"


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_schedule_of_a_million_loses_or_doubles_a_row() -> None:
    campaign = run(MILLION, MILLION)
    _passes(campaign)
    assert campaign.schedules == MILLION


def test_a_seed_replays_to_the_same_history() -> None:
    for seed in range(FIRST, FIRST + 20):
        first, second = simulate(draw(seed), told=True), simulate(draw(seed), told=True)
        assert first.notes == second.notes
        assert first.judgement == second.judgement


def test_a_schedule_that_fails_is_cut_down_to_what_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A broken sink: a tag is taken for completeness. What is left is one half-done command."""

    def seen(_: str, rows: int, extents: object, others: object) -> judging.Verdict:
        return judging.Verdict.ALL if extents else judging.Verdict.NONE

    monkeypatch.setattr("exactly_once_kusto.protocol.commit.judge", seen)

    def fails(schedule: Schedule) -> bool:
        return simulate(schedule).judgement.kinds == ("lost",)

    seed = next(seed for seed in range(5000) if fails(draw(seed)))
    smallest = shrink(draw(seed), fails)
    assert len(smallest.turns) <= 3
    story = simulate(smallest, told=True).story()
    print(story)
    assert "PartiallySucceeded" in story
    assert story.splitlines()[-1].startswith("== lost: ")
