"""Events go in, actions come out: the only way into and out of the state machines. Frozen values.

Rule: an action is performed by a driver with exactly one port call (or none), and answered by
exactly one event. The machine never has two actions of one lane under way: one for the log, one
for the target, one for what is only tidied (deletions, the brake).
"""

from __future__ import annotations

from dataclasses import dataclass

from exactly_once_kusto.errors import ExactlyOnceError
from exactly_once_kusto.protocol.entries import Entry
from exactly_once_kusto.protocol.outcome import (
    Access,
    OperationStatus,
    Sighting,
    Submission,
    Transaction,
)
from exactly_once_kusto.protocol.slices import Part


@dataclass(frozen=True, slots=True)
class Moment:
    """What the world adds to every event, so that the machine needs no clock and no dice.

    `now` is in seconds since the epoch by the storage's clock as far as it is known; `nonce` has
    128 random bits in hex, fresh for this event; `jitter` is uniform in [0, 1).
    """

    now: float
    nonce: str
    jitter: float


# ---- events: Flink


@dataclass(frozen=True, slots=True)
class Restored:
    """What Flink gave back: the checkpoint's number and the bytes kept in it."""

    checkpoint: int
    states: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """The coordinator operator opens. `restored` is None on a fresh start."""

    job: str
    operator: str
    host: str
    attempt: int
    restored: Restored | None
    batch: bool = False
    """No checkpoints come: everything is committed when the input has ended."""


@dataclass(frozen=True, slots=True)
class PartArrived:
    """A writer's part, as `encode_part` wrote it."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SnapshotAsked:
    """The barrier of a checkpoint or savepoint is here."""

    checkpoint: int


@dataclass(frozen=True, slots=True)
class CheckpointCompleted:
    """Flink says that a checkpoint is complete: what was sealed up to it is due."""

    checkpoint: int


@dataclass(frozen=True, slots=True)
class CheckpointAborted:
    """A checkpoint failed; its slices stay, and are due with the next one that completes."""

    checkpoint: int


@dataclass(frozen=True, slots=True)
class InputEnded:
    """No part comes after this one; in streaming the final checkpoint is still to come."""


# ---- events: replies


@dataclass(frozen=True, slots=True)
class LogRead:
    """Entries above the position that was asked for, in order."""

    entries: tuple[tuple[int, Entry], ...]


@dataclass(frozen=True, slots=True)
class Appended:
    """The entry stands under its number."""


@dataclass(frozen=True, slots=True)
class NumberTaken:
    """Another process was first: read on, think again."""


@dataclass(frozen=True, slots=True)
class LogUnavailable:
    """The log could not be read or written now; whether an append took is unknown."""

    message: str


@dataclass(frozen=True, slots=True)
class Checked:
    """Preflight's answer: None for 'fit', else what is wrong. `known` is False for 'can't tell'."""

    error: ExactlyOnceError | None
    known: bool = True


@dataclass(frozen=True, slots=True)
class Minted:
    """Access for one attempt exists; its secret stays behind the port."""

    access: Access


@dataclass(frozen=True, slots=True)
class Submitted:
    """How one request went."""

    submission: Submission


@dataclass(frozen=True, slots=True)
class Polled:
    """How an operation stands."""

    status: OperationStatus


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at the target found."""

    sighting: Sighting


@dataclass(frozen=True, slots=True)
class TargetFailed:
    """A port of the target raised TransientError; nothing is known."""

    message: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """Staged parts are gone, or could not be deleted (`message`): the sweep comes back to them."""

    message: str | None = None


@dataclass(frozen=True, slots=True)
class BrakeSet:
    """The sign for the writers is as it was asked for, or not (`message`)."""

    message: str | None = None


@dataclass(frozen=True, slots=True)
class PortBroke:
    """A port raised an error of ours that no second try can mend."""

    error: ExactlyOnceError


@dataclass(frozen=True, slots=True)
class Woken:
    """The time asked for by `Wake` has passed."""

    key: str


Event = (
    Opened
    | PartArrived
    | SnapshotAsked
    | CheckpointCompleted
    | CheckpointAborted
    | InputEnded
    | LogRead
    | Appended
    | NumberTaken
    | LogUnavailable
    | Checked
    | Minted
    | Submitted
    | Polled
    | Looked
    | TargetFailed
    | Deleted
    | BrakeSet
    | PortBroke
    | Woken
)


# ---- actions: log lane


@dataclass(frozen=True, slots=True)
class ReadLog:
    """Read all entries above `after` -> LogRead | LogUnavailable."""

    after: int


@dataclass(frozen=True, slots=True)
class Append:
    """Create the entry -> Appended | NumberTaken | LogUnavailable."""

    number: int
    entry: Entry


# ---- actions: target lane


@dataclass(frozen=True, slots=True)
class CheckTarget:
    """Preflight -> Checked."""


@dataclass(frozen=True, slots=True)
class Mint:
    """Mint access for an attempt -> Minted | TargetFailed."""

    transaction: Transaction
    attempt: int


@dataclass(frozen=True, slots=True)
class Submit:
    """One request -> Submitted. Never repeated by the driver."""

    transaction: Transaction
    attempt: int


@dataclass(frozen=True, slots=True)
class Poll:
    """Ask for an operation -> Polled | TargetFailed."""

    transaction: Transaction
    operation: str


@dataclass(frozen=True, slots=True)
class Look:
    """Look for the rows -> Looked | TargetFailed."""

    transaction: Transaction
    operations: tuple[str, ...]
    since: float
    until: float


# ---- actions: the rest


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete parts that are committed -> Deleted."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class SetBrake:
    """Hold the writers back for a reason, or let them go (None) -> BrakeSet."""

    reason: str | None


@dataclass(frozen=True, slots=True)
class Wake:
    """Send Woken(key) after `delay_s`."""

    key: str
    delay_s: float


@dataclass(frozen=True, slots=True)
class Say:
    """A line for the log; no answer."""

    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Ready:
    """To Flink: the coordinator has opened; no answer."""


@dataclass(frozen=True, slots=True)
class KeepState:
    """To Flink: the bytes of a snapshot; no answer."""

    checkpoint: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Release:
    """To Flink: `notifyCheckpointComplete` may return; no answer.

    In a batch, -1: everything is in, the input's end may return.
    """

    checkpoint: int


@dataclass(frozen=True, slots=True)
class Stop:
    """To Flink: the task fails with this error; the machine takes no further event."""

    error: ExactlyOnceError


Action = (
    ReadLog
    | Append
    | CheckTarget
    | Mint
    | Submit
    | Poll
    | Look
    | Delete
    | SetBrake
    | Wake
    | Say
    | Ready
    | KeepState
    | Release
    | Stop
)
