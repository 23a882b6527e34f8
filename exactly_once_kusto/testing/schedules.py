"""A schedule is data: the habits of its world, and turn by turn what happens. Made from a seed.

So it replays exactly, can be printed, cut down, and written into a test.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from exactly_once_kusto.protocol.ports import Settings
from exactly_once_kusto.testing.simulated_kusto import Habits
from exactly_once_kusto.testing.world import AT_SUBMIT, NO_TRAP, Trap

SETTLE_S = 60.0
KEPT_S = 86_400.0
"""What the policies of retention say, where there is one."""

MOVES: dict[str, int] = {
    # what a job does in ordinary times
    "round": 10,
    "work": 14,
    "settle": 2,
    "rows": 2,
    "checkpoint": 2,
    "savepoint": 1,
    "writer": 3,
    "channel": 3,
    "complete": 3,
    "notice": 3,
    "abort": 1,
    "wake": 4,
    "end": 1,
    "stop": 1,
    # what happens to it
    "fail": 2,
    "pause": 2,
    "zombie": 3,
    "clone": 1,
    "rewind": 1,
    "fresh": 1,
    # what happens to the target and to time
    "advance": 8,
    "deliver": 2,
    "outage": 1,
    "restart": 1,
    "merge": 2,
    "expire": 1,
    "forget": 1,
    "storage outage": 1,
    "later": 3,
}
"""What may happen in a turn, and how often it is drawn."""

BATCH_ENDS = 40
"""How often the input of a batch is drawn to end: before that nothing is committed."""

TAGS_EXPIRE = 20
"""How often time passes where a tag may go meanwhile."""
SLOW_S = 1500.0
"""Longer than access to the parts lives, and the settle time after it."""
LATE_S = (math.inf, 20.0, 400.0, SETTLE_S - 10.0, 880.0)
"""The last two: shortly before an attempt is closed, or its access to the parts ends."""
FOREIGN = (0, 0, 0, 0, 0, 0, 1, 7, 7)
"""Rows of others that a merge brings in: none, as many as half a command may lack, or more."""
FIRST_PICKS = (0, 0, 1, 1, 0x700)
"""First rounds: nobody is told of the checkpoint, the coordinator is, and a savepoint."""

LENGTHS = (1, 2, 2, 2, 3, 3, 4, 4, 5, 6, 8, 10, 16)
"""Turns of a schedule: many short ones, in which a fault meets an ordinary job, and some long."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: a move, which of several it means, and what goes wrong meanwhile."""

    move: str
    pick: int = 0
    trap: Trap = NO_TRAP

    def __str__(self) -> str:
        trap = self.trap
        wrong = [
            f"{name}={value}"
            for name, value in (
                ("crash_at", trap.crash_at),
                ("fault_at", trap.fault_at),
                ("fault", trap.fault),
                ("drift_at", trap.drift_at),
            )
            if value
        ]
        return " ".join([f"{self.move} {self.pick}", *wrong])


