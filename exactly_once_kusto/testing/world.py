"""What outlives a process in the simulator: the clock, and the traps that a schedule sets.

Nothing here is random: nonces count up, and every trap is told by the schedule. So a schedule
replays to the same history, call by call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from exactly_once_kusto.protocol.events import Moment

EPOCH_S = 1_700_000_000.0


class Crashed(BaseException):
    """The process was killed beside a port call. Not an Exception: nothing in it may catch it."""


@dataclass(frozen=True, slots=True)
class Trap:
    """What goes wrong within one turn, counted in port calls from its beginning; 0: never.

    `crash_at` counts both sides of a call: odd numbers kill before a call, even ones behind it.
    At call `fault_at` (`AT_SUBMIT`: at every request that changes something) the port does what
    `fault` says; at call `drift_at` the world moves on before the call is served.
    """

    crash_at: int = 0
    fault_at: int = 0
    fault: int = 0
    drift_at: int = 0


NO_TRAP = Trap()
AT_SUBMIT = -1


def _never() -> float:
    return math.inf


def _nothing() -> None:
    """Stands for a target's world that does not move."""


@dataclass(slots=True)
class World:
    """Clock, nonces, traps; and the notes of what happened, if they are wanted."""

    now: float = EPOCH_S
    trap: Trap = NO_TRAP
    drift: Callable[[], None] = _nothing
    due: Callable[[], float] = _never
    """When the target's world goes on by itself next."""
    serve: Callable[[], None] = _nothing
    """Let happen what is due."""
    """Lets the target's world move on by one step."""
    side: int = 0
    """Sides of port calls passed in this turn."""
    calls: int = 0
    """Port calls of the whole run."""
    nonces: int = 0
    notes: list[str] | None = None
    """What happened, line by line; None: nobody asks."""

    def begin_turn(self, trap: Trap) -> None:
        """Set the traps of the next turn."""
        self.trap, self.side = trap, 0

    def nonce(self) -> str:
        """Return a nonce that was never returned before."""
        self.nonces += 1
        return f"{self.nonces:032x}"

    def moment(self) -> Moment:
        """Return what is added to an event: the time, a nonce, and a jitter that varies."""
        self.nonces += 1
        return Moment(self.now, f"{self.nonces:032x}", self.nonces * 0.618033988749895 % 1.0)

    def turn_to(self, when: float) -> None:
        """Turn the clock; what is due on the way happens at its own time."""
        while (due := self.due()) <= when:
            self.now = max(self.now, due)
            self.serve()
        self.now = max(self.now, when)

    def note(self, line: str) -> None:
        """Write down what happened."""
        if self.notes is not None:
            self.notes.append(line)


class Gate:
    """The way of one process to the world: every port call passes it twice, in and out."""

    __slots__ = ("alive", "name", "world")

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True

    def enter(self, call: str, on: str = "") -> int:
        """Begin a port call; return the fault that it shall have, 0 for none.

        Raises:
            Crashed: the process is dead, or dies here.
        """
        world = self.world
        if not self.alive:
            raise Crashed(f"{self.name} is dead")
        world.calls += 1
        world.side += 1
        if world.side == world.trap.crash_at:
            self._die(f"before {call} {on}")
        if world.notes is not None:
            world.note(f"{self.name}: {call} {on}")
        trap, at = world.trap, (world.side + 1) >> 1
        if at == trap.drift_at:
            world.drift()
        faulty = at == trap.fault_at or (trap.fault_at == AT_SUBMIT and call == "submit")
        return trap.fault if faulty else 0

    def leave(self, call: str, on: str = "") -> None:
        """End a port call: its effect stands, but the process may die before it knows.

        Raises:
            Crashed: the process dies here.
        """
        self.world.side += 1
        if self.world.side == self.world.trap.crash_at:
            self._die(f"after {call} {on}")

    def _die(self, where: str) -> None:
        self.alive = False
        self.world.note(f"{self.name}: KILLED {where}")
        raise Crashed(f"{self.name} {where}")
