"""What the tests of the failure matrix ask of a scene at its end."""

from __future__ import annotations

from exactly_once_kusto.testing.scenarios import Scenario
from exactly_once_kusto.testing.simulated_storage import ROOT

HOUR_S = 3600.0


def finish_well(scene: Scenario) -> None:
    outcome = scene.end()
    assert outcome.judgement.ok, outcome.story()


def tried_parts(scene: Scenario) -> set[str]:
    """Names of the parts that are part of some transaction."""
    known = scene.ledger().transactions.values()
    parts = [part for each in known for part in each.transaction.parts]
    return {part.address.removeprefix(f"{ROOT}/") for part in parts}


def tried_checkpoints(scene: Scenario) -> list[list[int]]:
    known = scene.ledger().transactions.values()
    return [[piece.checkpoint for piece in each.transaction.slices] for each in known]
