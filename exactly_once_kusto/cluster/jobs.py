"""What can be seen of a job, and done to it, by REST."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exactly_once_kusto.cluster.errors import ClusterError, JobEndedError
from exactly_once_kusto.cluster.rest import RestClient
from exactly_once_kusto.cluster.traces import root_cause
from exactly_once_kusto.cluster.waiting import wait_until

FINAL_STATES = frozenset({"FINISHED", "FAILED", "CANCELED"})
JOB_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Subtask:
    """One parallel instance of a vertex, in its current attempt.

    `task_manager` is the resource id of the TaskManager that it was given to, or None.
    """

    index: int
    state: str
    attempt: int
    task_manager: str | None


@dataclass(frozen=True)
class Vertex:
    """A chain of operators that runs as one task."""

    id: str
    name: str
    state: str
    parallelism: int
    subtasks: tuple[Subtask, ...]


@dataclass(frozen=True)
class Checkpoints:
    """Counts since the job's start, the last completed checkpoint, and the restored one."""

    completed: int
    failed: int
    in_progress: int
    restored: int
    latest_id: int | None
    latest_path: str | None
    restored_id: int | None


@dataclass(frozen=True)
class JobException:
    """A failure that Flink recorded. `str()` is its root cause."""

    root_cause: str
    stacktrace: str
    task_name: str | None
    task_manager: str | None
    at_ms: int

    def __str__(self) -> str:
        """The root cause alone."""
        return self.root_cause


