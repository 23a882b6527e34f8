"""The ledger as a fold: entries in, what is known out.

The log has one order for all processes, so all of them fold the same knowledge. Nothing is
forgotten here but by pruning, which a later version adds (an entry becomes a stub, its knowledge
moves into a snapshot entry).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from exactly_once_kusto.protocol.entries import (
    Batch,
    Committed,
    End,
    Entry,
    Intent,
    Operation,
    RewindAccepted,
    Start,
)
from exactly_once_kusto.protocol.outcome import Transaction


@dataclass(frozen=True, slots=True)
class Attempt:
    """One intent of a transaction: at most one request stands behind it."""

    number: int
    time: float
    expires_at: float | None
    operation: str | None = None


@dataclass(slots=True)
class Known:
    """What the log says of one transaction. `first` is the number of its first intent."""

    transaction: Transaction
    lineage: str
    mode: str
    first: int
    attempts: list[Attempt] = field(default_factory=list)
    committed: Committed | None = None

    @property
    def intended_at(self) -> float:
        """When the first attempt was intended, seconds since the epoch."""
        return self.attempts[0].time

    def operations(self) -> list[str]:
        """The operations known so far, oldest first."""
        return [a.operation for a in self.attempts if a.operation is not None]


class Ledger:
    """The fold. `position` is the number of the last entry folded, 0 before the first."""

    def __init__(self) -> None:
        self.position = 0
        self.transactions: dict[str, Known] = {}
        self.adopted: dict[str, str] = {}
        """Slice id -> the transaction it is once and for all part of."""
        self.last_start: tuple[int, Start] | None = None
        self.batches: dict[str, Batch] = {}
        """Job -> all slices of its batch, as its first run listed them."""
        self._first_starts: dict[str, Start] = {}
        self._last_starts: dict[str, Start] = {}
        self._ended_runs: set[str] = set()
        self._accepted: dict[tuple[str, int | None, int], int] = {}
        self._acceptance: RewindAccepted | None = None
        """The last entry, if it accepts a rewind: without its `start` right behind it is void."""

    def apply(self, number: int, entry: Entry) -> None:
        """Fold the entry that stands under `number`; numbers come in order and without a gap."""
        if number != self.position + 1:
            raise ValueError(f"entry {number} can't follow entry {self.position}")
        self.position = number
        acceptance, self._acceptance = self._acceptance, None
        match entry:
            case Start():
                if acceptance is not None and acceptance.run == entry.run:
                    self._accepted[_key(acceptance)] = number - 1
                self.last_start = (number, entry)
                self._first_starts.setdefault(entry.job, entry)
                self._last_starts[entry.job] = entry
            case End():
                self._ended_runs.add(entry.run)
            case Intent():
                self._intend(number, entry)
            case Operation():
                self._name_operation(entry)
            case Committed():
                known = self.transactions.get(entry.transaction)
                if known is not None and known.committed is None:
                    known.committed = entry
            case RewindAccepted():
                self._acceptance = entry
            case Batch():
                self.batches.setdefault(entry.job, entry)

    def first_start_of(self, job: str) -> Start | None:
        """Return the first start of a job under this name."""
        return self._first_starts.get(job)

    def last_start_of(self, job: str) -> Start | None:
        """Return the last start of a job under this name."""
        return self._last_starts.get(job)

    def ended(self, start: Start) -> bool:
        """Whether the run that `start` began has ended cleanly."""
        return start.run in self._ended_runs

    def accepted_at(self, lineage: str, restored: int | None, position: int, run: str) -> int:
        """Return the entry that accepted the rewind to this state, 0 if there is none.

        One that has no `start` behind it counts for the `run` that appended it, as long as it is
        the last entry.
        """
        key, last = (lineage, restored, position), self._acceptance
        if last is not None and last.run == run and _key(last) == key:
            return self.position
        return self._accepted.get(key, 0)

    def transaction_of(self, slice_id: str) -> Known | None:
        """Return the transaction that an intent made a slice part of."""
        identity = self.adopted.get(slice_id)
        return None if identity is None else self.transactions[identity]

    def is_committed(self, slice_id: str) -> bool:
        """Whether the log says that the target holds the slice."""
        known = self.transaction_of(slice_id)
        return known is not None and known.committed is not None

    def overtakes(self, transaction: Transaction, attempt: int) -> bool:
        """Whether the intent of this attempt stands, or must not be made any more."""
        known = self.transactions.get(transaction.id)
        if known is not None:
            return known.committed is not None or len(known.attempts) >= attempt
        return any(self.transaction_of(piece.id) for piece in transaction.slices)

    def tagged_rows(self) -> dict[str, int]:
        """Rows by transaction, for extents that a merge gave several tags."""
        return {identity: known.transaction.rows for identity, known in self.transactions.items()}

    def _intend(self, number: int, entry: Intent) -> None:
        known = self.transactions.get(entry.transaction)
        if known is None:
            transaction = Transaction(entry.transaction, entry.slices)
            known = Known(transaction, entry.lineage, entry.mode, first=number)
            self.transactions[entry.transaction] = known
            for piece in entry.slices:
                self.adopted.setdefault(piece.id, entry.transaction)
        known.attempts.append(Attempt(entry.attempt, entry.time, entry.expires_at))

    def _name_operation(self, entry: Operation) -> None:
        known = self.transactions.get(entry.transaction)
        if known is None:
            return
        known.attempts = [
            Attempt(a.number, a.time, a.expires_at, entry.operation)
            if a.number == entry.attempt and a.operation is None
            else a
            for a in known.attempts
        ]


def _key(entry: RewindAccepted) -> tuple[str, int | None, int]:
    return entry.lineage, entry.restored, entry.position
