"""Every interleaving of a small scope, on the sink's own code: not drawn, but all of them.

The scope is a job of two writers with some checkpoints, kills, a zombie and lost messages. Two
ways to the same state (names of nonces apart) are one. In every state rows must be neither doubled
nor early, and where nothing but a fault can happen any more, all must come in, or a person must
have been asked with a reason (`Simulation.heal`).

What is reduced, and why nothing is missed by it:

* Both writers seal in one move: they share nothing but what they send, and a kill between the two
  leaves a part that no state knows.
* The log's lane runs until it has nothing to do: who loses a race for a number reads and decides
  again, so nothing but the order of entries can be seen from outside.
* A snapshot and a completion come where the log's lane is empty: what waits there would go first.
* Deletions and the brake are done at once: they follow `committed`, or carry no promise.
* What only reads the target is done at once where it reads the same now and later: no command is
  under way, no request is late, no other process has one to send; and the reader has the last
  `start`, so that anybody else needs a new one, which makes what was read useless.
* A run's survey and its preflight are done at once: it reads the log again before its `start`.
* A process is paused only before its `start` and before a request: anywhere else what it does comes
  before its successor's `start`, as if it had not been paused yet, or it learns that it is fenced.
* A zombie that will only learn that it is fenced is left out: it has nothing to submit.
* A completed checkpoint is told at once or never; told late, it is the same as told never and
  another one told.
* Where `ingestIfNotExists` is atomic, a command that is not refused reads and commits in one move.
* `commit_wait` is 0: how long Flink waits for a commit changes nothing of the commit.
* The clock stands while a command runs, but for `Scope.waits` times.
* Healing is tried where nothing but a fault can happen any more: all else that a healed world can
  do is visited as moves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol import jobs
from exactly_once_kusto.testing.copying import copied
from exactly_once_kusto.testing.flink_job import Job
from exactly_once_kusto.testing.marks import mark
from exactly_once_kusto.testing.processes import CoordinatorProcess, Running
from exactly_once_kusto.testing.schedules import Schedule, Setting
from exactly_once_kusto.testing.simulated_requests import LATE, REPLY_LOST, REQUEST_LOST
from exactly_once_kusto.testing.simulated_sink import KustoSubject
from exactly_once_kusto.testing.simulation import Outcome, begin, conclude
from exactly_once_kusto.testing.truth import Judgement
from exactly_once_kusto.testing.world import NO_TRAP, Trap

LOSSES = {"request lost": REQUEST_LOST, "reply lost": REPLY_LOST, "request late": LATE}
LOG, TARGET, TIDY = range(3)
FAULTS = ("kill", "pause")
SETTING = Setting(commit_wait_s=0.0)


@dataclass(frozen=True, slots=True)
class Scope:
    """How much may happen."""

    checkpoints: int = 3
    kills: int = 2
    zombies: int = 1
    losses: int = 0
    failures: int = 0
    waits: int = 0
    untold: int = 1
    """Completed checkpoints of which the coordinator is not told."""
    setting: Setting = SETTING


@dataclass(slots=True)
class Exploration:
    """What was visited. `complete` is False where a limit ended it."""

    scope: Scope
    states: int = 0
    moves: int = 0
    deepest: int = 0
    seconds: float = 0.0
    complete: bool = True
    failure: tuple[tuple[str, ...], Judgement] | None = None

    def __str__(self) -> str:
        ended = "all" if self.complete else "NOT ALL"
        return (
            f"{self.states} states ({ended}), {self.moves} moves, at most {self.deepest} deep, "
            f"{self.seconds:.0f} s"
        )


class Walk:
    """One way through the scope: a simulation, and what may still go wrong in it."""

    __slots__ = ("left", "scope", "script", "simulation")

    def __init__(self, scope: Scope) -> None:
        if scope.zombies > 1:
            raise ValueError("a scope has one zombie at most: moves name none")
        self.scope = scope
        self.script: tuple[str, ...] = ()
        self.simulation = begin(scope.setting)
        self.left = {
            "checkpoints": scope.checkpoints,
            "kills": scope.kills,
            "zombies": scope.zombies,
            "losses": scope.losses,
            "failures": scope.failures,
            "waits": scope.waits,
            "untold": scope.untold,
        }
        self._rest()

    @property
    def subject(self) -> KustoSubject:
        """The sink under test."""
        assert isinstance(self.simulation.subject, KustoSubject)
        return self.simulation.subject

    def moves(self) -> list[str]:
        """Return what may happen next."""
        return list(self._moves())

    def _moves(self) -> Iterator[str]:
        left, simulation = self.left, self.simulation
        job = simulation.current()
        if job is not None:
            yield from self._job_moves(job, simulation.running[job.id])
        for zombie in simulation.zombies:
            if zombie.coordinator.alive:
                yield from self._lanes("zombie ", zombie.coordinator)
        for i, _ in enumerate(self.subject.service.alive()):
            yield f"kusto {i}"
            if left["failures"]:
                yield f"kusto {i} fails"
        for i, _ in enumerate(self.subject.service.late):
            yield f"late {i}"

    def _job_moves(self, job: Job, running: Running) -> Iterator[str]:
        left, coordinator = self.left, running.coordinator
        settled = coordinator.ready and not coordinator.lanes[LOG]
        if left["checkpoints"] and settled and not job.pending:
            yield "snapshot"
        if job.completable() and settled:
            yield "complete"
            if left["untold"]:
                yield "complete untold"
        yield from self._lanes("", coordinator)
        if left["kills"]:
            yield "kill"
        if left["zombies"] and self._worth_a_pause(coordinator):
            yield "pause"
        waits = left["waits"] or not self.subject.service.alive()
        if waits and not coordinator.busy_lanes() and coordinator.wakes:
            yield "wake"

    def _worth_a_pause(self, coordinator: CoordinatorProcess) -> bool:
        """Whether it could still do something once it is fenced: begin, or send a request."""
        waiting = coordinator.lanes[TARGET]
        begins = coordinator.machine.lane.own_start is None
        return begins or any(isinstance(action, ev.Submit) for action in waiting)

    def _lanes(self, who: str, coordinator: CoordinatorProcess) -> Iterator[str]:
        if coordinator.lanes[LOG]:
            yield f"{who}log"
        if coordinator.lanes[TARGET]:
            yield f"{who}target"
            submits = isinstance(coordinator.lanes[TARGET][0], ev.Submit)
            if submits and self.left["losses"]:
                yield from (f"{who}target, {loss}" for loss in LOSSES)

    def do(self, move: str) -> None:
        """Let a move happen."""
        self.script = (*self.script, move)
        simulation = self.simulation
        words = move.split()
        if words[0] == "kusto":
            self._kusto(int(words[1]), fails=words[-1] == "fails")
        elif words[0] == "late":
            simulation.subject.act("deliver", int(words[1]), 0)
        elif words[0] == "zombie":
            self._lane(simulation.zombies[0].coordinator, move.removeprefix("zombie "))
        else:
            job = simulation.current()
            assert job is not None
            self._job(job, move)
        self._rest()

    def _kusto(self, index: int, fails: bool) -> None:
        service = self.subject.service
        if fails:
            self.left["failures"] -= 1
        operation = service.alive()[index]
        service.advance(operation, int(fails))
        if service.habits.atomic and operation.phase != "ended":
            service.advance(operation, int(fails))

    def _job(self, job: Job, move: str) -> None:
        simulation = self.simulation
        running = simulation.running[job.id]
        match move:
            case "snapshot":
                self._snapshot(job)
            case "complete" | "complete untold":
                self._complete(job, told=move == "complete")
            case "kill":
                self.left["kills"] -= 1
                simulation.fail(job, 0)
            case "pause":
                self.left["zombies"] -= 1
                simulation.pause(job, 0)
            case "wake":
                self.left["waits"] -= bool(self.subject.service.alive())
                simulation.wake(job, 0)
            case _:
                self._lane(running.coordinator, move)

    def _snapshot(self, job: Job) -> None:
        self.left["checkpoints"] -= 1
        self.simulation.snapshot(job)
        self._lane(self.simulation.running[job.id].coordinator, "log")
        self.simulation.acknowledge(job)

    def _complete(self, job: Job, told: bool) -> None:
        self.left["untold"] -= not told
        self.simulation.complete(job, 0xFF if told else 0)
        self.simulation.running[job.id].coordinator_hears()

    def _lane(self, coordinator: CoordinatorProcess, move: str) -> None:
        lane, _, loss = move.partition(", ")
        if loss:
            self.left["losses"] -= 1
            action = coordinator.lanes[TARGET][0]
            assert isinstance(action, ev.Submit)
            at = len(action.transaction.parts) + 1
            self.simulation.world.begin_turn(Trap(fault_at=at, fault=LOSSES[loss]))
        if lane == "log":
            while coordinator.alive and coordinator.lanes[LOG]:
                coordinator.step(LOG)
        else:
            coordinator.step(TARGET)
        self.simulation.world.begin_turn(NO_TRAP)

    def _rest(self) -> None:
        """Do at once what is reduced, and let Flink restart what has stopped."""
        simulation = self.simulation
        for running in [*simulation.running.values(), *simulation.zombies]:
            running.coordinator.wake_due()
            self._reduce(running.coordinator)
        for job in simulation.jobs:
            if job.id in simulation.running:
                simulation.acknowledge(job)
            simulation.look_after(job)
            if job.id in simulation.running:
                self._reduce(simulation.running[job.id].coordinator)
        for zombie in simulation.zombies:
            if zombie.coordinator.alive and self._is_harmless(zombie.coordinator):
                zombie.kill()

    def _reduce(self, coordinator: CoordinatorProcess) -> None:
        lanes = coordinator.lanes
        while coordinator.alive:
            if lanes[TIDY]:
                coordinator.step(TIDY)
            elif lanes[LOG] and isinstance(coordinator.machine.lane.current, jobs.Survey):
                coordinator.step(LOG)
            elif lanes[TARGET] and self._sees_the_same(coordinator, lanes[TARGET][0]):
                coordinator.step(TARGET)
            else:
                return

    def _sees_the_same(self, coordinator: CoordinatorProcess, action: object) -> bool:
        """Whether what an action reads of the target is the same now and later."""
        if isinstance(action, ev.Submit):
            return False
        if isinstance(action, ev.Mint | ev.CheckTarget):
            return True
        service, own = self.subject.service, coordinator.machine.lane.own_start
        if service.alive() or service.late or own is None or self._fenced(own):
            return False
        return not any(
            isinstance(waiting, ev.Submit)
            for each in (*self.simulation.running.values(), *self.simulation.zombies)
            if each.coordinator is not coordinator and each.coordinator.alive
            for waiting in each.coordinator.lanes[TARGET]
        )

    def _is_harmless(self, zombie: CoordinatorProcess) -> bool:
        """Whether a zombie will only learn that it is fenced."""
        own = zombie.machine.lane.own_start
        submits = any(isinstance(each, ev.Submit) for each in zombie.lanes[TARGET])
        return own is not None and not submits and self._fenced(own)

    def _fenced(self, own: int) -> bool:
        """Whether a later start stands in the log."""
        content = self.subject.objects.content
        later = [data for name, data in content.items() if _number(name) > own]
        return any(b'"kind":"start"' in data for data in later)

    def so_far(self) -> Judgement:
        """Return what can't be undone any more."""
        judgement = self.simulation.truth.judge()
        return Judgement(duplicated=judgement.duplicated, early=judgement.early)

    def mark(self) -> int:
        """Return a mark of the state (marks.py)."""
        return mark(self.simulation, tuple(self.left.values()))


