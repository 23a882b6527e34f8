"""The simulator's Flink against the real one: the rules must explain what its subtasks did.

Each schedule runs a job with the recording sink and gives its record to the acceptor. A record that
is refused shows a rule that is wrong or missing in `exactly_once_kusto/testing/flink_job.py`; what
was found is in docs/reference/simulator-flink.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from exactly_once_kusto.cluster import FlinkCluster, wait_until
from exactly_once_kusto.testing.acceptor import Call, Seen, SeenJob, refusal
from tests.flink.directory_sink import visible
from tests.flink.recording_sink import FACTORY, OF_ANOTHER_SINK, seen

from .road import JOB

pytestmark = [pytest.mark.flink, pytest.mark.timeout(150)]

ROOT = Path(__file__).parents[2]
BATCH = {"execution.runtime-mode": "BATCH"}
QUICK = {"execution.checkpointing.interval": "300 ms"}
IMPATIENT = QUICK | {
    "execution.checkpointing.timeout": "1 s",
    "execution.checkpointing.tolerable-failed-checkpoints": "1000",
}


@dataclass
class Stage:
    """Submits jobs with the recording sink; holds and releases what their processes do."""

    cluster: FlinkCluster
    folder: Path
    submitted: list[str] = field(default_factory=list)

    def submit(
        self,
        config: dict[str, str],
        rows: int = 60_000,
        parallelism: int = 2,
        from_savepoint: str | None = None,
    ) -> str:
        args = [
            word for key in ("name", "cluster", "table", "staging") for word in (f"--{key}", "t")
        ]
        args += ["--label", "a", "--rows", str(rows), "--parallelism", str(parallelism)]
        options = dict.fromkeys(OF_ANOTHER_SINK, "") | {
            "connector": "two-phase-python",
            "factory": FACTORY,
            "folder": str(self.folder),
            "python": str(self._python()),
        }
        args += [word for pair in options.items() for word in ("--option", "=".join(pair))]
        args += [word for pair in config.items() for word in ("--config", "=".join(pair))]
        job = self.cluster.run_python(
            JOB, args=args, from_savepoint=from_savepoint, client="python"
        )
        self.submitted.append(job)
        return job

    def _python(self) -> Path:
        """The workers' interpreter, to which the tests' modules are known."""
        script = self.folder / "python"
        path = f"PYTHONPATH={ROOT}${{PYTHONPATH:+:$PYTHONPATH}}"
        script.write_text(f'#!/bin/sh\n{path} exec {sys.executable} "$@"\n')
        script.chmod(0o755)
        return script

    def hold(self, point: str) -> None:
        (self.folder / "hold").mkdir(exist_ok=True)
        (self.folder / "hold" / point).touch()

    def release(self, point: str) -> None:
        (self.folder / "hold" / point).unlink()

    def coordinator(self) -> tuple[Call, ...]:
        """What the newest coordinator of the job submitted last was asked to do so far."""
        jobs = seen(self.folder)
        return jobs[-1].attempts[-1].coordinator if len(jobs) == len(self.submitted) else ()

    def wait(self, fact: Callable[[tuple[Call, ...]], object], what: str) -> None:
        """Wait for something in the newest coordinator's record, once there is one."""
        wait_until(lambda: (calls := self.coordinator()) and fact(calls), 60, what, 0.05)

    def wait_heard(self, name: str, times: int) -> None:
        self.wait(lambda calls: heard(calls, name) >= times, f"{times} times '{name}'")

    def kill(self, job: str, vertex: str) -> None:
        self.cluster.kill_task_manager(self.cluster.task_manager_of(job, vertex))
        self.cluster.start_task_manager()

    def finished(self, job: str) -> None:
        self.cluster.wait_for(job, {"FINISHED"}, 90)

    def history(self) -> list[SeenJob]:
        """The record of all jobs, with what the JobManager says of their checkpoints."""
        found = seen(self.folder)
        assert len(found) == len(self.submitted)
        for index, (job, record) in enumerate(zip(self.submitted, found, strict=True)):
            kinds = self._kinds(job)
            found[index] = replace(
                record,
                savepoints=frozenset(n for n, kind in kinds.items() if kind == "SAVEPOINT"),
                stops=frozenset(n for n, kind in kinds.items() if kind == "SYNC_SAVEPOINT"),
            )
        return found

    def _kinds(self, job: str) -> dict[int, str]:
        """Of the newest ten checkpoints."""
        listed = self.cluster.rest.get(f"/jobs/{job}/checkpoints")["history"]
        return {each["id"]: each["checkpoint_type"] for each in listed}


