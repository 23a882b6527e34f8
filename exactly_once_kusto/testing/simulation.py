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
from dataclasses import dataclass, field

from exactly_once_kusto.errors import (
    CommitRefusedError,
    EvidenceExpiredError,
    ExactlyOnceError,
    NameTakenError,
    RewindError,
    SuspectError,
)
from exactly_once_kusto.testing.flink_job import Ended, Job, Retained
from exactly_once_kusto.testing.processes import Running, start
from exactly_once_kusto.testing.schedules import Schedule, Setting, Turn
from exactly_once_kusto.testing.simulated_sink import KustoSubject, Subject
from exactly_once_kusto.testing.truth import Judgement, Truth
from exactly_once_kusto.testing.world import NO_TRAP, Crashed, World

SOURCES = "abcdefghij"
JOBS_MAX = len(SOURCES)
ZOMBIES_MAX = 3
HEAL_ROUNDS = 400
BURST = 200
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
class Simulation:
    """All jobs that were ever submitted under one name, and the world they share."""

    setting: Setting
    world: World
    truth: Truth
    subject: Subject
    jobs: list[Job] = field(default_factory=list)
    running: dict[str, Running] = field(default_factory=dict)
    zombies: list[Running] = field(default_factory=list)
    given_up: dict[str, ExactlyOnceError] = field(default_factory=dict)
    """Jobs that ended with an error that is not restarted."""
    admitted: dict[str, int] = field(default_factory=dict)
    """Jobs of which a coordinator has begun, at any time, and in which attempt it was last."""
    unborn: dict[str, set[str]] = field(default_factory=dict)
    """Jobs that had been submitted before another, and had not begun when that was."""
    over: dict[str, set[str]] = field(default_factory=dict)
    """Jobs that had finished when the last attempt of another began."""
    causes: set[str] = field(default_factory=set)
    """What happened to the jobs that only a person can decide on."""
    restarts: int = 0

    # ---- submissions and failovers

    def submit(self, source: str, start_from: Retained | None = None) -> Job:
        """Submit a job; it begins at once."""
        job = Job(f"job-{len(self.jobs) + 1}", source, start_from)
        self.unborn[job.id] = {each.id for each in self.jobs} - self.admitted.keys()
        self.jobs.append(job)
        if start_from is not None:
            self.truth.prove(source, start_from.position)
        self._begin(job, self.setting.writers)
        return job

    def _begin(self, job: Job, writers: int) -> None:
        former = job.attempt
        attempt = job.begin(writers)
        self.over[job.id] = {each.id for each in self.jobs if each.finished}
        # In a batch the results of tasks that have ended may outlive a failure elsewhere.
        kept = self.setting.batch and former is not None and former.written()
        if kept and former is not None and former.writers == writers and job.attempts % 2:
            attempt.repeat(former)
        self.running[job.id] = start(self.world, self.subject, job.id, attempt, self.setting.batch)

    def _fail_over(self, job: Job, writers: int) -> None:
        """Flink restarts a job from its latest checkpoint; its old processes are gone."""
        self.running.pop(job.id).kill()
        self.restarts += 1
        self._begin(job, writers)

    def _admitted(self, job: Job, running: Running) -> None:
        """A coordinator has begun."""
        attempt = running.attempt
        if self.admitted.get(job.id) == attempt.number:
            return
        self.admitted[job.id] = attempt.number
        later = self.jobs[self.jobs.index(job) + 1 :]
        for other in (each for each in later if job.id not in self.unborn[each.id]):
            if other.id in self.running and self.running[other.id].began() < running.began():
                self.truth.stuck.append(f"{job.id} and {other.id} take the name by turns")
        over = any(each.finished and each.source == job.source for each in self.jobs)
        if over and self.setting.on_rewind == "allow":
            # A clone of it has ended: now that it comes back, its own latest state is an old one.
            first = 0 if attempt.restored is None else attempt.restored.position
            self.truth.allow_again(job.source, first)

    def look_after(self, job: Job) -> None:
        """Look what became of a job's processes in this turn."""
        running = self.running.get(job.id)
        if running is not None and running.coordinator.ready:
            self._admitted(job, running)
        if running is None or running.alive:
            return
        error = running.error()
        if error is not None and not error.restartable:
            self.given_up[job.id] = error
            self.running.pop(job.id).kill()
            return
        self._fail_over(job, running.attempt.writers)

    def current(self) -> Job | None:
        """Return the job that was submitted last and still runs."""
        return next((job for job in reversed(self.jobs) if job.id in self.running), None)

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
            self._pass_time(LATER_S[pick % len(LATER_S)])
            if pick & 64:
                self.subject.act("expire", 0, 0)
        else:
            self.subject.act(move, pick >> 3, pick & 7 if move == "advance" else 0)

    def _chosen(self, pick: int) -> Job | None:
        """Return the job that was submitted last and still runs, or now and then another."""
        alive = [job for job in reversed(self.jobs) if job.id in self.running]
        return alive[(pick >> 12) % len(alive)] if alive else None

    def _pass_time(self, seconds: float) -> None:
        self.world.now += seconds
        self.world.note(f"{seconds:.0f} s pass")
        kept_s = self.setting.tags_kept_s
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
            if not self._act(zombie, pick >> 6, held=False):
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
                self.truth.allow_again(source, start_from.position)
        self.causes.add("person")
        if move == "rewind" or (move == "fresh" and pick & 16):
            for job in self.jobs:
                if job.id in self.running:
                    self.running.pop(job.id).kill()
        self.submit(source, start_from)

    # ---- what a job does

    def round(self, job: Job, pick: int) -> None:
        """Rows, a checkpoint through all channels, its completion, and some work."""
        running = self.running[job.id]
        if not self._get_ready(running):
            return
        self.rows(job, pick)
        if self.setting.batch:
            self._flow(job, running)
            return
        number = job.trigger(savepoint=pick >> 8 & 7 == 7)
        self._flow(job, running)
        self._work_until(job, running, lambda: number in job.completable())
        if number in job.completable():
            self._complete(job, number, notify=pick & 7 > 0)
            running.coordinator_hears()
        self._work(job, running, pick >> 4 & 15)

    def snapshot(self, job: Job) -> None:
        """A row for each writer, and a barrier through all channels."""
        for index in range(self.running[job.id].attempt.writers):
            job.emit(index, 1)
        job.trigger()
        self._flow(job, self.running[job.id])

    def rows(self, job: Job, pick: int) -> None:
        """The source sends one to three rows to one of the writers."""
        job.emit(pick % self.running[job.id].attempt.writers, 1 + pick % 3)

    def work(self, job: Job, pick: int) -> None:
        """The coordinator performs some actions, from any of its lanes."""
        self._work(job, self.running[job.id], 1 + pick % 16, pick >> 4)

    def settle(self, job: Job, pick: int) -> None:
        """Coordinator and target work until there is nothing to do but to wait."""
        running = self.running[job.id]
        for _ in range(BURST):
            idle = self.subject.idle()
            if not self._act(running, 0, held=False) and idle:
                break
        self.acknowledge(job)

    def checkpoint(self, job: Job, pick: int) -> None:
        """The JobManager triggers a checkpoint."""
        if not self.setting.batch and len(job.pending) < 3:
            job.trigger()

    def savepoint(self, job: Job, pick: int) -> None:
        """A person asks for a savepoint; the job goes on."""
        if not self.setting.batch and len(job.pending) < 3:
            job.trigger(savepoint=True)

    def writer(self, job: Job, pick: int) -> None:
        """One writer takes what comes next."""
        running = self.running[job.id]
        running.writer_takes(pick % running.attempt.writers)

    def channel(self, job: Job, pick: int) -> None:
        """The coordinator takes what comes next from one of its channels."""
        running = self.running[job.id]
        channels = running.attempt.open_channels()
        if channels and running.coordinator.ready:
            self._take(job, running, channels[pick % len(channels)])

    def complete(self, job: Job, pick: int) -> None:
        """The JobManager completes a checkpoint; whether that is told is another matter."""
        numbers = job.completable()
        if numbers:
            self._complete(job, numbers[pick % len(numbers)], notify=pick & 12 > 0)

    def notice(self, job: Job, pick: int) -> None:
        """The coordinator hears of a checkpoint."""
        self.running[job.id].coordinator_hears()

    def abort(self, job: Job, pick: int) -> None:
        """A checkpoint is given up."""
        numbers = list(job.pending)
        if numbers:
            job.abort(numbers[pick % len(numbers)], notify=pick & 12 > 0)

    def wake(self, job: Job, pick: int) -> None:
        """The clock goes on to what the coordinator waits for."""
        coordinator = self.running[job.id].coordinator
        when = coordinator.next_wake()
        if when is not None:
            self.world.now = max(self.world.now, when)
            coordinator.wake_due()

    def end(self, job: Job, pick: int) -> None:
        """The source ends."""
        job.end_input()

    def fail(self, job: Job, pick: int) -> None:
        """All processes are killed; the job may come back with other writers."""
        writers = 1 + pick % 3 if pick & 8 else self.running[job.id].attempt.writers
        self._fail_over(job, writers)

    def pause(self, job: Job, pick: int) -> None:
        """All processes are paused, and given up by Flink: they may wake later."""
        if len(self.zombies) >= ZOMBIES_MAX:
            return
        running = self.running.pop(job.id)
        self.zombies.append(running)
        self.restarts += 1
        self.world.note(f"{job.id} is paused and given up")
        self._begin(job, running.attempt.writers)

    # ---- within

    def _get_ready(self, running: Running) -> bool:
        for _ in range(BURST):
            if running.coordinator.ready:
                return True
            if not self._act(running, 0, held=False):
                return running.coordinator.ready
        return False

    def _flow(self, job: Job, running: Running) -> None:
        """Let everything on the channels arrive."""
        for index in range(running.attempt.writers):
            while running.writer_takes(index):
                if running.writers[index].error is not None:
                    return
        while running.coordinator.ready and running.coordinator.alive:
            channels = running.attempt.open_channels()
            if not channels:
                break
            self._take(job, running, channels[0])

    def _take(self, job: Job, running: Running, channel: int) -> None:
        item = running.coordinator_takes(channel)
        if isinstance(item, Ended) and self.setting.batch:
            self.truth.prove(job.source, running.attempt.position)

    def _complete(self, job: Job, number: int, notify: bool) -> None:
        made = job.complete(number, notify)
        if not made.savepoint:
            self.truth.prove(job.source, made.position)

    def _work(self, job: Job, running: Running, steps: int, pick: int = 0) -> None:
        for _ in range(steps):
            if not self._act(running, pick, held=bool(pick & 1)):
                break
            pick >>= 1
        self.acknowledge(job)

    def _work_until(self, job: Job, running: Running, condition: Callable[[], bool]) -> None:
        for _ in range(BURST):
            self.acknowledge(job)
            if condition() or not self._act(running, 0, held=False):
                break

    def _act(self, running: Running, pick: int, held: bool) -> bool:
        """Perform one action of a coordinator; False if there is nothing to do."""
        coordinator = running.coordinator
        lanes = coordinator.busy_lanes()
        if not lanes or not coordinator.alive:
            return False
        coordinator.step(lanes[pick % len(lanes)], held)
        return True

    def acknowledge(self, job: Job) -> None:
        """Give Flink the snapshots that the coordinator has made."""
        running = self.running[job.id]
        states = running.coordinator.states
        if running.coordinator.alive:
            for number in list(states):
                job.acknowledge(running.attempt, number, states.pop(number))

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
        self._wake_all_zombies()
        self._question()

    def go_on(self, job: Job) -> None:
        """One round in which nothing fails, towards the end of the job."""
        running = self.running[job.id]
        if not self._get_ready(running):
            self._wait(running)
            return
        if not running.attempt.input_ended:
            self.rows(job, 0)
            job.end_input()
        self._flow(job, running)
        if self._released(job, running):
            self._finish(job)
            return
        if not self.setting.batch and not job.pending and not running.attempt.notices:
            job.trigger()
            self._flow(job, running)
        self.settle(job, 0)
        for number in job.completable()[:1]:
            self._complete(job, number, notify=True)
        while running.coordinator_hears():
            pass
        self.settle(job, 0)
        if not self._released(job, running):
            self._wait(running)

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
                self.world.now = max(self.world.now, when)
            running.coordinator.wake_due()

    def _wake_all_zombies(self) -> None:
        """At last they all wake, and do what is left for them to do."""
        for zombie in self.zombies:
            for _ in range(BURST):
                if not self._act(zombie, 0, held=False) and not self._hears(zombie):
                    break
        while self.subject.act("deliver", 0, 0):
            pass
        for _ in range(2):
            self.subject.idle()
            self.subject.idle()
            self.world.now += LATER_S[-1]

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


JOB_MOVES: dict[str, Callable[[Simulation, Job, int], None]] = {
    "round": Simulation.round,
    "rows": Simulation.rows,
    "work": Simulation.work,
    "settle": Simulation.settle,
    "checkpoint": Simulation.checkpoint,
    "savepoint": Simulation.savepoint,
    "writer": Simulation.writer,
    "channel": Simulation.channel,
    "complete": Simulation.complete,
    "notice": Simulation.notice,
    "abort": Simulation.abort,
    "wake": Simulation.wake,
    "end": Simulation.end,
    "fail": Simulation.fail,
    "pause": Simulation.pause,
}


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
    return KustoSubject(world, truth, setting.settings(), setting.habits(), setting.expiring)


def begin(setting: Setting, build: Build = kusto_sink, told: bool = False) -> Simulation:
    """Return a simulation whose first job has just been submitted."""
    world, truth = World(notes=[] if told else None), Truth()
    simulation = Simulation(setting, world, truth, build(world, truth, setting))
    world.drift = simulation.subject.drift
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
