"""The simulator as a Hypothesis state machine: it searches by itself, and shrinks what it finds.

    class MySink(sink_machine(my_sink)):
        pass

    TestMySink = MySink.TestCase

Rules are the moves of a schedule; the judgement is taken after each for what can't be undone
(duplicated, early), and for all of it at the end. Source: Hypothesis, Stateful testing.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from exactly_once_kusto.testing.schedules import MOVES, SETTLE_S, Schedule, Setting, Turn
from exactly_once_kusto.testing.simulation import (
    Build,
    Simulation,
    begin,
    conclude,
    kusto_sink,
    simulate,
)
from exactly_once_kusto.testing.truth import Judgement
from exactly_once_kusto.testing.world import NO_TRAP, Trap

PICKS = st.integers(0, 1 << 16)
TRAPS = st.one_of(
    st.just(NO_TRAP),
    st.builds(Trap, crash_at=st.integers(1, 80)),
    st.builds(Trap, fault_at=st.integers(1, 30), fault=st.integers(1, 5)),
    st.builds(Trap, drift_at=st.integers(1, 30)),
)
ORDINARY: tuple[str, ...] = (
    *("round", "work", "settle", "rows", "checkpoint", "writer", "channel", "wake", "end"),
    *("complete", "notice", "advance"),
)


@st.composite
def settings(draw: st.DrawFn) -> Setting:
    """Settings whose promises the sink has to keep."""
    expiring = draw(st.booleans())
    return Setting(
        writers=draw(st.integers(1, 3)),
        # Where access never expires, closing rests on time alone: see schedules.draw.
        atomic=not expiring or draw(st.booleans()),
        expiring=expiring,
        records_late_s=draw(st.sampled_from((0.0, SETTLE_S / 2))),
        batch=draw(st.booleans()),
        group_parts=draw(st.sampled_from((500, 2))),
    )


class Violation(AssertionError):  # noqa: N818 - a finding, not an error
    """A judgement that is not OK; its text is the whole story."""

    def __init__(self, judgement: Judgement, story: str) -> None:
        self.judgement = judgement
        super().__init__(f"{judgement}\n{story}")


def sink_machine(build: Build = kusto_sink) -> type[RuleBasedStateMachine]:
    """Return a state machine for the sink that `build` makes."""

    class SinkMachine(RuleBasedStateMachine):
        """What Hypothesis does to the sink."""

        simulation: Simulation | None = None

        @initialize(setting=settings())
        def begin(self, setting: Setting) -> None:
            """Submit the first job."""
            self.setting = setting
            self.turns: list[Turn] = []
            self.simulation = begin(setting, build)

        @rule(move=st.sampled_from(ORDINARY), pick=PICKS, trap=TRAPS)
        def go_on(self, move: str, pick: int, trap: Trap) -> None:
            """Something ordinary happens, beside which a process may die."""
            self._turn(Turn(move, pick, trap))

        @precondition(lambda self: self.simulation is not None)
        @rule(move=st.sampled_from(tuple(sorted(set(MOVES) - set(ORDINARY)))), pick=PICKS)
        def suffer(self, move: str, pick: int) -> None:
            """Something goes wrong with the job, the target or the people."""
            self._turn(Turn(move, pick))

        def teardown(self) -> None:
            """Heal and judge."""
            if self.simulation is not None:
                self._check(conclude(self.simulation, self._schedule()).judgement)

        def _turn(self, turn: Turn) -> None:
            assert self.simulation is not None
            self.turns.append(turn)
            self.simulation.turn(turn)
            so_far = self.simulation.truth.judge()
            self._check(Judgement(duplicated=so_far.duplicated, early=so_far.early))

        def _check(self, judgement: Judgement) -> None:
            if not judgement.ok:
                self.simulation = None
                raise Violation(judgement, simulate(self._schedule(), build, told=True).story())

        def _schedule(self) -> Schedule:
            return Schedule(self.setting, tuple(self.turns))

    return SinkMachine
