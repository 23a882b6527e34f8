"""The simulator turned on a sink that has nothing to do with Kusto, as an author would do it."""

from __future__ import annotations

from dataclasses import replace

from exactly_once_kusto.testing.schedules import Setting, draw
from exactly_once_kusto.testing.simulation import simulate
from exactly_once_kusto.testing.truth import Truth
from exactly_once_kusto.testing.world import World

from .shelf_sink import Shelf


def shelf(world: World, truth: Truth, setting: Setting) -> Shelf:
    return Shelf(world, truth, replace(setting.settings(), settle_s=0.0))


def careless(world: World, truth: Truth, setting: Setting) -> Shelf:
    return Shelf(world, truth, replace(setting.settings(), settle_s=0.0), checked=False)


def test_a_sink_of_ones_own_keeps_its_rows() -> None:
    restarts = 0
    for seed in range(400):
        outcome = simulate(draw(seed), shelf)
        assert outcome.judgement.ok, simulate(draw(seed), shelf, told=True).story()
        restarts += outcome.restarts
    assert restarts > 50


def test_a_careless_sink_of_ones_own_is_caught() -> None:
    kinds = {kind for seed in range(400) for kind in simulate(draw(seed), careless).judgement.kinds}
    assert "duplicated" in kinds or "unknown" in kinds
