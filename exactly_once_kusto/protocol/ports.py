"""The ports that a sink implements. The protocol calls nothing else.

A sink is found by the name `package.module:callable`; the callable takes the table's options
(text to text, as in DDL) and returns a `Sink`. It is called in every worker process anew, so
whatever it needs must be in the options or in the process's environment.

Every method may raise `TransientError` ('try again later'); the drivers do, with back-off. Any
other exception fails the task with the worker's traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from exactly_once_kusto.protocol.outcome import (
    Access,
    OperationStatus,
    Sighting,
    Submission,
    Transaction,
)
from exactly_once_kusto.protocol.slices import Part

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the row type: its name and its Flink type as SQL, for example `DECIMAL(10, 2)`.

    The type is written without `NOT NULL`; `nullable` says whether nulls may come.
    """

    name: str
    type: str
    nullable: bool = True


class Writer(Protocol):
    """One writer subtask. Called from one thread, in the order write*, seal, write*, seal ..."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch. Memory stays bounded whatever the number of rows until `seal` (I9).

        Raises:
            ValueRefusedError: a value that the target would change in silence.
        """

    def seal(self) -> Sequence[Part]:
        """Make all rows since the last seal durable under names never used before.

        No rows, no part. After it returns the parts can be read by anyone who is told the
        address, and no later call changes them.
        """

    def close(self) -> None:
        """Release what is open and remove what is not sealed. Never called by an abrupt end."""


class LedgerStore(Protocol):
    """Numbered entries, each created only if absent; numbers are never free again."""

    @property
    def address(self) -> str:
        """Where the log lies, without secrets; the same text for the same log."""

    def read(self, after: int) -> Sequence[tuple[int, bytes]]:
        """Return all entries with a number above `after`, in order and without a gap."""

    def append(self, number: int, data: bytes) -> bool:
        """Create entry `number`, durably. True: the entry is `data`; False: it is another's.

        Calling again with the same bytes is harmless: that is how a lost reply is resolved.
        """


class Brake(Protocol):
    """A sign that all writers of a sink can see: wait at the next barrier, too much is waiting.

    The guarantee does not rest on it, and writers wait for a limited time only.
    """

    def put_on(self, reason: str) -> None:
        """Hold the writers back; `reason` is for people who find the sign."""

    def take_off(self) -> None:
        """Let them go on; harmless where nothing holds them."""

    def is_on(self) -> bool:
        """Whether they are held back."""


class Target(Protocol):
    """Phase two: what turns staged parts into rows of the target, and what looks for them."""

    def preflight(self) -> None:
        """Check table, columns, rights, retention and staging before the first row is taken.

        Raises:
            TargetError: what can be known to be unfit, with both sides named.
            TargetUnavailableError: nothing could be known now.
        """

    def mint(self, transaction: Transaction, attempt: int) -> Access:
        """Make the access that this attempt's command will carry. Never renewed, never stored."""

    def submit(self, transaction: Transaction, attempt: int) -> Submission:
        """Send exactly one request, without any retry below. Does not raise for its outcome."""

    def poll(self, transaction: Transaction, operation: str) -> OperationStatus:
        """Say how the operation stands."""

    def look(
        self, transaction: Transaction, operations: Sequence[str], since: float, until: float
    ) -> Sighting:
        """Find the extents that bear the transaction's tag or that `operations` name.

        The sighting is busy while an operation of the principal runs that started between `since`
        and `until` (seconds since the epoch): one outside can't be one of the open attempts.
        """

    def delete(self, parts: Sequence[Part]) -> None:
        """Delete staged parts; those that are gone are fine. Called after `committed` only."""


class Sink(Protocol):
    """A sink as the framework sees it."""

    @property
    def name(self) -> str:
        """The name under which the ledger is kept; one running job a name."""

    @property
    def settings(self) -> Settings:
        """What the coordinator goes by."""

    def check(self, columns: Sequence[Column]) -> None:
        """Refuse what can be refused without any I/O, when the job is submitted.

        Raises:
            ConfigurationError: an option or a column's type.
        """

    def writer(self, columns: Sequence[Column], schema: pa.Schema) -> Writer:
        """Return a writer for batches of `schema`."""

    def ledger(self) -> LedgerStore:
        """Return the log under this sink's name."""

    def brake(self) -> Brake:
        """Return the sign by which the coordinator holds the writers back."""

    def target(self, columns: Sequence[Column]) -> Target:
        """Return the target, for the coordinator and for a writer's preflight."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The coordinator's limits and choices; a sink fills them from its options.

    Slices are held back until they have `hold_bytes` uncompressed bytes together (0: no size is
    enough) or are `hold_age_s` old (0: nothing is held back). Above one of the `pending_*_max` the
    writers are held back.
    """

    mode: str = "direct"
    on_rewind: str = "refuse"
    commit_wait_s: float = 10.0
    settle_s: float = 60.0
    group_bytes_max: int = 1 << 30
    group_parts_max: int = 500
    hold_bytes: int = 0
    hold_age_s: float = 0.0
    pending_slices_max: int = 10_000
    pending_bytes_max: int = 1 << 40
    pending_state_bytes_max: int = 32 << 20
    log_wait_s: float = 600.0
    backoff_first_s: float = 0.5
    backoff_max_s: float = 60.0
    poll_first_s: float = 0.05
    poll_max_s: float = 1.0
