"""Counterexamples about who may run, and from where. Played with any wording.

Rows are named by their source: `a0` is the first row of source a. A clone of a job has its source:
what it replays are the same rows.
"""

from __future__ import annotations

from exactly_once_kusto.errors import FencedError, RewindError
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.entries import (
    Committed,
    Intent,
    Operation,
    RewindAccepted,
    Start,
)
from exactly_once_kusto.testing.flink_job import Job, Retained
from exactly_once_kusto.testing.scenarios import Scenario

LONGEST_POLL_S = 240.0


def two_checkpoints(scene: Scenario) -> tuple[Retained, Retained]:
    """Return a checkpoint with a0 that nobody was told of, and one with a1 that was told."""
    first = scene.checkpoint(scene.job, notify=False)
    return first, scene.checkpoint(scene.job)


def commit(scene: Scenario, job: Job) -> None:
    """Let all that is due of a job come in."""
    for _ in range(4):
        scene.pass_time(scene.run(job), LONGEST_POLL_S)
        scene.kusto_works()
    assert isinstance(scene.entries()[-1], Committed)


def sleeper_starts_late() -> Scenario:
    """An attempt that Flink has given up wakes before its `start`, and appends it."""
    scene = Scenario()
    scene.checkpoint(scene.job)
    scene.kill(scene.job)
    scene.bring(scene.run(), Start)
    sleeper = scene.pause(scene.job)
    running = scene.run()
    scene.get_ready(running)
    assert scene.do(sleeper, Start) == ev.NumberTaken()
    assert scene.do(sleeper, Start) == ev.Appended()
    scene.work(running)
    scene.job.emit(0, 1)
    scene.job.trigger()
    scene.flow(scene.job)
    scene.work(running)
    assert isinstance(running.coordinator.error, FencedError)
    scene.look_after()
    return scene


def savepoint_before_the_first_checkpoint() -> Scenario:
    """A savepoint, a failover before the first checkpoint, the same rows once more; a clone."""
    scene = Scenario()
    savepoint = scene.savepoint(scene.job)
    scene.kill(scene.job)
    scene.checkpoint(scene.job)
    commit(scene, scene.job)
    scene.stop(scene.job)
    scene.get_ready(scene.run(scene.clone(savepoint)))
    return scene


def branch_ends_while_the_origin_is_down() -> Scenario:
    """A clone of checkpoint 1 runs to its end with a1; then the job restores its checkpoint 2."""
    scene = Scenario()
    first, second = two_checkpoints(scene)
    scene.kill(scene.job)
    clone = scene.clone(first)
    scene.get_ready(scene.run(clone))
    clone.emit(0, 1)
    clone.end_input()
    last = scene.checkpoint(clone, rows=0)
    scene.finish(clone)
    assert clone.finished
    assert (last.number, last.position) == (second.number, second.position)
    scene.work(scene.run())
    return scene


def two_branches_with_one_number() -> Scenario:
    """Checkpoint 2 of a clone is committed; a second clone begins with checkpoint 2 of the job."""
    scene = Scenario()
    first, second = two_checkpoints(scene)
    branch = scene.clone(first)
    scene.checkpoint(branch)
    commit(scene, branch)
    scene.get_ready(scene.run(scene.clone(second)))
    return scene


def submitted_again(scene: Scenario, accepting: Job, first: Retained) -> Scenario:
    """The job that accepted a rewind is stopped and submitted again, with nothing to accept."""
    scene.allow_again(["a1"])
    scene.stop(accepting)
    scene.on_rewind("refuse")
    scene.get_ready(scene.run(scene.clone(first)))
    scene.excuse_nothing()
    return scene


def accepted_and_restarted() -> Scenario:
    """A person accepts a rewind once; the job is submitted again before its first checkpoint."""
    scene = Scenario()
    first, _ = two_checkpoints(scene)
    commit(scene, scene.job)
    scene.stop(scene.job)
    scene.on_rewind("allow")
    accepting = scene.clone(first)
    scene.get_ready(scene.run(accepting))
    assert isinstance(scene.entries()[-2], RewindAccepted)
    return submitted_again(scene, accepting, first)


