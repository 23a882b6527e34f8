from __future__ import annotations

from pathlib import Path

from exactly_once_kusto.cluster.client import (
    Submission,
    client_environment,
    flink_command,
    python_configuration,
)
from exactly_once_kusto.cluster.traces import exception_chain, root_cause, submitted_jobs

FIRST, SECOND = "0a" * 16, "1b" * 16
JAVA_TRACE = """org.apache.flink.runtime.JobException: Recovery is suppressed by FixedDelay
\tat org.apache.flink.runtime.SomeException.make(SomeException.java:3)
Caused by: java.lang.Exception: Could not perform checkpoint 3
\tat a.b.C.d(C.java:1)
\t... 3 more
Caused by: java.io.IOException: disk full
\tat a.b.C.d(C.java:2)
"""
CLIENT_TRACE = """Traceback (most recent call last):
  File "job.py", line 3, in <module>
    t.execute_sql("INSERT INTO nowhere SELECT 1")
py4j.protocol.Py4JJavaError: An error occurred while calling o7.executeSql.
: org.apache.flink.table.api.ValidationException: Cannot find table 'nowhere'
\tat org.apache.flink.x.Y.z(Y.java:1)
"""


def test_job_is_not_seen_in_the_output_of_either_client() -> None:
    flink = f"Warning: x\nJob has been submitted with JobID {FIRST}\n"
    logged = f"INFO RestClusterClient [] - Successfully submitted job 'a (b)' ({SECOND}) to 'http'"
    assert submitted_jobs(flink + logged + "\n" + flink) == [FIRST, SECOND]


def test_job_that_was_only_tried_counts_as_submitted() -> None:
    assert submitted_jobs(f"Submitting job 'a' ({FIRST}).") == []


def test_root_cause_is_not_the_innermost() -> None:
    assert root_cause(JAVA_TRACE) == "java.io.IOException: disk full"
    assert exception_chain(JAVA_TRACE)[1] == "java.lang.Exception: Could not perform checkpoint 3"
    assert len(exception_chain(JAVA_TRACE)) == 3


def test_java_cause_is_hidden_behind_py4j() -> None:
    chain = exception_chain(CLIENT_TRACE)
    assert chain[0].startswith("py4j.protocol.Py4JJavaError")
    assert chain[-1].endswith("ValidationException: Cannot find table 'nowhere'")


def test_trace_without_an_exception_has_no_cause() -> None:
    assert root_cause("  it broke \n more") == "it broke"


def submission() -> Submission:
    return Submission(
        job=Path("/j.py"),
        args=("5",),
        python="/p",
        jars=(Path("/a b.jar"),),
        py_files=(Path("/m"), Path("/n.py")),
        from_savepoint="file:/s",
        allow_non_restored=True,
        parallelism=2,
        config={"pipeline.name": "x"},
    )


def test_flink_client_forgets_an_argument() -> None:
    command = " ".join(flink_command(Path("/f"), submission()))
    assert command == (
        "/f/bin/flink run --detached -pyclientexec /p -pyexec /p --fromSavepoint file:/s "
        "--allowNonRestoredState --parallelism 2 -C file:///a%20b.jar -pyfs /m,/n.py "
        "-Dpipeline.name=x -py /j.py 5"
    )


def test_python_client_forgets_an_argument(tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt" / "flink-python-9.jar").touch()
    said = python_configuration(tmp_path, submission())
    python_jar = (tmp_path / "opt" / "flink-python-9.jar").as_uri()
    assert said == {
        "execution.target": "remote",
        "execution.attached": "false",
        "pipeline.jars": f"file:///a%20b.jar;{python_jar}",
        "python.client.executable": "/p",
        "python.executable": "/p",
        "python.files": "/m,/n.py",
        "execution.state-recovery.path": "file:/s",
        "execution.state-recovery.ignore-unclaimed-state": "true",
        "parallelism.default": "2",
        "pipeline.name": "x",
    }


def test_python_client_does_not_find_a_module_of_py_files() -> None:
    env = client_environment({"PYTHONPATH": "/before"}, submission(), ["-Xmx1m", "-Da=b"])
    assert env["PYTHONPATH"] == "/m:/:/before"
    assert env["FLINK_ENV_JAVA_OPTS"] == "-Xmx1m -Da=b"