def heard(calls: tuple[Call, ...], name: str) -> int:
    return sum(call.name == name for call in calls)


@pytest.fixture
def stage(cluster: FlinkCluster, tmp_path: Path) -> Stage:
    return Stage(cluster, tmp_path)


def judge(history: list[SeenJob]) -> None:
    """The record is explained; it is printed where it is not."""
    text = refusal(history)
    assert text is None, f"{text}\n{told(history)}"


def told(history: list[SeenJob]) -> str:
    lines = []
    for job in history:
        lines.append(json.dumps([job.start_from, sorted(job.savepoints), sorted(job.stops)]))
        for attempt in job.attempts:
            lines += [
                " ".join(map(str, calls)) for calls in (*attempt.writers, attempt.coordinator)
            ]
    return "\n".join(lines)


def test_a_task_manager_killed_then_the_end_of_input(stage: Stage) -> None:
    job = stage.submit(QUICK, rows=6000)
    stage.wait_heard("complete", 3)
    stage.kill(job, "Coordinator")
    stage.finished(job)
    history = stage.history()
    judge(history)
    last = history[0].attempts[-1]
    assert len(history[0].attempts) > 1, "nothing was restarted: the test shows nothing"
    assert last.restored is not None
    assert last.restored[0] is not None
    assert [call.name for call in last.coordinator if call.name == "end"] == ["end"]
    assert all(writer[-1].name == "prepare" for writer in last.writers)
    assert visible(stage.folder).num_rows == 6000
    for name, mutant in mutants(history[0]).items():
        assert refusal([mutant]) is not None, f"{name} is accepted:\n{told([mutant])}"


def mutants(job: SeenJob) -> dict[str, SeenJob]:
    """What no Flink does, made of what this one did: first run killed, last run to the end."""
    first, last = job.attempts[0].coordinator, job.attempts[-1].coordinator
    part = next(i for i, call in enumerate(first) if names(first[i:], "part", "snapshot"))
    snapshot = next(i for i, call in enumerate(first) if names(first[i:], "snapshot", "complete"))
    end = next(i for i, call in enumerate(last) if call.name == "end")
    sent = next(i for i, call in enumerate(last) if call.name == "part")
    heard_of = max(call.checkpoint or 0 for call in first if call.name == "complete")
    newest = max(call.checkpoint or 0 for call in first)
    in_first = {
        "a part behind its snapshot": swapped(first, part),
        "a part left out": first[:part] + first[part + 1 :],
        "a part twice": (*first[: part + 1], *first[part:]),
        "a snapshot left out": first[:snapshot] + first[snapshot + 1 :],
        "a completion before its snapshot": swapped(first, snapshot),
        "a completion twice": (*first[: snapshot + 2], *first[snapshot + 1 :]),
    }
    in_last = {
        "a part behind the end": (*last[:sent], *last[sent + 1 : end + 1], last[sent]),
        "the end before the parts": (*last[:sent], last[end], *last[sent:end], *last[end + 1 :]),
        "what was never snapshotted restored": (Call("open", newest + 1), *last[1:]),
        "an older checkpoint restored": (Call("open", heard_of - 1), *last[1:]),
        "nothing restored": (Call("open"), *last[1:]),
    }
    made = {name: with_record(job, 0, record) for name, record in in_first.items()}
    made |= {name: with_record(job, -1, record) for name, record in in_last.items()}
    # One that sent a part: an empty one may be missing where its checkpoint was aborted before.
    writers = list(job.attempts[-1].writers)
    who, full = next(
        (w, i)
        for w, calls in enumerate(writers)
        for i, call in enumerate(calls)
        if call.name == "prepare" and call.parts
    )
    writers[who] = (*writers[who][:full], *writers[who][full + 1 :])
    short = Seen(tuple(writers), last)
    return made | {"a prepare left out": replace(job, attempts=(*job.attempts[:-1], short))}


