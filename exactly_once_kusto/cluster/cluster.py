"""A Flink cluster of real processes on this machine, made to be killed."""

from __future__ import annotations

import signal as signals
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from exactly_once_kusto.cluster import client as clients
from exactly_once_kusto.cluster import configuration as settings
from exactly_once_kusto.cluster.errors import ClusterError, ProcessError
from exactly_once_kusto.cluster.installation import class_path, find_flink_home, find_java
from exactly_once_kusto.cluster.jobs import Jobs
from exactly_once_kusto.cluster.layout import Layout, free_ports
from exactly_once_kusto.cluster.processes import FlinkProcess, Launcher
from exactly_once_kusto.cluster.rest import RestClient
from exactly_once_kusto.cluster.submission import Submitter, await_job
from exactly_once_kusto.cluster.waiting import wait_until

READY_TIMEOUT_S = 60.0
SUBMIT_TIMEOUT_S = 120.0
_JOB_MANAGER_CLASS = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER_CLASS = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"


class TaskManager(FlinkProcess):
    """A TaskManager; its name is its resource id, which Flink shows wherever a subtask runs."""

    @property
    def resource_id(self) -> str:
        """The id under which the JobManager knows it; never used again by another."""
        return self.name


class FlinkCluster(Jobs):
    """A JobManager and TaskManagers as processes of their own, and everything done with them.

    Promises: ports are free ones of 127.0.0.1; all files are below `directory`; when the Python
    process that made the cluster ends, of whatever, all processes end within seconds. Use as a
    context manager; not from several threads at once.

    There is no high availability: a killed JobManager forgets its jobs. Continue them from their
    retained checkpoint: `run_python(..., from_savepoint=cluster.checkpoints(job).latest_path)`.

    Args:
        directory: Own directory of this cluster; made if missing. `checkpoints/`, `savepoints/`
            and `log/` stay when it ends.
        task_managers: How many to start.
        slots: Task slots of each.
        config: Flink options that override the cluster's; totals of memory are refused.
        flink_home: Default: that of the installed package `apache-flink`.
        java_home: Default: JAVA_HOME, or `java` on PATH.
        extra_jars: Jars for the class path of every process and client, as in Flink's `lib/`.
            flink-python is not there: `flink run -py` ships it with the job.
        env: Added to the environment of the JVMs, and so of their Python workers.

    Raises:
        InstallationError: Flink or Java is missing or too old.
    """

    def __init__(
        self,
        directory: str | Path,
        task_managers: int = 2,
        slots: int = 2,
        config: Mapping[str, object] | None = None,
        *,
        flink_home: str | Path | None = None,
        java_home: str | Path | None = None,
        extra_jars: Sequence[str | Path] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = Path(directory).absolute()
        self.layout = Layout(self.directory, find_flink_home(flink_home))
        self.java = find_java(java_home)
        self._initial_task_managers = task_managers
        self._slots = slots
        self._extra_jars = [Path(jar) for jar in extra_jars]
        rpc_port, rest_port = free_ports(2)
        self.config = settings.cluster_configuration(
            self.layout.shipped_configuration(),
            self.directory,
            rpc_port=rpc_port,
            rest_port=rest_port,
            slots=slots,
            overrides=config or {},
        )
        self.rest_url = f"http://{self.config['rest.address']}:{self.config['rest.port']}"
        super().__init__(RestClient(self.rest_url))
        self._env = self.layout.environment(self.java, env or {})
        self._submitter = Submitter(self.layout, self.config, self._env, self.java.major)
        self._launcher: Launcher | None = None
        self._job_manager: FlinkProcess | None = None
        self._task_managers: list[TaskManager] = []
        self._counts = {"job-manager": 0, "tm": 0, "client": 0}

    # --- life of the cluster ---

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> Self:
        """Starts all processes; returns when every slot is registered.

        Raises:
            ProcessError: One of them ended; the message has its log.
            TimeoutError: It took longer. Everything that was started has been ended.
        """
        if self._launcher is not None:
            raise ClusterError(f"the cluster in {self.directory} was started already")
        self.layout.write(self.config, self._extra_jars)
        self._launcher = Launcher()
        try:
            self.start_job_manager()
            for _ in range(self._initial_task_managers):
                self.start_task_manager()
            self.wait_ready(timeout_s)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends all processes, their workers and the clients, at once. May be called again."""
        if self._launcher is not None:
            self._launcher.close()
        self.layout.remove_temporary()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Returns when the JobManager answers and every living TaskManager's slots are registered.

        Raises:
            ProcessError: A process ended that was not killed here; the message has its log.
        """
        wait_until(
            self._ready,
            timeout_s,
            f"{self._slots} slots of each of {self._expected()} at {self.rest_url}",
        )

    def _ready(self) -> bool:
        for process in [self._job_manager, *self._task_managers]:
            if process is not None and not process.alive:
                raise ProcessError(
                    f"{process.name} ended with code {process.exit_code}; its log "
                    f"({process.log_path}) ends:\n{process.log_text(4000)}"
                )
        known = {
            entry["id"]: entry["slotsNumber"]
            for entry in self.rest.get("/taskmanagers")["taskmanagers"]
        }
        return all(known.get(name) == self._slots for name in self._expected())

    def _expected(self) -> list[str]:
        return [each.resource_id for each in self._task_managers]

    # --- processes ---

    @property
    def task_managers(self) -> list[TaskManager]:
        """Those that were started and not killed here, oldest first."""
        return list(self._task_managers)

    @property
    def job_manager(self) -> FlinkProcess:
        """The JobManager's process.

        Raises:
            ClusterError: There is none now.
        """
        if self._job_manager is None:
            raise ClusterError("there is no JobManager now. Next: start_job_manager()")
        return self._job_manager

    def start_job_manager(self) -> FlinkProcess:
        """Starts a JobManager at the cluster's address; does not wait (see `wait_ready`)."""
        if self._job_manager is not None and self._job_manager.alive:
            raise ClusterError(f"the JobManager runs already, process {self._job_manager.pid}")
        self._job_manager = self._launch(
            self._name("job-manager"),
            settings.job_manager_flags(self.config)
            + settings.java_options(self.config, "jobmanager", self.java.major),
            _JOB_MANAGER_CLASS,
            [],
        )
        return self._job_manager

    def kill_job_manager(self, signal: int = signals.SIGKILL) -> None:
        """Ends the JobManager. Its jobs are lost to it: there is no high availability.

        The TaskManagers cancel the jobs' tasks and join the JobManager that is started next.
        """
        process, self._job_manager = self.job_manager, None
        self._kill(process, signal)

    def start_task_manager(self) -> TaskManager:
        """Starts one more TaskManager, with a new resource id; does not wait (see `wait_ready`)."""
        name = self._name("tm")
        started = self._launch(
            name,
            settings.task_manager_flags(self.config)
            + settings.java_options(self.config, "taskmanager", self.java.major),
            _TASK_MANAGER_CLASS,
            ["-D", f"taskmanager.resource-id={name}"],
            TaskManager,
        )
        assert isinstance(started, TaskManager)
        self._task_managers.append(started)
        return started

    def kill_task_manager(self, task_manager: TaskManager, signal: int = signals.SIGKILL) -> None:
        """Sends the signal to the JVM alone and returns when that has ended.

        Its Python workers are left to notice by themselves, as they would anywhere.
        """
        self._task_managers.remove(task_manager)
        self._kill(task_manager, signal)

    def _kill(self, process: FlinkProcess, signal: int) -> None:
        process.send(signals.SIGCONT)
        process.send(signal)
        process.wait_ended()

    def pause_task_manager(self, task_manager: TaskManager, workers: bool = False) -> None:
        """Stops the JVM's clock (SIGSTOP), with `workers` also that of what it started.

        Flink gives it up after `heartbeat.timeout`, and it may wake up later: a zombie.
        """
        task_manager.send(signals.SIGSTOP, group=workers)

    def resume_task_manager(self, task_manager: TaskManager) -> None:
        """Lets a paused TaskManager and its workers go on (SIGCONT)."""
        task_manager.send(signals.SIGCONT, group=True)

    def task_manager(self, resource_id: str) -> TaskManager:
        """The TaskManager of this resource id, if it was not killed here."""
        for each in self._task_managers:
            if each.resource_id == resource_id:
                return each
        raise ClusterError(f"no TaskManager {resource_id!r}; there are {self._expected()}")

    def task_manager_of(
        self, job_id: str, vertex_name_contains: str, subtask: int = 0
    ) -> TaskManager:
        """The TaskManager that runs this subtask of the one vertex with such a name."""
        vertex = self.vertex(job_id, vertex_name_contains)
        resource_id = vertex.subtasks[subtask].task_manager
        if resource_id is None:
            raise ClusterError(f"subtask {subtask} of {vertex.name!r} is on no TaskManager yet")
        return self.task_manager(resource_id)

    def _name(self, kind: str) -> str:
        self._counts[kind] += 1
        return f"{kind}-{self._counts[kind]}"

    def _running(self) -> Launcher:
        if self._launcher is None:
            raise ClusterError("the cluster is not started. Next: start(), or use it in a 'with'")
        return self._launcher

    def _launch(
        self,
        name: str,
        options: Sequence[str],
        main_class: str,
        args: Sequence[str],
        kind: type[FlinkProcess] = FlinkProcess,
    ) -> FlinkProcess:
        """Mirrors the last lines of bin/flink-console.sh: class path, log settings, `exec java`."""
        log, conf = self.layout.log, self.layout.conf
        log_path = log / f"{name}.log"
        log4j = (conf / "log4j-console.properties").as_uri()
        command = [str(self.java.executable), *options, f"-Dlog.file={log_path}"]
        command += ["-Dconsole.log.level=OFF", f"-Dlog4j.configurationFile={log4j}"]
        command += ["-classpath", class_path(self.layout.lib), main_class]
        return self._running().start(
            name,
            [*command, "--configDir", str(conf), *args],
            self._env,
            output_path=log / f"{name}.out",
            log_path=log_path,
            directory=self.directory,
            kind=kind,
        )

    # --- jobs ---

    def run_python(
        self,
        job: str | Path,
        args: Sequence[object] = (),
        *,
        python: str | Path | None = None,
        jars: Sequence[str | Path] = (),
        py_files: Sequence[str | Path] = (),
        env: Mapping[str, str] | None = None,
        config: Mapping[str, object] | None = None,
        from_savepoint: str | None = None,
        allow_non_restored: bool = False,
        parallelism: int | None = None,
        client: str = "flink",
        timeout_s: float = SUBMIT_TIMEOUT_S,
    ) -> str:
        """Submits a PyFlink script, detached; returns the id of its first job once it is accepted.

        The client may go on after that (a script that submits several jobs, or waits for one); it
        ends with the cluster at the latest.

        Args:
            job: The script.
            args: Its arguments; `str()` is taken of each.
            python: Interpreter of the client and of Python functions; default: this one.
            jars: Jars for the job's class path.
            py_files: Python files and directories for the client and for Python functions.
            env: Added to the client's environment (not to that of the TaskManagers).
            config: Flink options of this job alone.
            from_savepoint: Path of a savepoint or retained checkpoint to go on from.
            allow_non_restored: Leaves out state that no operator of the job claims.
            parallelism: Default parallelism of the job.
            client: `flink` for bin/flink run, `python` for the quicker way (see client.py).
            timeout_s: Until the job is accepted; the client is ended when it takes longer.

        Raises:
            ClientError: The client ended without a job; the message has its exceptions.
            TimeoutError: No job was accepted in time; the message ends with the client's output.
        """
        if client not in clients.CLIENTS:
            raise ValueError(f"client is {client!r}, known: {clients.CLIENTS}")
        submission = clients.Submission(
            job=Path(job).absolute(),
            args=tuple(str(arg) for arg in args),
            python=str(python or sys.executable),
            jars=tuple(Path(jar).absolute() for jar in jars),
            py_files=tuple(Path(path).absolute() for path in py_files),
            from_savepoint=from_savepoint,
            allow_non_restored=allow_non_restored,
            parallelism=parallelism,
            config={key: str(value) for key, value in (config or {}).items()},
        )
        launcher = self._running()
        process = self._submitter.start(
            launcher, self._name("client"), client, submission, env or {}
        )
        return await_job(launcher, process, timeout_s)

    # --- logs ---

    def log_text(self, process: FlinkProcess) -> str:
        """The end of what this process wrote."""
        return process.log_text()

    def all_logs(self, chars_max: int = 20_000) -> str:
        """The end of what every process wrote, also the dead ones, each under its name."""
        started = self._launcher.started if self._launcher else []
        return "\n".join(
            f"===== {each.name} (process {each.pid}, "
            f"{'alive' if each.alive else f'ended with code {each.exit_code}'})\n"
            f"{each.log_text(chars_max)}"
            for each in started
        )