def _number(name: str) -> int:
    return int(name[-25:-5]) if "/ledger/" in name else 0


def explore(scope: Scope, states_max: int = 10_000_000, seconds_max: float = 1e9) -> Exploration:
    """Visit every state of a scope, from the first to the last; stop at the first failure."""
    found = Exploration(scope)
    begun = time.monotonic()
    first = Walk(scope)
    seen = {first.mark()}
    waiting = [first]
    while waiting and found.failure is None:
        if len(seen) > states_max or time.monotonic() - begun > seconds_max:
            found.complete = False
            break
        _visit(waiting.pop(), seen, waiting, found)
    found.states, found.seconds = len(seen), time.monotonic() - begun
    return found


def _visit(walk: Walk, seen: set[int], waiting: list[Walk], found: Exploration) -> None:
    found.deepest = max(found.deepest, len(walk.script))
    moves = walk.moves()
    for move in moves:
        after = copied(walk)
        after.do(move)
        found.moves += 1
        wrong = after.so_far()
        if not wrong.ok:
            found.failure = (after.script, wrong)
            return
        mark = after.mark()
        if mark not in seen:
            seen.add(mark)
            waiting.append(after)
    if all(move in FAULTS for move in moves):
        script = walk.script
        healed = conclude(walk.simulation, Schedule(walk.scope.setting, ())).judgement
        if not healed.ok:
            found.failure = (script, healed)


def tell(scope: Scope, script: tuple[str, ...]) -> Outcome:
    """Return the told outcome of a script, healed at its end."""
    walk = Walk(scope)
    walk.simulation.world.notes = []
    for move in script:
        walk.simulation.world.note(f"-- {move}")
        walk.do(move)
    return conclude(walk.simulation, Schedule(scope.setting, ()))
