"""Hypothesis searches by itself for a schedule that breaks the sink, and shrinks what it finds."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from exactly_once_kusto.protocol import judging
from exactly_once_kusto.testing.machine import Violation, sink_machine

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
SEARCH = settings(
    max_examples=150,
    stateful_step_count=15,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=CHECKS,
)


def test_hypothesis_finds_no_schedule_that_loses_or_doubles_a_row() -> None:
    run_state_machine_as_test(sink_machine(), settings=SEARCH)


def test_a_broken_sink_is_found_and_its_story_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tag is taken for completeness: half of a command's rows are enough."""

    def all_of_it(*_: object) -> judging.Verdict:
        return judging.Verdict.ALL

    monkeypatch.setattr("exactly_once_kusto.protocol.commit.judge", all_of_it)
    search = settings(SEARCH, phases=[Phase.generate, Phase.shrink], max_examples=400)
    with pytest.raises(Violation) as found:
        run_state_machine_as_test(sink_machine(), settings=search)
    assert found.value.judgement.lost
    turns = [line for line in str(found.value).splitlines() if line.startswith("-- ")]
    assert len(turns) <= 4, "it was not shrunk"
