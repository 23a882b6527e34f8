"""Every interleaving of small scopes: no row doubled or early in any state, none of them stuck."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from exactly_once_kusto.protocol import judging
from exactly_once_kusto.testing.campaign import spare_garbage
from exactly_once_kusto.testing.copying import copied
from exactly_once_kusto.testing.exhaustive import SETTING, Scope, Walk, explore, tell

NOT_ATOMIC = replace(SETTING, atomic=False)
SMALL = {
    "one checkpoint, a kill, told or not": Scope(checkpoints=1, kills=1, zombies=0),
    "two checkpoints, a kill": Scope(checkpoints=2, kills=1, zombies=0, untold=0),
    "a zombie": Scope(checkpoints=1, kills=0, zombies=1, untold=0),
    "a message lost or late": Scope(checkpoints=1, kills=0, zombies=0, losses=1, untold=0),
}
LARGE = {
    "three checkpoints, two kills": Scope(checkpoints=3, kills=2, zombies=0, untold=0),
    "three checkpoints, a kill, told or not, time passes, check not atomic": Scope(
        checkpoints=3, kills=1, zombies=0, waits=1, setting=NOT_ATOMIC
    ),
    "two checkpoints, a kill, a zombie, check not atomic": Scope(
        checkpoints=2, kills=1, zombies=1, untold=0, setting=NOT_ATOMIC
    ),
    "two kills, a zombie": Scope(checkpoints=1, kills=2, zombies=1, untold=0),
    "a kill, a zombie, a message lost or late, check not atomic": Scope(
        checkpoints=1, kills=1, zombies=1, losses=1, untold=0, setting=NOT_ATOMIC
    ),
    "a kill, a failure, a message lost or late": Scope(
        checkpoints=1, kills=1, zombies=0, losses=1, failures=1, untold=0
    ),
}


def _visit(name: str, scope: Scope) -> None:
    found = explore(scope)
    print(f"{name}: {found}")
    if found.failure is not None:
        pytest.fail(tell(scope, found.failure[0]).story())
    assert found.complete


@pytest.mark.parametrize("name", SMALL)
def test_no_state_of_a_small_scope_is_wrong(name: str) -> None:
    _visit(name, SMALL[name])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", LARGE)
def test_no_state_of_a_larger_scope_is_wrong(name: str) -> None:
    spare_garbage()
    _visit(name, LARGE[name])


def test_a_broken_sink_is_found_in_a_small_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing found is taken for nothing there, whatever may still run."""
    monkeypatch.setattr(
        "exactly_once_kusto.protocol.commit.Commit._close",
        lambda commit, still_open, sighting, moment: commit._none_found(sighting, moment),
    )
    monkeypatch.setattr(
        "exactly_once_kusto.protocol.commit.Commit._none_found",
        lambda commit, sighting, moment: commit._mint(),
    )
    scope = Scope(checkpoints=1, kills=1, zombies=0, losses=1, untold=0, setting=NOT_ATOMIC)
    found = explore(scope)
    print(found)
    assert found.failure is not None
    assert found.failure[1].duplicated
    assert "request late" in str(found.failure[0]) or "reply lost" in str(found.failure[0])


def test_a_lost_row_is_found_in_a_small_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    """All is there as soon as anybody looks."""
    monkeypatch.setattr("exactly_once_kusto.protocol.commit.judge", lambda *_: judging.Verdict.ALL)
    found = explore(Scope(checkpoints=1, kills=0, zombies=0, failures=1, untold=0))
    assert found.failure is not None
    assert found.failure[1].lost


def test_a_copy_of_a_state_lives_a_life_of_its_own() -> None:
    """A copy goes on as the original does, and the original does not notice."""
    scope = Scope(checkpoints=2, kills=1, zombies=1, losses=1, failures=1)
    for seed in range(20):
        dice = random.Random(seed)
        original, second = Walk(scope), Walk(scope)
        for _ in range(30):
            moves = original.moves()
            assert moves == second.moves()
            if not moves:
                break
            other = copied(original)
            other.do(dice.choice(moves))
            move = dice.choice(moves)
            original.do(move)
            second = copied(second)
            second.do(move)
            assert original.mark() == second.mark(), (seed, original.script)