class Jobs:
    """The jobs of the cluster at `rest`. Every call is bounded; job ids are 32 hex digits."""

    def __init__(self, rest: RestClient) -> None:
        self.rest = rest

    def jobs(self) -> dict[str, str]:
        """The state of each job that the JobManager knows, by id."""
        return {job["id"]: job["status"] for job in self.rest.get("/jobs")["jobs"]}

    def job_state(self, job_id: str) -> str:
        """The job's state: RUNNING, RESTARTING, FINISHED, ... (Flink's JobStatus)."""
        return str(self.rest.get(f"/jobs/{job_id}/status")["status"])

    def wait_for(
        self, job_id: str, states: str | Collection[str], timeout_s: float = JOB_TIMEOUT_S
    ) -> str:
        """Returns the first of `states` that the job is seen in.

        RUNNING is the job's state, which it has while its tasks still deploy: see `wait_running`.

        Raises:
            JobEndedError: It reached another final state; the message has its root causes.
            TimeoutError: It was in none of `states` for `timeout_s`.
        """
        wanted = {states} if isinstance(states, str) else set(states)
        last = ""

        def reached() -> str | None:
            nonlocal last
            last = self.job_state(job_id)
            if last in FINAL_STATES - wanted:
                raise JobEndedError(
                    f"job {job_id} is {last}, awaited: {sorted(wanted)}; {self._causes(job_id)}"
                )
            return last if last in wanted else None

        try:
            return wait_until(reached, timeout_s, f"job {job_id} to be one of {sorted(wanted)}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; state {last or 'unknown'}") from None

    def wait_running(self, job_id: str, timeout_s: float = JOB_TIMEOUT_S) -> None:
        """Returns when every subtask of the job runs or has finished; raises as `wait_for` does."""

        def running() -> bool:
            self.wait_for(job_id, {"RUNNING", "FINISHED"}, timeout_s)
            states = {task.state for vertex in self.vertices(job_id) for task in vertex.subtasks}
            return states <= {"RUNNING", "FINISHED"}

        wait_until(running, timeout_s, f"all subtasks of job {job_id} to run")

    def _causes(self, job_id: str) -> str:
        causes = [str(failure) for failure in self.exceptions(job_id)]
        return "root causes, newest first: " + ("; ".join(causes) or "none recorded")

    def exceptions(self, job_id: str) -> list[JobException]:
        """The failures that Flink has kept (by default sixteen), newest first."""
        history = self.rest.get(f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
        found = [
            JobException(
                root_cause=root_cause(entry["stacktrace"]),
                stacktrace=entry["stacktrace"],
                task_name=entry.get("taskName"),
                task_manager=entry.get("taskManagerId"),
                at_ms=entry["timestamp"],
            )
            for first in history
            for entry in [first, *first.get("concurrentExceptions", [])]
        ]
        return sorted(found, key=lambda failure: -failure.at_ms)

    def wait_failure(
        self, job_id: str, beyond: int = 0, timeout_s: float = JOB_TIMEOUT_S
    ) -> JobException:
        """Returns the newest failure as soon as more than `beyond` are recorded.

        So a test waits until a kill was noticed: the state RESTARTING lasts for the restart's delay
        alone, and a job that waits for slots is RUNNING again.
        """
        return wait_until(
            lambda: self.exceptions(job_id)[: -beyond or None],
            timeout_s,
            f"failure {beyond + 1} of job {job_id}",
        )[0]

    def checkpoints(self, job_id: str) -> Checkpoints:
        """The job's checkpoints, as the JobManager counts them since the job's start."""
        answer = self.rest.get(f"/jobs/{job_id}/checkpoints")
        counts, latest = answer["counts"], answer["latest"]
        completed, restored = latest.get("completed"), latest.get("restored")
        return Checkpoints(
            completed=counts["completed"],
            failed=counts["failed"],
            in_progress=counts["in_progress"],
            restored=counts["restored"],
            latest_id=completed["id"] if completed else None,
            latest_path=completed.get("external_path") if completed else None,
            restored_id=restored["id"] if restored else None,
        )

    def wait_checkpoint(
        self, job_id: str, at_least: int = 1, timeout_s: float = JOB_TIMEOUT_S
    ) -> Checkpoints:
        """Returns when the last completed checkpoint has the number `at_least` or a higher one."""

        def there() -> Checkpoints | None:
            seen = self.checkpoints(job_id)
            return seen if (seen.latest_id or 0) >= at_least else None

        return wait_until(there, timeout_s, f"checkpoint {at_least} of job {job_id}")

    def vertices(self, job_id: str) -> list[Vertex]:
        """The job's vertices in the order of the graph, each with where its subtasks run."""
        found = []
        for vertex in self.rest.get(f"/jobs/{job_id}")["vertices"]:
            detail = self.rest.get(f"/jobs/{job_id}/vertices/{vertex['id']}")
            found.append(
                Vertex(
                    id=vertex["id"],
                    name=vertex["name"],
                    state=vertex["status"],
                    parallelism=vertex["parallelism"],
                    subtasks=tuple(_subtask(entry) for entry in detail["subtasks"]),
                )
            )
        return found

    def vertex(self, job_id: str, name_contains: str) -> Vertex:
        """The one vertex whose name contains this text, whatever the case of its letters.

        Raises:
            ClusterError: None has it, or several; the message lists the names.
        """
        vertices = self.vertices(job_id)
        matching = [each for each in vertices if name_contains.lower() in each.name.lower()]
        if len(matching) != 1:
            raise ClusterError(
                f"{len(matching)} vertices of job {job_id} contain {name_contains!r}; "
                f"there are: {[each.name for each in vertices]}"
            )
        return matching[0]

    def metrics(
        self, job_id: str, vertex_contains: str, names: Collection[str] = ("numRecordsOut",)
    ) -> dict[str, float]:
        """The sum over all subtasks of each metric that is known under these names.

        An operator's own metric is called `<operator name>.<metric>`; `metric_names` lists them.
        Values are up to a second old. A metric not yet reported is left out.
        """
        vertex = self.vertex(job_id, vertex_contains)
        path = f"/jobs/{job_id}/vertices/{vertex.id}/subtasks/metrics"
        answer = self.rest.get(path, get=",".join(names), agg="sum")
        return {entry["id"]: float(entry["sum"]) for entry in answer}

    def metric_names(self, job_id: str, vertex_contains: str) -> list[str]:
        """The names that `metrics` knows for this vertex now."""
        vertex = self.vertex(job_id, vertex_contains)
        answer = self.rest.get(f"/jobs/{job_id}/vertices/{vertex.id}/subtasks/metrics")
        return sorted(entry["id"] for entry in answer)

    def trigger_checkpoint(self, job_id: str, timeout_s: float = JOB_TIMEOUT_S) -> int:
        """Takes a checkpoint now; returns its number when it has completed."""
        answer = self.rest.post(f"/jobs/{job_id}/checkpoints", {"checkpointType": "CONFIGURED"})
        done = self._operation(f"/jobs/{job_id}/checkpoints/{answer['request-id']}", timeout_s)
        return int(done["checkpointId"])

    def savepoint(
        self, job_id: str, directory: str | Path | None = None, timeout_s: float = JOB_TIMEOUT_S
    ) -> str:
        """Takes a savepoint of a job that goes on; returns its path when it has completed."""
        body = {"cancel-job": False, "target-directory": _address(directory)}
        answer = self.rest.post(f"/jobs/{job_id}/savepoints", body)
        done = self._operation(f"/jobs/{job_id}/savepoints/{answer['request-id']}", timeout_s)
        return str(done["location"])

    def stop_with_savepoint(
        self,
        job_id: str,
        directory: str | Path | None = None,
        timeout_s: float = JOB_TIMEOUT_S,
        drain: bool = False,
    ) -> str:
        """Stops the job with a savepoint, as `flink stop` does; returns the savepoint's path.

        Args:
            job_id: The job.
            directory: Where the savepoint goes; by default below the cluster's directory.
            timeout_s: For the savepoint and the end of the job.
            drain: Ends the input first (watermark of plus infinity): the job can't be continued.

        Raises:
            ClusterError: Flink could not; the message has its reason.
            TimeoutError: It took longer. The request is not withdrawn.
        """
        body = {"drain": drain, "targetDirectory": _address(directory)}
        answer = self.rest.post(f"/jobs/{job_id}/stop", body)
        done = self._operation(f"/jobs/{job_id}/savepoints/{answer['request-id']}", timeout_s)
        self.wait_for(job_id, "FINISHED", timeout_s)
        return str(done["location"])

    def cancel(self, job_id: str, timeout_s: float = JOB_TIMEOUT_S) -> None:
        """Cancels the job; returns when it is CANCELED, or was in a final state already."""
        if self.job_state(job_id) not in FINAL_STATES:
            self.rest.patch(f"/jobs/{job_id}?mode=cancel")
        self.wait_for(job_id, FINAL_STATES, timeout_s)

    def _operation(self, path: str, timeout_s: float) -> Mapping[str, Any]:
        """Waits for an asynchronous operation of the REST API and returns its result."""

        def completed() -> Mapping[str, Any] | None:
            answer = self.rest.get(path)
            return answer["operation"] if answer["status"]["id"] == "COMPLETED" else None

        done = wait_until(completed, timeout_s, f"the operation {path}")
        if "failure-cause" in done:
            trace = done["failure-cause"].get("stack-trace", done["failure-cause"])
            raise ClusterError(f"{path} failed: {root_cause(str(trace))}\n{trace}")
        return done


def _address(directory: str | Path | None) -> str | None:
    return directory.absolute().as_uri() if isinstance(directory, Path) else directory


def _subtask(entry: Mapping[str, Any]) -> Subtask:
    task_manager = entry.get("taskmanager-id")
    return Subtask(
        index=entry["subtask"],
        state=entry["status"],
        attempt=entry["attempt"],
        task_manager=None if task_manager in (None, "(unassigned)") else task_manager,
    )
