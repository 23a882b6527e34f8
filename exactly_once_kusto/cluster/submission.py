"""Runs a client until its job is accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exactly_once_kusto.cluster import client as clients
from exactly_once_kusto.cluster.configuration import java_options
from exactly_once_kusto.cluster.errors import ClientError
from exactly_once_kusto.cluster.installation import link_jars
from exactly_once_kusto.cluster.layout import Layout
from exactly_once_kusto.cluster.processes import FlinkProcess, Launcher, tail
from exactly_once_kusto.cluster.traces import submitted_jobs
from exactly_once_kusto.cluster.waiting import wait_until

OUTPUT_CHARS_MAX = 1_000_000


@dataclass(frozen=True)
class Submitter:
    """Starts clients against the cluster that has this layout and configuration."""

    layout: Layout
    config: Mapping[str, str]
    env: Mapping[str, str]
    java_major: int

    def start(
        self,
        launcher: Launcher,
        name: str,
        kind: str,
        submission: clients.Submission,
        env: Mapping[str, str],
    ) -> FlinkProcess:
        """Starts a client of this kind; all it writes is below `log/<name>/`."""
        log = self.layout.log / name
        log.mkdir(parents=True, exist_ok=True)
        options = java_options(self.config, "client", self.java_major)
        environment = clients.client_environment({**self.env, **env}, submission, options)
        environment["FLINK_LOG_DIR"] = str(log)
        if kind == "flink":
            command = clients.flink_command(self.layout.flink_home, submission)
        else:
            command = clients.python_command(submission)
            said = clients.python_configuration(self.layout.flink_home, submission)
            self.layout.write_conf(log / "conf", {**self.config, **said})
            # The gateway's class path is FLINK_LIB_DIR: the job's own jars have to be on it.
            link_jars(log / "lib", [*sorted(self.layout.lib.glob("*.jar")), *submission.jars])
            environment["FLINK_CONF_DIR"] = str(log / "conf")
            environment["FLINK_LIB_DIR"] = str(log / "lib")
        return launcher.start(
            name,
            command,
            environment,
            output_path=log / "output.txt",
            directory=self.layout.directory,
        )


def await_job(launcher: Launcher, process: FlinkProcess, timeout_s: float) -> str:
    """Returns the id of the first job that the client reports as accepted.

    Raises:
        ClientError: It ended without one.
        TimeoutError: It reported none in time; it has been ended.
    """
    log = process.output_path.parent

    def accepted() -> list[str] | None:
        ended = not process.alive  # asked before its output is read: nothing comes after
        written = [tail(process.output_path, OUTPUT_CHARS_MAX)]
        written += [tail(path, OUTPUT_CHARS_MAX) for path in sorted(log.glob("*.log"))]
        jobs = submitted_jobs("\n".join(written))
        if ended and not jobs:
            reason = f"ended with code {process.exit_code} and submitted no job:"
            message = clients.failure_message(process.name, reason, written[0], log)
            raise ClientError(message, written[0])
        return jobs or None

    try:
        return wait_until(accepted, timeout_s, f"a job from {process.name}", 0.05)[0]
    except TimeoutError as error:
        launcher.end(process)
        raise TimeoutError(f"{error}; its output:\n{process.log_text(4000)}") from None
