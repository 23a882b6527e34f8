"""One seed, one schedule: rows, checkpoints, kills beside any port call, zombies, faults.

The seed of the simulator. Everything random is drawn from one `random.Random(seed)`, so a seed
that fails can be replayed. After the faults the world is healed and the job runs to its end: then
each row must be there once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from exactly_once_kusto.errors import FencedError
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.ports import Settings
from exactly_once_kusto.protocol.steps import PortAction
from exactly_once_kusto.testing.crash import LittleFlink, Verdict
from exactly_once_kusto.testing.drive import Crashed, Process, World
from exactly_once_kusto.testing.memory import MemoryLog, MemoryStaging, MemoryTarget

ACCESS_S = 120.0


@dataclass(slots=True)
class Schedule:
    """A random walk over what can happen to one job."""

    seed: int
    turns: int = 40
    dice: random.Random = field(init=False)
    flink: LittleFlink = field(init=False)
    history: list[str] = field(default_factory=list)
    kills: int = 0
    calm: bool = False

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        world = World(seed=self.seed)
        staging = MemoryStaging()
        target = MemoryTarget(
            staging,
            on_submit=self._submission,
            atomic=self.dice.random() < 0.5,
            access_lifetime_s=ACCESS_S,
            clock=lambda: world.now,
        )
        self.flink = LittleFlink(
            world, staging, MemoryLog(), target, settings=self._settings(), crash=self._crash
        )

    def _settings(self) -> Settings:
        """Hold slices back in a third of the schedules; small groups in a third."""
        return Settings(
            hold_age_s=self.dice.choice((0.0, 0.0, 5.0)),
            group_parts_max=self.dice.choice((500, 500, 2)),
            pending_slices_max=self.dice.choice((10_000, 3)),
        )

    def run(self) -> Verdict:
        """Walk, heal, finish; return the verdict. `history` can be read afterwards."""
        for _ in range(self.turns):
            self._guarded(self._turn)
            early = self.flink.verdict().early
            if early:
                return Verdict(early=early)
        self.calm = True
        self.flink.target.reachable = True
        for _ in range(10):
            if self._guarded(self._finish):
                break
        self._wake_zombies()
        return self.flink.verdict()

    def _guarded(self, what: object) -> bool:
        try:
            process = self.flink.process
            if process is None or process.error is not None:
                process = self._restart()
            assert callable(what)
            what()
        except Crashed as crash:
            self.kills += 1
            self._note(f"killed {crash}")
            self.flink.process = None
            return False
        process = self.flink.process
        return process is not None and process.error is None

    def _restart(self) -> Process:
        self._note("restart")
        process = self.flink.restart()
        if process.error is not None and not isinstance(process.error, FencedError):
            raise process.error
        return process

    def _turn(self) -> None:
        moves = [self._checkpoint, self._work, self._work, self._advance, self._advance]
        moves += [self._pause, self._wake_zombies, self._outage, self._sleep]
        self.dice.choice(moves)()

    def _checkpoint(self) -> None:
        flink = self.flink
        flink.produce(self.dice.randrange(4))
        snapshot = flink.snapshot()
        if snapshot is None or flink.process is None:
            return
        fate = self.dice.random()
        self._note(f"checkpoint {snapshot.number} at {snapshot.position}, fate {fate:.2f}")
        if fate < 0.15:
            flink.process.send(ev.CheckpointAborted(snapshot.number))
        else:
            flink.complete(snapshot, notify=fate < 0.8)

    def _work(self) -> None:
        process = self.flink.process
        assert process is not None
        for _ in range(self.dice.randrange(1, 8)):
            if process.todo:
                process.step(self.dice.randrange(len(process.todo)))

    def _advance(self) -> None:
        running = [c for c in self.flink.target.commands if c.phase != "ended"]
        if running:
            self.flink.target.advance(self.dice.choice(running), fail=self.dice.random() < 0.2)

    def _sleep(self) -> None:
        process = self.flink.process
        if process is not None and not process.todo:
            process.wake()

    def _pause(self) -> None:
        if self.flink.process is not None and len(self.flink.zombies) < 2:
            self._note("paused, given up by Flink")
            self.flink.zombies.append(self.flink.process)
            self.flink.process = None
            self._restart()

    def _wake_zombies(self) -> None:
        for zombie in self.flink.zombies:
            for _ in range(self.dice.randrange(1, 5)):
                if zombie.todo and zombie.error is None and self._may_still_act(zombie):
                    self._note("a zombie acts")
                    zombie.crash = lambda side, action: False
                    zombie.step()

    def _may_still_act(self, zombie: Process) -> bool:
        """A request that is sent after its access has expired can't read the parts: drop it."""
        action = zombie.todo[0]
        if not isinstance(action, ev.Submit):
            return True
        known = zombie.coordinator.ledger.transactions[action.transaction.id]
        expires_at = known.attempts[-1].expires_at
        return expires_at is not None and self.flink.world.now < expires_at

    def _outage(self) -> None:
        self.flink.target.reachable = not self.flink.target.reachable

    def _finish(self) -> None:
        self.flink.finish()

    def _crash(self, side: str, action: PortAction) -> bool:
        return not self.calm and self.dice.random() < 0.02

    def _submission(self) -> str:
        if self.calm:
            return "take"
        fates = ["take"] * 6 + ["lose-request", "lose-reply", "refuse", "not-sent"]
        return self.dice.choice(fates)

    def _note(self, line: str) -> None:
        self.history.append(line)
