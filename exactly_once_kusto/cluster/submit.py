"""Runs a PyFlink script with a cluster as its context environment: `python submit.py JOB ARGS`.

Run by path, in the interpreter of the job. The configuration is the one of FLINK_CONF_DIR; a
script that asks for the execution environment then gets one that submits there, as it would under
`flink run` (Flink: `ClientUtils.executeProgram`, `StreamContextEnvironment.setAsContext`).
"""

from __future__ import annotations

import os
import runpy
import sys

_JOBS_MAX = 2**31 - 1


def run(job: str, args: list[str]) -> None:
    """Runs the script as `__main__`; what it raises is the caller's to see."""
    from pyflink.java_gateway import get_gateway

    jvm = get_gateway().jvm
    configuration = jvm.org.apache.flink.configuration.GlobalConfiguration.loadConfiguration(
        os.environ["FLINK_CONF_DIR"]
    )
    jvm.org.apache.flink.client.program.StreamContextEnvironment.setAsContext(
        jvm.org.apache.flink.core.execution.DefaultExecutorServiceLoader(),
        configuration,
        jvm.Thread.currentThread().getContextClassLoader(),
        # As ClientUtils does when it doesn't enforce a single job; the signature is Flink 2.3's.
        _JOBS_MAX,
        _JOBS_MAX,
        False,
        None,
        None,
        jvm.java.util.Collections.emptyList(),
    )
    sys.argv = [job, *args]
    sys.path[0] = os.path.dirname(os.path.abspath(job))
    runpy.run_path(job, run_name="__main__")


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
