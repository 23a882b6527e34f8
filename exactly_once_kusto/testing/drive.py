"""One coordinator in one thread, with a hand-turned clock: the driver of single stories.

It performs actions exactly as the worker does (`protocol.steps`), but one at a time and only when
told to, so that a crash can come before and after every port call and a process can be paused at
any line and wake later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from exactly_once_kusto.errors import ExactlyOnceError
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.coordinator import Coordinator
from exactly_once_kusto.protocol.ports import LedgerStore, Settings, Target
from exactly_once_kusto.protocol.steps import PortAction, perform
from exactly_once_kusto.testing.memory import MemoryBrake
from exactly_once_kusto.testing.world import Crashed, World


@dataclass(slots=True)
class Process:
    """A coordinator process. `crash` is asked before and after each port call."""

    world: World
    log: LedgerStore
    target: Target
    name: str = "memory"
    settings: Settings = field(default_factory=Settings)
    crash: Callable[[str, PortAction], bool] = lambda side, action: False
    brake: MemoryBrake = field(default_factory=MemoryBrake)
    coordinator: Coordinator = field(init=False)
    todo: list[PortAction] = field(default_factory=list)
    wakes: list[tuple[float, str]] = field(default_factory=list)
    states: dict[int, bytes] = field(default_factory=dict)
    released: list[int] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    ready: bool = False
    error: ExactlyOnceError | None = None
    calls: int = 0

    def __post_init__(self) -> None:
        self.coordinator = Coordinator(self.name, self.log.address, self.settings)

    def send(self, event: ev.Event) -> None:
        """Feed one event; sort what comes out."""
        for action in self.coordinator.handle(event, self.world.moment()):
            match action:
                case ev.Wake(key, delay_s):
                    self.wakes.append((self.world.now + delay_s, key))
                case ev.Say(level, message):
                    self.said.append(f"{level} {message}")
                case ev.Ready():
                    self.ready = True
                case ev.KeepState(checkpoint, data):
                    self.states[checkpoint] = data
                case ev.Release(checkpoint):
                    self.released.append(checkpoint)
                case ev.Stop(error):
                    self.error = error
                case _:
                    self.todo.append(action)

    def step(self, index: int = 0) -> None:
        """Perform one action that is due.

        Raises:
            Crashed: `crash` said so; the process must not be used again.
        """
        action = self.todo.pop(index)
        self.calls += 1
        if self.crash("before", action):
            raise Crashed(f"before {type(action).__name__}")
        reply = perform(action, self.log, self.target, self.brake)
        if self.crash("after", action):
            raise Crashed(f"after {type(action).__name__}")
        self.send(reply)

    def wake(self) -> bool:
        """Turn the clock to the next wake-up and send it; False if there is none."""
        if not self.wakes:
            return False
        self.wakes.sort()
        when, key = self.wakes.pop(0)
        self.world.now = max(self.world.now, when)
        self.send(ev.Woken(key))
        return True

    def run(self, until: Callable[[], bool], steps_max: int = 10_000) -> None:
        """Perform and wake until `until` holds or the process has stopped.

        Raises:
            Crashed: see `step`.
            TimeoutError: nothing is left to do, or `steps_max` was not enough.
        """
        for _ in range(steps_max):
            if until() or self.error is not None:
                return
            if self.todo:
                self.step()
            elif not self.wake():
                raise TimeoutError("nothing is left to do, and what was awaited has not happened")
        raise TimeoutError(f"what was awaited has not happened in {steps_max} steps")