def accepted_beside_a_running_job() -> Scenario:
    """A clone accepts the rewind while the job that it branches off from still runs."""
    scene = Scenario()
    first, _ = two_checkpoints(scene)
    commit(scene, scene.job)
    scene.on_rewind("allow")
    accepting = scene.clone(first)
    scene.get_ready(scene.run(accepting))
    assert isinstance(scene.entries()[-2], RewindAccepted)
    scene.allow_again(["a1"])
    assert scene.run().coordinator.alive
    scene.on_rewind("refuse")
    for job in (accepting, accepting, scene.job):
        if scene.run(job).coordinator.alive:
            job.emit(0, 1)
            job.trigger()
            scene.flow(job)
            scene.work(scene.run(job))
            scene.simulation.acknowledge(job)
            for number in job.completable():
                scene.complete(job, number)
                commit(scene, job)
    return scene


def fenced_reader_snapshots() -> Scenario:
    """A clone concludes what the job was about to conclude, then goes on, commits and ends."""
    scene = Scenario()
    first = scene.checkpoint(scene.job)
    scene.do(scene.run(), Operation)
    scene.kusto_works()
    scene.bring(scene.run(), Committed)
    clone = scene.clone(first)
    commit(scene, clone)
    clone.emit(0, 1)
    clone.end_input()
    scene.checkpoint(clone, rows=0)
    scene.finish(clone)
    assert clone.finished
    scene.work(scene.run())
    scene.job.emit(0, 1)
    scene.job.trigger()
    scene.flow(scene.job)
    scene.work(scene.run())
    scene.simulation.acknowledge(scene.job)
    for number in scene.job.completable():
        scene.complete(scene.job, number, notify=False)
    scene.kill(scene.job)
    scene.get_ready(scene.run())
    return scene


def retried_after_an_accepted_rewind() -> Scenario:
    """A transaction from before the acceptance is tried again behind it; the clone starts anew."""
    scene = Scenario()
    first, _ = two_checkpoints(scene)
    scene.bring(scene.run(), ev.Submit)
    scene.stop(scene.job)
    scene.on_rewind("allow")
    accepting = scene.clone(first)
    scene.get_ready(scene.run(accepting))
    scene.pass_time(scene.run(accepting), 3600.0)
    again = [each for each in scene.entries() if isinstance(each, Intent) and each.attempt == 2]
    assert again
    commit(scene, accepting)
    return submitted_again(scene, accepting, first)


def refused_beside_a_running_job() -> Scenario:
    """A person starts an old checkpoint beside the running job; it is refused."""
    scene = Scenario()
    first, _ = two_checkpoints(scene)
    commit(scene, scene.job)
    mistake = scene.clone(first)
    scene.get_ready(scene.run(mistake))
    scene.refusal(mistake, RewindError)
    scene.excuse_nothing()
    return scene


def accepted_while_a_command_runs() -> Scenario:
    """A rewind is accepted to a state that holds one of the two slices of a running command."""
    scene = Scenario()
    first, _ = two_checkpoints(scene)
    scene.do(scene.run(), ev.Submit)
    command = scene.kusto.alive()[0]
    scene.on_rewind("allow")
    accepting = scene.clone(first)
    scene.get_ready(scene.run(accepting))
    scene.on_rewind("refuse")
    scene.work(scene.run(accepting))
    scene.end_command(command)
    assert set(command.rows) == {"a0", "a1"}
    scene.allow_again(["a1"])
    scene.kusto_works()
    return scene


def taken_over_before_its_intent() -> Scenario:
    """A clone starts while the job is about to append an intent for a0 and a1."""
    scene = Scenario()
    first, _ = two_checkpoints(scene)
    running = scene.run()
    scene.bring(running, Intent)
    clone = scene.clone(first)
    scene.get_ready(scene.run(clone))
    assert scene.do(running, Intent) == ev.NumberTaken()
    scene.work(running)
    scene.kusto_works()
    scene.work(running)
    scene.look_after()
    scene.checkpoint(clone)
    commit(scene, clone)
    return scene


def fresh_job_under_a_used_name() -> Scenario:
    """A fresh job under a used name fails over to its checkpoint 1; the former one had two."""
    scene = Scenario()
    two_checkpoints(scene)
    commit(scene, scene.job)
    scene.stop(scene.job)
    fresh = scene.fresh()
    scene.checkpoint(fresh)
    scene.kill(fresh)
    scene.get_ready(scene.run(fresh))
    return scene
