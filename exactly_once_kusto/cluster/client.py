"""How a Python job is submitted: command lines and environments. Pure but for reading nothing.

Two clients, both with the user's own script:

- `flink`: `bin/flink run -py`, as everybody does it.
- `python`: the interpreter runs the script through `submit.py`, which makes the cluster the
  context environment as `org.apache.flink.client.ClientUtils.executeProgram` does. It saves the
  shell script's two extra JVMs; what the job gets is the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exactly_once_kusto.cluster.traces import exception_chain

CLIENTS = ("flink", "python")


@dataclass(frozen=True)
class Submission:
    """What is submitted, and from where it goes on."""

    job: Path
    args: tuple[str, ...]
    python: str
    jars: tuple[Path, ...] = ()
    py_files: tuple[Path, ...] = ()
    from_savepoint: str | None = None
    allow_non_restored: bool = False
    parallelism: int | None = None
    config: Mapping[str, str] | None = None


def flink_command(flink_home: Path, submission: Submission) -> list[str]:
    """The command line of `bin/flink run`.

    `run -py` ships opt/flink-python itself (PackagedProgramUtils.getPythonJar). It replaces
    `pipeline.jars`, so more jars go by `-C`, which every process of a local cluster can read.
    """
    command = [str(flink_home / "bin" / "flink"), "run", "--detached"]
    command += ["-pyclientexec", submission.python, "-pyexec", submission.python]
    if submission.from_savepoint is not None:
        command += ["--fromSavepoint", submission.from_savepoint]
    if submission.allow_non_restored:
        command.append("--allowNonRestoredState")
    if submission.parallelism is not None:
        command += ["--parallelism", str(submission.parallelism)]
    for jar in submission.jars:
        command += ["-C", jar.as_uri()]
    if submission.py_files:
        command += ["-pyfs", ",".join(str(path) for path in submission.py_files)]
    for key, value in (submission.config or {}).items():
        command.append(f"-D{key}={value}")
    return [*command, "-py", str(submission.job), *submission.args]


def python_command(submission: Submission) -> list[str]:
    """The command line that runs the job's script as the client itself."""
    submit = Path(__file__).with_name("submit.py")
    return [submission.python, str(submit), str(submission.job), *submission.args]


def python_configuration(flink_home: Path, submission: Submission) -> dict[str, str]:
    """What `flink_command` says by arguments, as configuration (ExecutionConfigAccessor)."""
    jars = [*submission.jars, *sorted((flink_home / "opt").glob("flink-python*.jar"))]
    said = {
        "execution.target": "remote",
        "execution.attached": "false",
        "pipeline.jars": ";".join(jar.as_uri() for jar in jars),
        "python.client.executable": submission.python,
        "python.executable": submission.python,
    }
    if submission.py_files:
        said["python.files"] = ",".join(str(path) for path in submission.py_files)
    if submission.from_savepoint is not None:
        said["execution.state-recovery.path"] = submission.from_savepoint
    if submission.allow_non_restored:
        said["execution.state-recovery.ignore-unclaimed-state"] = "true"
    if submission.parallelism is not None:
        said["parallelism.default"] = str(submission.parallelism)
    return said | dict(submission.config or {})


def client_environment(
    base: Mapping[str, str], submission: Submission, java_options: Sequence[str]
) -> dict[str, str]:
    """The environment of a client process: the cluster's, and what PyFlink's gateway reads."""
    env = dict(base)
    # `-py` runs the script with these on the module path; a plain interpreter needs them said. Of
    # a single module, what is searched is the directory it lies in.
    searched = [path.parent if path.suffix == ".py" else path for path in submission.py_files]
    paths = [*(str(path) for path in searched), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    env["PYTHONUNBUFFERED"] = "1"
    env["FLINK_ENV_JAVA_OPTS"] = " ".join(java_options)
    return env


def failure_message(name: str, reason: str, output: str, log_path: Path) -> str:
    """The chain of exceptions first, then the end of all that the client wrote."""
    chain = exception_chain(output)
    shown = "\n  ".join(chain) or "(no exception in the output)"
    return f"{name} {reason}\n  {shown}\n--- output, log in {log_path}:\n{output[-8000:].strip()}"
