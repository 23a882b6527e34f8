"""Each counterexample that shaped the protocol: gone with today's wording, found with the earlier.

A story is played twice. With the code as it is nothing may be wrong; with the earlier wording the
verdict must be the one that made it be changed: or the story has lost its point.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from exactly_once_kusto.testing.scenarios import Scenario
from tests.simulation import earlier
from tests.simulation import stories_of_commits as commits
from tests.simulation import stories_of_starts as starts

Story = Callable[[], Scenario]

COUNTEREXAMPLES: tuple[tuple[Story, earlier.Wording, str], ...] = (
    (
        commits.sent_after_the_successor_looked,
        earlier.what_is_not_seen_running_is_closed,
        "duplicated: a0",
    ),
    (
        commits.tag_expires_between_two_commands,
        earlier.what_is_not_seen_running_is_closed,
        "duplicated: a0",
    ),
    (commits.look_from_before_the_end_of_access, earlier.count_first_then_close, "duplicated: a0"),
    (commits.command_outlives_its_access, earlier.expired_access_closes, "duplicated: a0"),
    (commits.record_appears_after_access_expired, earlier.no_settle_time, "duplicated: a0"),
    (commits.answer_lost_behind_the_request, earlier.client_retries, "duplicated: a0"),
    (commits.killed_behind_the_request, earlier.no_intent, "duplicated: a0"),
    (
        commits.command_runs_when_its_successor_comes,
        earlier.known_operation_is_not_awaited,
        "duplicated: a0",
    ),
    (commits.half_of_the_rows, earlier.tag_is_completeness, "lost: a1"),
    (commits.command_fails, earlier.end_of_operation_is_success, "lost: a0"),
    (commits.evidence_expires_before_it_is_seen, earlier.evidence_never_expires, "duplicated: a0"),
    (starts.sleeper_starts_late, earlier.fenced_for_good, "unknown: job-1 (FencedError)"),
    (
        starts.savepoint_before_the_first_checkpoint,
        earlier.no_state_is_a_fresh_start,
        "duplicated: a0",
    ),
    (starts.branch_ends_while_the_origin_is_down, earlier.guard_on_numbers, "duplicated: a1"),
    (starts.two_branches_with_one_number, earlier.guard_on_numbers, "duplicated: a1"),
    (
        starts.accepted_and_restarted,
        earlier.acceptance_begins_a_lineage,
        "unknown: job-3 (RewindError)",
    ),
    (starts.accepted_beside_a_running_job, earlier.lineages_fence_apart, "duplicated: a2"),
    (starts.fenced_reader_snapshots, earlier.fenced_when_it_appends, "duplicated: a1"),
    (
        starts.retried_after_an_accepted_rewind,
        earlier.guard_counts_retries,
        "unknown: job-3 (RewindError)",
    ),
    (
        starts.refused_beside_a_running_job,
        earlier.start_before_the_check,
        "unknown: job-1 (NameTakenError)",
    ),
    (starts.accepted_while_a_command_runs, earlier.acceptance_frees_slices, "duplicated: a0"),
    (starts.taken_over_before_its_intent, earlier.nobody_is_fenced, "duplicated: a1"),
    (
        starts.fresh_job_under_a_used_name,
        earlier.guard_on_numbers_of_any_lineage,
        "unknown: job-2 (RewindError)",
    ),
)
"""Story, the wording that it refutes, how the verdict on that wording begins."""

STORIES = [pytest.param(story, id=story.__name__) for story, _, _ in COUNTEREXAMPLES]
REFUTED = [
    pytest.param(*each, id=f"{each[0].__name__}-{each[1].__name__}") for each in COUNTEREXAMPLES
]


@pytest.mark.parametrize("story", STORIES)
def test_todays_wording_withstands(story: Story) -> None:
    outcome = story().end()
    assert outcome.judgement.ok, outcome.story()


@pytest.mark.parametrize(("story", "wording", "verdict"), REFUTED)
def test_the_earlier_wording_is_refuted(
    story: Story, wording: earlier.Wording, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wording(monkeypatch)
    outcome = story().end()
    assert str(outcome.judgement).startswith(verdict), outcome.story()
