"""Every error this package raises, one tree, leaves named by what the caller does next.

    ExactlyOnceError
    ├── ConfigurationError        mend the option, type or address, then submit again
    │   ├── OptionError           one option is missing, unknown or malformed
    │   ├── TypeRefusedError      a column's type is not carried, or does not fit the target
    │   ├── TargetError           table, column, permission or policy of the target is not fit
    │   └── StagingError          the staging address can't be used: no right, no directory
    ├── ValueRefusedError         one row holds what the target would cut in silence
    ├── DecodeError               bytes are not ours, damaged, or of a newer version
    ├── TransientError            try again later; nothing is known to be wrong
    │   ├── StorageUnavailableError
    │   └── TargetUnavailableError
    ├── StoppedError              the coordinator stopped on purpose; a person or Flink goes on
    │   ├── FencedError           a later start under the same name; Flink may restart this one
    │   ├── NameTakenError        another job owns the name; not restarted
    │   ├── RewindError           an older state was restored; a person chooses
    │   ├── SuspectError          evidence contradicts the ledger; a person looks
    │   ├── EvidenceExpiredError  nothing can be known any more; a person decides
    │   └── CommitRefusedError    the target refused for good; mend the cause, then run again
    └── WorkerError               a worker process or its frames broke; Flink restarts the task

`restartable` says whether Flink may restart the job by itself: where the same call would fail
again until a person has done something, it may not.
"""

from __future__ import annotations


class ExactlyOnceError(Exception):
    """Base of the tree: catches everything that this package raises on purpose."""

    restartable = True


class ConfigurationError(ExactlyOnceError):
    """What was asked for can't work; the message says what to change. Not restarted."""

    restartable = False


class OptionError(ConfigurationError):
    """An option is missing, unknown or malformed."""


class TypeRefusedError(ConfigurationError):
    """A column's type is not carried, or does not fit the column of the target."""


class TargetError(ConfigurationError):
    """Table, column, permission or policy of the target does not fit."""


class StagingError(ConfigurationError):
    """The staging address can't be used as it is: no right, read-only, or not a directory."""


class ValueRefusedError(ExactlyOnceError):
    """A row holds a value that the target would change in silence. Not restarted."""

    restartable = False


class DecodeError(ExactlyOnceError):
    """Bytes are not ours, damaged, or written by a newer version. Not restarted."""

    restartable = False


class TransientError(ExactlyOnceError):
    """A service or disk did not do what it usually does; the same call may succeed later."""


class StorageUnavailableError(TransientError):
    """Staging or the ledger can't be reached, read or written now."""


class TargetUnavailableError(TransientError):
    """The target can't be reached or is throttling now."""


class StoppedError(ExactlyOnceError):
    """The coordinator stopped on purpose, so that nothing is lost or doubled. Not restarted."""

    restartable = False


class FencedError(StoppedError):
    """A later start under the same name was found. Flink may restart this job's task."""

    restartable = True


class NameTakenError(StoppedError):
    """The name belongs to another job that has not ended."""


class RewindError(StoppedError):
    """An older state was restored than what the ledger knows to be committed or tried."""


class SuspectError(StoppedError):
    """The rows found contradict what was staged. Everything is kept."""


class EvidenceExpiredError(StoppedError):
    """Nothing was found, but what was there may have expired: a person has to decide."""


class CommitRefusedError(StoppedError):
    """The target refused a transaction for good. Its slices stay in Flink's state."""


class WorkerError(ExactlyOnceError):
    """A worker process ended, hung, or sent what is not a frame."""