def names(calls: tuple[Call, ...], *wanted: str) -> bool:
    return tuple(call.name for call in calls[: len(wanted)]) == wanted


def swapped(calls: tuple[Call, ...], index: int) -> tuple[Call, ...]:
    return (*calls[:index], calls[index + 1], calls[index], *calls[index + 2 :])


def with_record(job: SeenJob, attempt: int, record: tuple[Call, ...]) -> SeenJob:
    attempts = list(job.attempts)
    attempts[attempt] = replace(attempts[attempt], coordinator=record)
    return replace(job, attempts=tuple(attempts))


@pytest.mark.slow
def test_savepoints_and_a_job_rescaled_from_one(stage: Stage) -> None:
    job = stage.submit(QUICK)
    stage.wait_heard("complete", 2)
    between = stage.cluster.savepoint(job)
    stage.wait_heard("complete", 4)
    savepoint = stage.cluster.stop_with_savepoint(job)
    again = stage.submit(QUICK, parallelism=3, from_savepoint=savepoint)
    stage.wait_heard("complete", 2)
    stage.cluster.cancel(again)
    clone = stage.submit(QUICK, parallelism=1, from_savepoint=between)
    stage.wait(lambda calls: True, "the coordinator to open")
    stage.cluster.cancel(clone)
    history = stage.history()
    (intermediate,), (last,) = history[0].savepoints, history[0].stops
    history[1] = replace(history[1], start_from=(0, last))
    history[2] = replace(history[2], start_from=(0, intermediate))
    judge(history)
    told_of = {call.checkpoint for call in history[0].attempts[0].coordinator}
    assert intermediate in told_of, "the savepoint was not snapshotted"
    assert last in told_of
    completed = [c.checkpoint for c in history[0].attempts[0].coordinator if c.name == "complete"]
    assert intermediate not in completed, "Flink told an intermediate savepoint"
    assert completed[-1] == last, "Flink did not tell the savepoint that the job stopped with"
    assert refusal([history[0], replace(history[1], start_from=(0, last + 1))]) is not None
    assert refusal([replace(history[0], savepoints=frozenset({last}), stops=frozenset())])


@pytest.mark.slow
def test_a_coordinator_too_slow_for_its_checkpoints(stage: Stage) -> None:
    """It hears of the abortion after its own snapshot; the barriers after that are ignored."""
    job = stage.submit(IMPATIENT)
    stage.wait_heard("complete", 2)
    stage.hold("read")
    failed = stage.cluster.checkpoints(job).failed
    wait_until(lambda: stage.cluster.checkpoints(job).failed >= failed + 2, 30, "two to expire")
    stage.release("read")
    done = heard(stage.coordinator(), "complete")
    stage.wait_heard("complete", done + 2)
    stage.cluster.cancel(job)
    judge(stage.history())
    assert heard(stage.coordinator(), "abort") >= 1, "nothing was aborted: the test shows nothing"


@pytest.mark.slow
def test_a_coordinator_that_lets_a_completion_wait(stage: Stage) -> None:
    """`notifyCheckpointComplete` takes seconds: later checkpoints wait for it, none is lost."""
    job = stage.submit(IMPATIENT | {"execution.checkpointing.timeout": "30 s"})
    stage.wait_heard("complete", 2)
    stage.hold("submit")
    wait_until(lambda: stage.cluster.checkpoints(job).in_progress, 30, "a checkpoint that waits")
    done = heard(stage.coordinator(), "complete")
    stage.release("submit")
    stage.wait_heard("complete", done + 3)
    stage.cluster.cancel(job)
    judge(stage.history())


