"""The simulator: jobs of a simulated Flink, their real sink processes, and what a schedule does.

    schedule = draw(seed=17)
    outcome = simulate(schedule)
    assert outcome.judgement.ok, outcome.story()

After a schedule's turns everything is healed: nothing fails any more, and every job runs to its end
or asks a person. Then the rows are judged (truth.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from exactly_once_kusto.errors import (
    CommitRefusedError,
    EvidenceExpiredError,
    ExactlyOnceError,
    NameTakenError,
    RewindError,
    SuspectError,
)
from exactly_once_kusto.testing.flink_job import Job
from exactly_once_kusto.testing.moves import BURST, JOB_MOVES, JOBS_MAX, SOURCES, Moves
from exactly_once_kusto.testing.processes import Running
from exactly_once_kusto.testing.schedules import Schedule, Setting, Turn
from exactly_once_kusto.testing.simulated_sink import KustoSubject, Subject
from exactly_once_kusto.testing.truth import Judgement, Truth
from exactly_once_kusto.testing.world import NO_TRAP, Crashed, World

HEAL_ROUNDS = 400
LATER_S = (1.0, 20.0, 600.0, 3600.0, 7 * 3600.0, 30 * 3600.0)

ASKS: tuple[tuple[type[ExactlyOnceError], frozenset[str]], ...] = (
    (SuspectError, frozenset({"partial", "merged", "batch changed"})),
    (EvidenceExpiredError, frozenset({"expired", "old"})),
    (CommitRefusedError, frozenset({"refused"})),
    (RewindError, frozenset({"person"})),
    (NameTakenError, frozenset({"person"})),
)
"""Which errors ask a person, and what has to have happened for it to be needed."""


@dataclass(slots=True)
class Simulation(Moves):
    """All jobs that were ever submitted under one name, the people, and the world they share."""

    # ---- turns

    def turn(self, turn: Turn) -> None:
        """Let one turn happen; what can't happen now does not."""
        self.world.begin_turn(turn.trap)
        if self.world.notes is not None:
            self.world.note(f"-- {turn}")
        with contextlib.suppress(Crashed):
            self._move(turn)
        self.world.begin_turn(NO_TRAP)
        for job in self.jobs:
            self.look_after(job)

    def _move(self, turn: Turn) -> None:
        move, pick = turn.move, turn.pick
        job = self._chosen(pick)
        if move in JOB_MOVES:
            if job is not None:
                JOB_MOVES[move](self, job, pick)
        elif move == "zombie":
            self._wake_zombie(pick)
        elif move in ("clone", "rewind", "fresh"):
            self._person(move, pick)
        elif move == "later":
            expiring = self.setting.kept_s is not None and pick & 128
            self._pass_time(LATER_S[-1 if expiring else pick % len(LATER_S)])
            if pick & 64:
                self.subject.act("expire", 0, 0)
        else:
            self.subject.act(move, pick >> 3, pick & 7 if move == "advance" else 0)

    def _chosen(self, pick: int) -> Job | None:
        """Return the job that was submitted last and still runs, or now and then another."""
        alive = [job for job in reversed(self.jobs) if job.id in self.running]
        return alive[(pick >> 12) % len(alive)] if alive else None

    def _pass_time(self, seconds: float) -> None:
        self.world.turn_to(self.world.now + seconds)
        self.world.note(f"{seconds:.0f} s pass")
        kept_s = self.setting.kept_s
        if kept_s is not None and seconds >= kept_s:
            self.causes.add("old")
        for job in self.jobs:
            if job.id in self.running:
                self.running[job.id].coordinator.wake_due()

    def _wake_zombie(self, pick: int) -> None:
        if not self.zombies:
            return
        zombie = self.zombies[pick % len(self.zombies)]
        if pick & 4:
            self._hears(zombie)
        for _ in range(1 + (pick >> 3) % 8):
            if not self.act(zombie, pick >> 6, held=False):
                break

    def _person(self, move: str, pick: int) -> None:
        """A person starts a job: a clone beside the running one, behind it, or afresh."""
        if len(self.jobs) >= JOBS_MAX or self.setting.batch:
            return
        source, start_from = SOURCES[len(self.jobs)], None
        if move != "fresh":
            kept = [(job, each) for job in self.jobs for each in (*job.completed, *job.savepoints)]
            if not kept:
                return
            origin, start_from = kept[-1 - pick % min(len(kept), 4)]
            source = origin.source
            if self.setting.on_rewind == "allow":
                # No failover restores a savepoint: the job may have gone on from before it.
                first = 0 if start_from.savepoint else start_from.position
                self.truth.allow_again(source, first)
        self.causes.add("person")
        if move == "rewind" or (move == "fresh" and pick & 16):
            for job in self.jobs:
                if job.id in self.running:
                    self.running.pop(job.id).kill()
        self.submit(source, start_from)

    # ---- the end

    def heal(self) -> None:
        """Nothing fails any more: every job runs to its end, or asks a person."""
        self.world.note("== healed")
        self.world.begin_turn(NO_TRAP)
        self.subject.heal()
        for _ in range(HEAL_ROUNDS):
            job = self.current()
            if job is None:
                break
            self.go_on(job)
            self.look_after(job)
        for job in self.jobs:
            if job.id in self.running:
                self.truth.stuck.append(job.id)
        self.truth.excused.update(self.subject.unknowable())
        self._wake_all_zombies()
        self._question()

    def go_on(self, job: Job) -> None:
        """One round in which nothing fails, towards the end of the job."""
        running = self.running[job.id]
        if not self.get_ready(running):
            self._wait(running)
            return
        if not running.attempt.input_ended:
            self.rows(job, 0)
            job.end_input()
        self.flow(job, running)
        if self._released(job, running):
            self._finish(job)
            return
        if not (self.setting.batch or job.pending or running.attempt.notices):
            if not self._ended(running):
                job.trigger()
            self.flow(job, running)
        self.settle(job, 0)
        for number in job.completable()[:1]:
            self.complete_checkpoint(job, number, notify=True)
        while running.coordinator_hears():
            pass
        self.settle(job, 0)
        if not self._released(job, running):
            self._wait(running)

    def _ended(self, running: Running) -> bool:
        """Whether the final checkpoint is complete, and the coordinator knows."""
        machine = running.coordinator.machine
        final = machine.final_checkpoint
        return final is not None and machine.backlog.due_to >= final

    def _released(self, job: Job, running: Running) -> bool:
        coordinator = running.coordinator
        return coordinator.alive and coordinator.machine.finished and bool(coordinator.released)

    def _finish(self, job: Job) -> None:
        running = self.running.pop(job.id)
        self.truth.owe(job.source, running.attempt.position)
        job.finished = True
        self.world.note(f"{job.id} has finished")

    def _wait(self, running: Running) -> None:
        """Nothing is to be done now: turn the clock."""
        if self.subject.idle() and not running.coordinator.busy_lanes():
            when = running.coordinator.next_wake()
            if when is not None:
                self.world.turn_to(when)
            running.coordinator.wake_due()

    def _wake_all_zombies(self) -> None:
        """At last they all wake, and do what is left for them to do."""
        for zombie in self.zombies:
            for _ in range(BURST):
                if not self.act(zombie, 0, held=False) and not self._hears(zombie):
                    break
        while self.subject.act("deliver", 0, 0):
            pass
        for _ in range(2):
            self.subject.idle()
            self.subject.idle()
            self.world.turn_to(self.world.now + LATER_S[-1])

    def _hears(self, zombie: Running) -> bool:
        channels = zombie.attempt.open_channels()
        if zombie.coordinator.alive and zombie.coordinator.ready:
            if zombie.coordinator_hears():
                return True
            if channels:
                zombie.coordinator_takes(channels[0])
                return True
        return False

    def _provoked(self, identity: str, error: ExactlyOnceError) -> bool:
        """Whether a job that was turned away had been overtaken by another, or comes too late.

        A job that has begun is only turned away after a later one took its name; and one that was
        turned away itself has taken nothing.
        """
        if not isinstance(error, NameTakenError | RewindError):
            return True
        place = next(i for i, each in enumerate(self.jobs) if each.id == identity)
        others = [each for i, each in enumerate(self.jobs) if i != place]
        if isinstance(error, RewindError) and identity not in self.admitted:
            return any(each.source == self.jobs[place].source for each in others)
        return any(
            each.id in self.admitted or each.id not in self.given_up
            for i, each in enumerate(self.jobs)
            if i > place or each.id in self.unborn[identity]
            if isinstance(error, RewindError) or each.id not in self.over[identity]
        )

    def _question(self) -> None:
        """A job that asked a person must have had a reason."""
        causes = self.subject.causes() | self.causes
        for job, error in self.given_up.items():
            needed = next((needs for kind, needs in ASKS if isinstance(error, kind)), frozenset())
            if not causes & needed or not self._provoked(job, error):
                self.truth.unknown.append(f"{job} ({type(error).__name__})")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a schedule."""

    schedule: Schedule
    judgement: Judgement
    calls: int
    restarts: int
    notes: tuple[str, ...] = ()

    def story(self) -> str:
        """Return the whole history for a person to read."""
        return "\n".join([str(self.schedule), *self.notes, f"== {self.judgement}"])


Build = Callable[[World, Truth, Setting], Subject]
"""Makes the sink under test, and the world that it writes into."""


def kusto_sink(world: World, truth: Truth, setting: Setting) -> Subject:
    """Return the Kusto sink over a simulated storage and cluster."""
    return KustoSubject(world, truth, setting.settings(), setting, setting.expiring)


def begin(setting: Setting, build: Build = kusto_sink, told: bool = False) -> Simulation:
    """Return a simulation whose first job has just been submitted."""
    world, truth = World(notes=[] if told else None), Truth()
    simulation = Simulation(setting, world, truth, build(world, truth, setting))
    subject = simulation.subject
    world.drift, world.due, world.serve = subject.drift, subject.due, subject.serve
    simulation.submit(SOURCES[0])
    return simulation


def simulate(schedule: Schedule, build: Build = kusto_sink, told: bool = False) -> Outcome:
    """Play a schedule, heal, judge. `told`: the outcome has the history, call by call."""
    simulation = begin(schedule.setting, build, told)
    for turn in schedule.turns:
        simulation.turn(turn)
    return conclude(simulation, schedule)


def conclude(simulation: Simulation, schedule: Schedule) -> Outcome:
    """Heal and judge."""
    simulation.heal()
    world = simulation.world
    return Outcome(
        schedule,
        simulation.truth.judge(),
        world.calls,
        simulation.restarts,
        tuple(world.notes or ()),
    )