@dataclass(frozen=True, slots=True)
class Setting(Habits):
    """What a schedule's world is like, from its beginning to its end: Kusto, and the job.

    `expiring`: the parts lie where access ends by itself.
    """

    writers: int = 2
    expiring: bool = True
    on_rewind: str = "refuse"
    batch: bool = False
    group_parts: int = 500
    hold_age_s: float = 0.0
    pending_slices: int = 10_000
    commit_wait_s: float = 10.0

    @property
    def kept_s(self) -> float | None:
        """How long Kusto keeps evidence; None: for ever."""
        periods = (self.tags_kept_s, self.rows_kept_s)
        return min((each for each in periods if each is not None), default=None)

    def settings(self) -> Settings:
        """Return the sink's settings."""
        return Settings(
            on_rewind=self.on_rewind,
            commit_wait_s=self.commit_wait_s,
            settle_s=SETTLE_S,
            # Looks are rare here: the clock is turned by hand, and each look costs time of the run.
            poll_max_s=2000.0,
            group_parts_max=self.group_parts,
            hold_age_s=self.hold_age_s,
            pending_slices_max=self.pending_slices,
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """A setting and its turns; `seed` says where it came from, None for 'written by hand'."""

    setting: Setting
    turns: tuple[Turn, ...]
    seed: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        given = [f"seed {self.seed}"] if self.seed is not None else []
        return "\n".join([*given, str(self.setting), *map(str, self.turns)])


def draw(seed: int) -> Schedule:
    """Make the schedule of a seed."""
    dice = random.Random(seed)
    turns = dice.choice(LENGTHS)
    names, weights = list(MOVES), list(MOVES.values())
    setting = _draw_setting(dice)
    if setting.batch:
        weights[names.index("end")] = BATCH_ENDS
    if setting.kept_s is not None:
        weights[names.index("later")] = TAGS_EXPIRE
    moves = dice.choices(names, weights, k=turns)
    drawn = tuple(Turn(move, dice.getrandbits(16), _draw_trap(dice)) for move in moves)
    return Schedule(setting, (Turn("round", dice.choice(FIRST_PICKS)), *drawn), seed)


def _draw_setting(dice: random.Random) -> Setting:
    chance = dice.random
    expiring = chance() < 0.7
    late_s = dice.choice(LATE_S)
    # A request that arrives at the last moment is the more dangerous the later it is seen.
    hidden = 0.5 if late_s in LATE_S[-2:] else 0.15
    faulty = dice.choice((0, 0, 0, 0, 0, 0, 1, 1, 2))
    # Now and then all goes wrong with one command: its answer, its rows, and a merge behind it.
    together = chance() < 0.3
    kept = chance() if expiring else 1.0
    return Setting(
        writers=1 + dice.getrandbits(2) % 3,
        # Where access never expires, closing rests on time alone (docs/guarantee.md): a request
        # that is late beyond it is only harmless while Kusto's own check is atomic.
        atomic=not expiring or chance() < 0.4,
        expiring=expiring,
        records_late_s=SETTLE_S / 2 if chance() < hidden else 0.0,
        tags_kept_s=KEPT_S if kept < 0.2 else None,
        rows_kept_s=KEPT_S if 0.2 <= kept < 0.3 else None,
        on_rewind="allow" if chance() < 0.15 else "refuse",
        batch=chance() < 0.1,
        group_parts=2 if chance() < 0.2 else 500,
        hold_age_s=5.0 if chance() < 0.15 else 0.0,
        pending_slices=2 if chance() < 0.1 else 10_000,
        slow_s=SLOW_S if chance() < hidden else 0.0,
        late_s=late_s,
        faulty=faulty,
        fault=dice.choice((1, 2, 3, 3, 4)),
        lost=faulty if together else dice.choice((0, 0, 0, 1, 1, 2, 3)),
        loss=1 + dice.getrandbits(3) % 5,
        merges=faulty if together else dice.choice((0, 0, 0, 0, 1, 2, 3)),
        foreign=dice.choice(FOREIGN),
    )


def _draw_trap(dice: random.Random) -> Trap:
    kind = dice.getrandbits(4)
    if kind >= 8:
        return NO_TRAP
    at = 1 + dice.getrandbits(5 if kind & 1 else 6)
    if kind < 4:
        return Trap(crash_at=at)
    if kind == 4:
        return Trap(fault_at=AT_SUBMIT, fault=1 + dice.getrandbits(3) % 5)
    if kind < 7:
        return Trap(fault_at=(at + 1) >> 1, fault=1 + dice.getrandbits(3) % 5)
    return Trap(drift_at=1 + (at >> 2))


def shrink(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """Cut a failing schedule down while it still fails; return the smallest that was found.

    Turns are left out in ever smaller runs (delta debugging, Zeller 1999), then traps and picks.
    """
    turns, size = list(schedule.turns), max(1, len(schedule.turns) // 2)
    while size:
        start = 0
        while start < len(turns):
            shorter = turns[:start] + turns[start + size :]
            if fails(replace(schedule, turns=tuple(shorter))):
                turns = shorter
            else:
                start += size
        size //= 2
    for i, turn in enumerate(turns):
        for simpler in (
            replace(turn, trap=NO_TRAP, pick=0),
            replace(turn, trap=NO_TRAP),
            replace(turn, pick=0),
        ):
            shorter = [*turns[:i], simpler, *turns[i + 1 :]]
            if simpler != turn and fails(replace(schedule, turns=tuple(shorter))):
                turns = shorter
                break
    return replace(schedule, turns=tuple(turns))
