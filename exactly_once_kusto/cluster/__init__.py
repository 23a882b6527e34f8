"""A local Flink cluster of real processes that can be killed on purpose.

    with FlinkCluster(directory) as cluster:
        job = cluster.run_python("job.py")
        cluster.wait_checkpoint(job)
        cluster.kill_task_manager(cluster.task_manager_of(job, "coordinator"))
        cluster.start_task_manager()
        cluster.wait_running(job)

Needs Linux, Java 11 or newer, and the package `apache-flink`; imports nothing but the standard
library.
"""

from exactly_once_kusto.cluster.cluster import FlinkCluster, TaskManager
from exactly_once_kusto.cluster.errors import (
    ClientError,
    ClusterError,
    InstallationError,
    JobEndedError,
    ProcessError,
    RestError,
    RestUnreachableError,
)
from exactly_once_kusto.cluster.jobs import Checkpoints, JobException, Subtask, Vertex
from exactly_once_kusto.cluster.processes import FlinkProcess
from exactly_once_kusto.cluster.waiting import wait_until

__all__ = [
    "Checkpoints",
    "ClientError",
    "ClusterError",
    "FlinkCluster",
    "FlinkProcess",
    "InstallationError",
    "JobEndedError",
    "JobException",
    "ProcessError",
    "RestError",
    "RestUnreachableError",
    "Subtask",
    "TaskManager",
    "Vertex",
    "wait_until",
]