@pytest.mark.slow
@pytest.mark.parametrize("point", ["seal-0", "write-1"])
def test_a_writer_too_slow_for_a_checkpoint(stage: Stage, point: str) -> None:
    """A task remembers one aborted checkpoint: of two, the older one is snapshotted all the same.

    And the writer that was held does not prepare for the newer one: its rows go with the next.
    """
    job = stage.submit(IMPATIENT)
    stage.wait_heard("complete", 2)
    stage.hold(point)
    stage.wait_heard("abort", 2)
    stage.release(point)
    done = heard(stage.coordinator(), "complete")
    stage.wait_heard("complete", done + 2)
    stage.cluster.cancel(job)
    history = stage.history()
    judge(history)
    calls = history[0].attempts[0].coordinator
    first = next(call.checkpoint for call in calls if call.name == "abort")
    late = calls.index(Call("snapshot", first)) > calls.index(Call("abort", first))
    assert late, "Flink remembers more aborted checkpoints than it did"


@pytest.mark.slow
def test_checkpoints_side_by_side_aborted_by_a_slow_writer(stage: Stage) -> None:
    most = "execution.checkpointing.max-concurrent-checkpoints"
    job = stage.submit(IMPATIENT | {most: "3"})
    stage.wait_heard("complete", 2)
    stage.hold("write-1")
    stage.wait_heard("abort", 2)
    stage.release("write-1")
    done = heard(stage.coordinator(), "complete")
    stage.wait_heard("complete", done + 2)
    stage.cluster.cancel(job)
    judge([replace(record, concurrent=3) for record in stage.history()])


@pytest.mark.slow
def test_a_checkpoint_aborted_after_a_restore_does_not_tell_the_restored_one(stage: Stage) -> None:
    job = stage.submit(IMPATIENT)
    stage.wait_heard("complete", 2)
    stage.hold("seal-0")
    stage.kill(job, "Coordinator")
    stage.wait(lambda calls: calls[0].checkpoint and heard(calls, "abort"), "an abortion after it")
    stage.release("seal-0")
    done = heard(stage.coordinator(), "complete")
    stage.wait_heard("complete", done + 2)
    stage.cluster.cancel(job)
    history = stage.history()
    judge(history)
    calls = history[0].attempts[-1].coordinator
    assert calls[0].checkpoint is not None
    assert Call("complete", calls[0].checkpoint) not in calls, "Flink told the restored checkpoint"


@pytest.mark.slow
def test_task_managers_killed_after_the_final_checkpoint(stage: Stage) -> None:
    """Writers and coordinator open again; the input ends again; another checkpoint is the last."""
    stage.hold("submit")
    job = stage.submit(QUICK, rows=1500)
    stage.wait(lambda calls: heard(calls, "end") and calls[-1].name == "complete", "the last one")
    stage.kill(job, "Coordinator")
    stage.release("submit")
    stage.finished(job)
    history = stage.history()
    judge(history)
    assert heard(history[0].attempts[-1].coordinator, "end") == 1
    assert all(heard(writer, "prepare") for writer in history[0].attempts[-1].writers)
    assert visible(stage.folder).num_rows == 1500


@pytest.mark.slow
def test_a_stop_that_fails_after_its_savepoint_is_not_restarted(stage: Stage) -> None:
    job = stage.submit(QUICK)
    stage.wait_heard("complete", 2)
    stage.hold("submit")
    stage.cluster.rest.post(f"/jobs/{job}/stop", {"drain": False, "targetDirectory": None})
    checkpoints = f"/jobs/{job}/checkpoints"
    wait_until(
        lambda: stage.cluster.rest.get(checkpoints)["latest"].get("savepoint"), 60, "the savepoint"
    )
    stage.kill(job, "Coordinator")
    stage.release("submit")
    stage.cluster.wait_for(job, {"FAILED"}, 60)
    judge(stage.history())


@pytest.mark.slow
def test_a_batch(stage: Stage) -> None:
    job = stage.submit(BATCH, rows=3000)
    stage.finished(job)
    history = seen(stage.folder)
    judge(history)
    assert history[0].attempts[0].coordinator[-1] == Call("end")
    assert visible(stage.folder).num_rows == 3000
