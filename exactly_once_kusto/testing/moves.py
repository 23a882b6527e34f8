"""What a job does: rows, barriers, snapshots, commits, failovers; a method for each move."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from exactly_once_kusto.testing.flink_job import Ended, Job
from exactly_once_kusto.testing.processes import Running
from exactly_once_kusto.testing.submissions import Submissions
from exactly_once_kusto.testing.world import Crashed

ZOMBIES_MAX = 3
SOURCES = "abcdefghij"
JOBS_MAX = len(SOURCES)
BURST = 200
"""Steps after which a job that does not come to rest is left alone."""


@dataclass(slots=True)
class Moves(Submissions):
    """Submissions whose jobs can move. `pick` says which of several things is meant."""

    def round(self, job: Job, pick: int) -> None:
        """Rows, a checkpoint through all channels, its completion, and some work."""
        running = self.running[job.id]
        if not self.get_ready(running):
            return
        self.rows(job, pick)
        if self.setting.batch:
            self.flow(job, running)
            return
        number = job.trigger(savepoint=pick >> 8 & 7 == 7)
        self.flow(job, running)
        self.work_until(job, running, lambda: number in job.completable())
        if number in job.completable():
            self.complete_checkpoint(job, number, notify=pick & 7 > 0)
            running.coordinator_hears()
        self.work_on(job, running, pick >> 4 & 15)

    def snapshot(self, job: Job) -> None:
        """A row for each writer, and a barrier through all channels."""
        for index in range(self.running[job.id].attempt.writers):
            job.emit(index, 1)
        job.trigger()
        self.flow(job, self.running[job.id])

    def rows(self, job: Job, pick: int) -> None:
        """The source sends one to three rows to one of the writers."""
        job.emit(pick % self.running[job.id].attempt.writers, 1 + pick % 3)

    def work(self, job: Job, pick: int) -> None:
        """The coordinator performs some actions, from any of its lanes."""
        self.work_on(job, self.running[job.id], 1 + pick % 16, pick >> 4)

    def settle(self, job: Job, pick: int) -> None:
        """Coordinator and target work until there is nothing to do but to wait."""
        running = self.running[job.id]
        for _ in range(BURST):
            idle = self.subject.idle()
            if not self.act(running, 0, held=False) and idle:
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
            self.take(job, running, channels[pick % len(channels)])

    def complete(self, job: Job, pick: int) -> None:
        """The JobManager completes a checkpoint; whether that is told is another matter."""
        numbers = job.completable()
        if numbers:
            self.complete_checkpoint(job, numbers[pick % len(numbers)], notify=pick & 12 > 0)

    def notice(self, job: Job, pick: int) -> None:
        """The coordinator hears of a checkpoint."""
        self.running[job.id].coordinator_hears()

    def abort(self, job: Job, pick: int) -> None:
        """A checkpoint is given up."""
        numbers = list(job.pending)
        if numbers:
            writers = self.running[job.id].attempt.writers
            # Some of the writers may hear of it before the barrier comes to them.
            first = [i for i in range(writers) if pick >> (8 + i) & 3 == 3]
            job.abort(numbers[pick % len(numbers)], pick & 12 > 0, first)
        elif pick & 1:
            job.skip()

    def wake(self, job: Job, pick: int) -> None:
        """The clock goes on to what the coordinator waits for."""
        coordinator = self.running[job.id].coordinator
        when = coordinator.next_wake()
        if when is not None:
            self.world.turn_to(when)
            coordinator.wake_due()

    def end(self, job: Job, pick: int) -> None:
        """The source ends, for one writer or for all."""
        writers = self.running[job.id].attempt.writers
        job.end_input(pick >> 4 if pick & 1 and pick >> 4 < writers else None)

    def stop(self, job: Job, pick: int) -> None:
        """A person stops the job with a savepoint, and submits it again from there."""
        running = self.running[job.id]
        if self.setting.batch or len(self.jobs) >= JOBS_MAX or not self.get_ready(running):
            return
        number = job.trigger(stop=True)
        self.flow(job, running)
        self.work_until(job, running, lambda: number in job.completable())
        if number not in job.completable():
            return
        self.complete_checkpoint(job, number, notify=True)
        # Killed or not: after the savepoint has completed, Flink does not restart this job.
        with contextlib.suppress(Crashed):
            running.coordinator_hears()
            self.work_on(job, running, pick >> 4 & 15)
        self.running.pop(job.id).kill()
        self.submit(job.source, job.savepoints[-1])

    def fail(self, job: Job, pick: int) -> None:
        """All processes are killed; the job may come back with other writers."""
        writers = 1 + pick % 3 if pick & 8 else self.running[job.id].attempt.writers
        self.fail_over(job, writers)

    def pause(self, job: Job, pick: int) -> None:
        """All processes are paused, and given up by Flink: they may wake later."""
        if len(self.zombies) >= ZOMBIES_MAX:
            return
        running = self.running.pop(job.id)
        self.zombies.append(running)
        self.restarts += 1
        self.world.note(f"{job.id} is paused and given up")
        self.begin_attempt(job, running.attempt.writers)

    # ---- within

    def get_ready(self, running: Running) -> bool:
        """Let a coordinator open, as far as it does; return whether it has."""
        for _ in range(BURST):
            if running.coordinator.ready:
                return True
            if not self.act(running, 0, held=False):
                return running.coordinator.ready
        return False

    def flow(self, job: Job, running: Running) -> None:
        """Let everything on the channels arrive."""
        for index in range(running.attempt.writers):
            while running.writer_takes(index):
                if running.writers[index].error is not None:
                    return
        while running.coordinator.ready and running.coordinator.alive:
            channels = running.attempt.open_channels()
            if not channels:
                break
            self.take(job, running, channels[0])

    def take(self, job: Job, running: Running, channel: int) -> None:
        """Let the coordinator take what comes next from a channel."""
        item = running.coordinator_takes(channel)
        if isinstance(item, Ended) and self.setting.batch:
            self.truth.prove(job.source, running.attempt.position)

    def complete_checkpoint(self, job: Job, number: int, notify: bool) -> None:
        """Complete a checkpoint: its rows are proved. A savepoint's are not, unless it is told."""
        told = job.pending[number].stop
        made = job.complete(number, notify)
        if told or not made.savepoint:
            self.truth.prove(job.source, made.position)

    def work_on(self, job: Job, running: Running, steps: int, pick: int = 0) -> None:
        """Let the coordinator take some steps; some of their answers are heard a step later."""
        for _ in range(steps):
            if not self.act(running, pick, held=bool(pick & 1)):
                break
            pick >>= 1
        self.acknowledge(job)

    def work_until(self, job: Job, running: Running, condition: Callable[[], bool]) -> None:
        """Let the coordinator work until something holds, or there is nothing to do."""
        for _ in range(BURST):
            self.acknowledge(job)
            if condition() or not self.act(running, 0, held=False):
                break

    def act(self, running: Running, pick: int, held: bool) -> bool:
        """Perform one action of a coordinator; False if there is nothing to do."""
        coordinator = running.coordinator
        lanes = coordinator.busy_lanes()
        if not lanes or not coordinator.alive:
            return False
        coordinator.step(lanes[pick % len(lanes)], held)
        return True


JOB_MOVES: dict[str, Callable[[Moves, Job, int], None]] = {
    "round": Moves.round,
    "rows": Moves.rows,
    "work": Moves.work,
    "settle": Moves.settle,
    "checkpoint": Moves.checkpoint,
    "savepoint": Moves.savepoint,
    "writer": Moves.writer,
    "channel": Moves.channel,
    "complete": Moves.complete,
    "notice": Moves.notice,
    "abort": Moves.abort,
    "wake": Moves.wake,
    "end": Moves.end,
    "stop": Moves.stop,
    "fail": Moves.fail,
    "pause": Moves.pause,
}
