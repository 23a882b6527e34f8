"""Who has been submitted under one name, what runs now, and who was turned away.

The state of a simulation: its jobs, their processes, those that were given up and sleep.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from exactly_once_kusto.errors import ExactlyOnceError, TransientError
from exactly_once_kusto.protocol.entries import decode_entry
from exactly_once_kusto.protocol.ledger import Ledger
from exactly_once_kusto.testing.flink_job import Job, Retained
from exactly_once_kusto.testing.processes import Running, start
from exactly_once_kusto.testing.schedules import Setting
from exactly_once_kusto.testing.simulated_sink import Subject
from exactly_once_kusto.testing.truth import Truth
from exactly_once_kusto.testing.world import Gate, World


@dataclass(slots=True)
class Submissions:
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
        self.begin_attempt(job, self.setting.writers)
        return job

    def begin_attempt(self, job: Job, writers: int) -> None:
        """Begin the next attempt of a job, with new processes."""
        former = job.attempt
        attempt = job.begin(writers)
        self.over[job.id] = {each.id for each in self.jobs if each.finished}
        # In a batch the results of tasks that have ended may outlive a failure elsewhere.
        kept = self.setting.batch and former is not None and former.written()
        if kept and former is not None and former.writers == writers and job.attempts % 2:
            attempt.repeat(former)
        self.running[job.id] = start(self.world, self.subject, job.id, attempt, self.setting.batch)

    def fail_over(self, job: Job, writers: int) -> None:
        """Flink restarts a job from its latest checkpoint; its old processes are gone."""
        self.running.pop(job.id).kill()
        self.restarts += 1
        self.begin_attempt(job, writers)

    def _admitted(self, job: Job, running: Running) -> None:
        """A coordinator has begun."""
        attempt = running.attempt
        if self.admitted.get(job.id) == attempt.number:
            return
        self.admitted[job.id] = attempt.number
        later = self.jobs[self.jobs.index(job) + 1 :]
        for other in (each for each in later if job.id not in self.unborn[each.id]):
            last = self.running.get(other.id)
            ended = last is None or last.coordinator.machine.finished
            if last is not None and not ended and last.began() < running.began():
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
            self._check_kept(running)
            self.running.pop(job.id).kill()
            return
        self.fail_over(job, running.attempt.writers)

    def _check_kept(self, running: Running) -> None:
        """Where a person is asked, the parts of all that waits must still be there (I6)."""
        ledger = self._read_ledger()
        for piece in running.coordinator.machine.slices:
            gone = any(self.subject.was_deleted(part.address) for part in piece.parts)
            if gone and ledger is not None and not ledger.is_committed(piece.id):
                self.truth.gone.append(f"{running.job} ({piece.rows} staged rows)")

    def _read_ledger(self) -> Ledger | None:
        """Return the ledger as it is, whatever a process knows of it; None while it is away."""
        ledger, log = Ledger(), self.subject.ports(Gate(self.world, "judge")).ledger()
        try:
            for number, data in log.read(0):
                ledger.apply(number, decode_entry(number, data))
        except TransientError:
            return None
        return ledger

    def current(self) -> Job | None:
        """Return the job that was submitted last and still runs."""
        return next((job for job in reversed(self.jobs) if job.id in self.running), None)

    def acknowledge(self, job: Job) -> None:
        """Give Flink the snapshots that the coordinator has made."""
        running = self.running[job.id]
        states = running.coordinator.states
        if running.coordinator.alive:
            for number in list(states):
                job.acknowledge(running.attempt, number, states.pop(number))
