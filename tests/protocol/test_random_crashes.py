"""Seeded schedules: kills, zombies, lost replies, outages; each row once. The seed is printed."""

from __future__ import annotations

import os

import pytest

from exactly_once_kusto.testing.schedule import Schedule

FIRST = int(os.environ.get("EOK_SEED", "0"))
COUNT = int(os.environ.get("EOK_SEEDS", "300"))


def test_no_schedule_loses_or_doubles_a_row() -> None:
    kills = 0
    for seed in range(FIRST, FIRST + COUNT):
        schedule = Schedule(seed)
        verdict = schedule.run()
        kills += schedule.kills
        if not verdict.ok:
            history = "\n".join(schedule.history)
            pytest.fail(f"seed {seed}: {verdict}\n{history}\nEOK_SEED={seed} EOK_SEEDS=1 replays")
    print(f"seeds {FIRST}-{FIRST + COUNT - 1}, kills {kills}")
    assert kills > COUNT / 4, "hardly anything was killed: the schedules prove little"


def test_a_seed_replays_to_the_same_history() -> None:
    first, second = Schedule(FIRST + 5), Schedule(FIRST + 5)
    assert first.run() == second.run()
    assert first.history == second.history
    assert first.flink.log.entries == second.flink.log.entries
