"""Scenarios written by hand: a job is brought to an exact point, and there something goes wrong.

    scene = Scenario(Setting(writers=1, atomic=False))
    scene.checkpoint(scene.job)
    scene.bring(scene.run(), ev.Submit)          # its next action is to send the request
    sleeper = scene.pause(scene.job)             # Flink gives it up and starts another attempt
    scene.pass_time(scene.run(), 3600.0)         # which does what it wants for an hour
    scene.do(sleeper, ev.Submit)                 # the sleeper wakes for one action
    outcome = scene.end()
    assert outcome.judgement.ok, outcome.story()

A point is the type of a port action, or the type of the entry that an append carries. A scenario
that does not come to its point fails: what it wanted to show has not happened. A schedule
(schedules.py) draws such stories at random; here each step is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from exactly_once_kusto.errors import ExactlyOnceError
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.entries import Entry, decode_entry
from exactly_once_kusto.protocol.ledger import Ledger
from exactly_once_kusto.testing.flink_job import Job, Retained
from exactly_once_kusto.testing.moves import SOURCES
from exactly_once_kusto.testing.processes import Running
from exactly_once_kusto.testing.schedules import Schedule, Setting
from exactly_once_kusto.testing.simulated_kusto import Ingest, Operation, Service
from exactly_once_kusto.testing.simulated_sink import KustoSubject, Subject
from exactly_once_kusto.testing.simulation import (
    HEAL_ROUNDS,
    Outcome,
    Simulation,
    begin,
    conclude,
    kusto_sink,
)
from exactly_once_kusto.testing.truth import Truth
from exactly_once_kusto.testing.world import AT_SUBMIT, NO_TRAP, Trap, World

STEPS_MAX = 1000
LOG_LANE = 0
ONE_WRITER = Setting(writers=1)

Point = type[ev.Action] | type[Entry]
"""A port action, or what an append carries."""


class NotReachedError(AssertionError):
    """A scenario did not come to the point at which it wanted to do something."""


@dataclass(slots=True)
class WatchedService(Service):
    """A cluster that remembers how many commands were on their way at once."""

    most_at_once: int = 0

    def start(self, asked: Ingest) -> Operation:
        """Begin a command."""
        started = Service.start(self, asked)
        self.most_at_once = max(self.most_at_once, len(self.alive()))
        return started


@dataclass(slots=True)
class Scenario:
    """A simulation whose steps are said one by one. Its first job has just been submitted."""

    setting: Setting = ONE_WRITER
    simulation: Simulation = field(init=False)

    def __post_init__(self) -> None:
        self.simulation = begin(self.setting, _watched_sink, told=True)

    # ---- who is there

    @property
    def job(self) -> Job:
        """The first job."""
        return self.simulation.jobs[0]

    @property
    def subject(self) -> KustoSubject:
        """The sink under test; its settings count for processes that start later."""
        assert isinstance(self.simulation.subject, KustoSubject)
        return self.simulation.subject

    @property
    def kusto(self) -> WatchedService:
        """The cluster."""
        assert isinstance(self.subject.service, WatchedService)
        return self.subject.service

    def run(self, job: Job | None = None) -> Running:
        """Return the processes of a job's attempt, of the first job where none is named."""
        return self.simulation.running[(job or self.job).id]

    def entries(self) -> list[Entry]:
        """Return what stands in the log."""
        folder = f"{self.subject.name}/ledger/"
        stored = sorted(name for name in self.subject.objects.content if name.startswith(folder))
        content = self.subject.objects.content
        return [decode_entry(i, content[name]) for i, name in enumerate(stored, start=1)]

    def ledger(self) -> Ledger:
        """Return the log, folded."""
        folded = Ledger()
        for number, entry in enumerate(self.entries(), start=1):
            folded.apply(number, entry)
        return folded

    def parts(self) -> dict[str, bytes]:
        """Return the staged parts, by name."""
        folder = f"{self.subject.name}/parts/"
        content = self.subject.objects.content
        return {name: data for name, data in content.items() if name.startswith(folder)}

    # ---- rows and checkpoints

    def flow(self, job: Job) -> None:
        """Let everything on a job's channels arrive."""
        run = self.run(job)
        for index, channel in enumerate(run.attempt.inputs):
            while channel and run.writers[index].error is None:
                self.simulation.writer(job, index)
        self.get_ready(run)
        while run.coordinator.alive and run.attempt.open_channels():
            self.simulation.channel(job, 0)

    def snapshot(self, job: Job, savepoint: bool = False, stop: bool = False) -> int:
        """Let a checkpoint be acknowledged by all; only the log is called for it.

        Raises:
            NotReachedError: the coordinator has stopped, or can't reach its log.
        """
        number = job.trigger(savepoint, stop)
        self.flow(job)
        run = self.run(job)
        for _ in range(STEPS_MAX):
            self.simulation.acknowledge(job)
            if number in job.completable():
                return number
            if not run.coordinator.alive or LOG_LANE not in run.coordinator.busy_lanes():
                break
            run.coordinator.step(LOG_LANE)
        raise NotReachedError(f"checkpoint {number} of {job.id}: {run.coordinator.error}")

    def complete(self, job: Job, number: int, notify: bool = True) -> Retained:
        """Let Flink complete a checkpoint; the coordinator hears of it, or never does."""
        told = not job.pending[number].savepoint or job.pending[number].stop
        made = job.complete(number, notify)
        if told:
            self.simulation.truth.prove(job.source, made.position)
        while notify and self.run(job).coordinator_hears():
            pass
        return made

    def checkpoint(self, job: Job, rows: int = 1, notify: bool = True) -> Retained:
        """Rows, and a checkpoint that holds them; nothing is committed yet."""
        job.emit(0, rows)
        return self.complete(job, self.snapshot(job), notify)

    def savepoint(self, job: Job, rows: int = 1) -> Retained:
        """Rows, and a savepoint that holds them; the job goes on and is not told."""
        job.emit(0, rows)
        return self.complete(job, self.snapshot(job, savepoint=True))

    # ---- one process, action by action

    def get_ready(self, run: Running) -> None:
        """Let a coordinator begin, if it may."""
        coordinator = run.coordinator
        while not coordinator.ready and coordinator.alive and coordinator.busy_lanes():
            coordinator.step(coordinator.busy_lanes()[0])

    def bring(self, run: Running, point: Point) -> int:
        """Let a coordinator act until `point` is its next action; return the lane of that.

        Raises:
            NotReachedError: it does not come there without anybody else doing something.
        """
        coordinator = run.coordinator
        for _ in range(STEPS_MAX):
            for lane, actions in enumerate(coordinator.lanes):
                if actions and coordinator.replies[lane] is None and _is_at(actions[0], point):
                    return lane
            if not coordinator.alive or not coordinator.busy_lanes():
                break
            coordinator.step(coordinator.busy_lanes()[0])
        raise NotReachedError(f"{point.__name__} by {coordinator.gate.name}: {coordinator.error}")

    def do(self, run: Running, point: Point, fault: int = 0, heard: bool = True) -> ev.Event:
        """Let a coordinator do what is at `point`; return the answer, whether it is heard or not.

        `fault` is the port's (simulated_requests, simulated_storage).
        """
        lane = self.bring(run, point)
        action = run.coordinator.lanes[lane][0]
        at = AT_SUBMIT if isinstance(action, ev.Submit) else 1
        self.simulation.world.begin_turn(Trap(fault_at=at, fault=fault) if fault else NO_TRAP)
        run.coordinator.step(lane, hold=True)
        self.simulation.world.begin_turn(NO_TRAP)
        answer = run.coordinator.replies[lane]
        assert answer is not None
        if heard:
            run.coordinator.step(lane)
        return answer

    def work(self, run: Running, steps: int = STEPS_MAX) -> int:
        """Let a coordinator act until nothing is left but to wait; return how often it did."""
        coordinator = run.coordinator
        for done in range(steps):
            if not coordinator.alive or not coordinator.busy_lanes():
                return done
            coordinator.step(coordinator.busy_lanes()[0])
        return steps

    def pass_time(self, run: Running | None, seconds: float) -> None:
        """Let time pass; only `run` does in it what it wants. Kusto stands still."""
        world, until = self.simulation.world, self.simulation.world.now + seconds
        for _ in range(STEPS_MAX):
            if run is None or not run.coordinator.alive:
                break
            self.work(run)
            when = run.coordinator.next_wake()
            if when is None or when > until:
                break
            world.turn_to(when)
            run.coordinator.wake_due()
        world.turn_to(until)
        kept_s = self.setting.tags_kept_s
        if kept_s is not None and seconds >= kept_s:
            self.simulation.causes.add("old")

    # ---- what happens to jobs

    def kill(self, job: Job, writers: int | None = None) -> Running:
        """Kill all processes of a job; return those of its next attempt."""
        picks = (pick for pick in range(8, 16) if 1 + pick % 3 == writers)
        self.simulation.fail(job, next(picks, 0))
        return self.run(job)

    def pause(self, job: Job) -> Running:
        """Pause all processes of a job; Flink gives them up. Return them: they may wake later."""
        sleeper = self.run(job)
        self.simulation.pause(job, 0)
        return sleeper

    def stop(self, job: Job) -> None:
        """A person ends a job."""
        self.simulation.running.pop(job.id).kill()

    def clone(self, start_from: Retained, source: str = SOURCES[0]) -> Job:
        """A person submits a job that begins with a checkpoint or savepoint."""
        self.simulation.causes.add("person")
        return self.simulation.submit(source, start_from)

    def fresh(self) -> Job:
        """A person submits another job with other rows under the same name."""
        return self.simulation.submit(SOURCES[len(self.simulation.jobs)])

    def look_after(self) -> None:
        """Let Flink restart what has failed, or give it up."""
        for job in self.simulation.jobs:
            self.simulation.look_after(job)

    def finish(self, job: Job) -> None:
        """Let a job run to its end, or until it asks a person."""
        for _ in range(HEAL_ROUNDS):
            if job.id not in self.simulation.running:
                return
            self.simulation.go_on(job)
            self.simulation.look_after(job)
        raise NotReachedError(f"the end of {job.id}")

    def refusal(self, job: Job, kind: type[ExactlyOnceError]) -> ExactlyOnceError:
        """Return the error that a job was rightly given up with; it counts as answered."""
        self.look_after()
        error = self.simulation.given_up.pop(job.id, None)
        if not isinstance(error, kind):
            raise NotReachedError(f"{kind.__name__} of {job.id}: {error!r}")
        return error

    def excuse_nothing(self) -> None:
        """From now on nothing has happened that a person would have to be asked about."""
        self.simulation.causes.clear()

    def allow_again(self, rows: Iterable[str]) -> None:
        """A person has accepted that these rows, which are in, come once more."""
        self.simulation.truth.shown.subtract(rows)

    def on_rewind(self, choice: str) -> None:
        """Set the option for the processes that start from now on."""
        self.subject.settings = replace(self.subject.settings, on_rewind=choice)

    # ---- what Kusto does

    def kusto_reads(self) -> None:
        """Let all commands read their sources; none has rows in yet."""
        for operation in self.kusto.alive():
            if operation.phase == "running":
                self.kusto.advance(operation)

    def kusto_works(self) -> None:
        """Let all commands come to their end."""
        while not self.subject.idle():
            pass

    def end_command(self, operation: Operation, fault: int = 0) -> None:
        """Let one command come to its end, with a fault of the cluster (`Service.advance`)."""
        while operation.phase != "ended":
            self.subject.act("advance", self.kusto.alive().index(operation), fault)

    def expire_tags(self) -> None:
        """Let the tags go that are old enough.

        Raises:
            NotReachedError: none was.
        """
        if not self.kusto.expire():
            raise NotReachedError("no tag was old enough")
        self.subject.asked.add("expired")

    # ---- the end

    def end(self) -> Outcome:
        """Heal and judge."""
        return conclude(self.simulation, Schedule(self.setting, ()))


def _watched_sink(world: World, truth: Truth, setting: Setting) -> Subject:
    subject = kusto_sink(world, truth, setting)
    assert isinstance(subject, KustoSubject)
    subject.service = WatchedService(world, subject.objects, subject.habits, truth.show)
    return subject


def _is_at(action: ev.Action, point: Point) -> bool:
    if isinstance(action, ev.Append) and isinstance(action.entry, point):
        return True
    return isinstance(action, point)
