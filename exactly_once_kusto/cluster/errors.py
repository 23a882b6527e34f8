"""What the cluster raises, named by what the caller does next.

    ClusterError
    ├── InstallationError    install Flink or Java, or say where it lies
    ├── ProcessError         a JVM ended that should run; its log says why
    ├── ClientError          the job was not submitted; mend the job
    ├── JobEndedError        the job reached a final state that was not awaited
    └── RestError            the REST API refused a request
        └── RestUnreachableError   nobody answers: the JobManager starts, is paused or is dead

A wait that runs out raises the builtin `TimeoutError`, with what was awaited and seen last.
"""

from __future__ import annotations


class ClusterError(Exception):
    """Base of the tree."""


class InstallationError(ClusterError):
    """Flink or Java is missing or too old; the message says what to install or to set."""


class ProcessError(ClusterError):
    """A JobManager or TaskManager ended by itself; the message ends with its log."""


class ClientError(ClusterError):
    """The client submitted no job. The message begins with its chain of exceptions.

    Attributes:
        output: Everything that the client wrote.
    """

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


class JobEndedError(ClusterError):
    """The job is in a final state that the caller did not wait for."""


class RestError(ClusterError):
    """The REST API answered with an error.

    Attributes:
        status: The HTTP status, or 0 if there was no answer.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class RestUnreachableError(RestError):
    """Nobody answered in time: the JobManager is starting, paused or dead."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 0)
