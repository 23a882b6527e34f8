"""May this run begin? Decided on the log read to its end, before anything is written to it.

Rules (docs/guarantee.md, Rewind and Fencing):

* A start without state whose job the log knows, and whose last run did not end, keeps that
  lineage at position 0; only a new job, or one whose last run ended, mints a lineage.
* Only a new submission takes a name from a job that has not ended, so two jobs never take turns.
* The rewind guard looks at first intents after the restored position, of the same lineage, with a
  slice that the restored state does not hold. Checkpoint numbers prove nothing.
* A run of a batch has no state. What the `batch` entry of its job lists is held by every run of it.
* A refused start leaves no trace in the log.
"""

from __future__ import annotations

from dataclasses import dataclass

from exactly_once_kusto.errors import (
    ConfigurationError,
    ExactlyOnceError,
    NameTakenError,
    RewindError,
)
from exactly_once_kusto.protocol.entries import RewindAccepted, Start
from exactly_once_kusto.protocol.events import Moment
from exactly_once_kusto.protocol.ledger import Known, Ledger
from exactly_once_kusto.protocol.slices import State


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A run that wants to begin: who it is, and what Flink gave back to it."""

    name: str
    ledger: str
    run: str
    job: str
    operator: str
    host: str
    attempt: int
    restored: int | None
    state: State | None
    batch: bool = False

    @property
    def position(self) -> int:
        """Position of the restored state; 0 where there is none."""
        return 0 if self.state is None else self.state.position

    @property
    def held(self) -> frozenset[str]:
        """Ids of the slices in the restored state."""
        return frozenset() if self.state is None else frozenset(s.id for s in self.state.slices)


def check_state(newcomer: Newcomer, ledger: Ledger) -> ExactlyOnceError | None:
    """Return why the restored state is not this sink's, or None."""
    state = newcomer.state
    if state is None:
        return _check_stateless(newcomer, ledger)
    for option, was, is_now in (
        ("name", state.name, newcomer.name),
        ("staging", state.ledger, newcomer.ledger),
    ):
        if was != is_now:
            return ConfigurationError(
                f"option '{option}' was changed: the restored state belongs to {was!r}, the "
                f"job now says {is_now!r}; its slices are in the old ledger. Put '{option}' back, "
                "or start without this state under a new name"
            )
    return None


def _check_stateless(newcomer: Newcomer, ledger: Ledger) -> ExactlyOnceError | None:
    if newcomer.restored is None or ledger.last_start is None:
        return None
    first = ledger.first_start_of(newcomer.job)
    if first is not None and first.restored == newcomer.restored and first.position == 0:
        return None
    return ConfigurationError(
        f"sink '{newcomer.name}': checkpoint {newcomer.restored} was restored, but it holds "
        "no state of this sink, although its ledger has been used; slices may wait there. Set a "
        "uid on the sink before the savepoint is taken, restore with it, or use a new name"
    )


def lineage_of(newcomer: Newcomer, ledger: Ledger, fresh: str) -> str:
    """Return the lineage this run belongs to; `fresh` is used where a new one begins."""
    if newcomer.state is not None:
        return newcomer.state.lineage
    last = ledger.last_start_of(newcomer.job)
    return fresh if last is None or ledger.ended(last) else last.lineage


def check_owner(newcomer: Newcomer, ledger: Ledger) -> ExactlyOnceError | None:
    """Return why the name can't be taken, or None: only a new submission takes a name."""
    if ledger.last_start is None:
        return None
    _, start = ledger.last_start
    own = ledger.last_start_of(newcomer.job)
    if own is not None and (newcomer.batch or not ledger.ended(own)):
        refusal = _check_operator(newcomer, own)
        if refusal is not None:
            return refusal
    if ledger.ended(start):
        return _check_ended_batch(newcomer, own, ledger)
    if start.job == newcomer.job or own is None:
        return None
    return NameTakenError(
        f"sink '{newcomer.name}' is in the hands of job {start.job} (host {start.host}, started at "
        f"{start.time:.0f}), which took the name from this job {newcomer.job} and has not ended. "
        "Cancel one of the two; to go on with this one, submit it again from its last checkpoint"
    )


def _check_operator(newcomer: Newcomer, start: Start) -> ExactlyOnceError | None:
    """Two sinks of one job would fence each other, or take the other's batch for their own."""
    if start.operator == newcomer.operator:
        return None
    return NameTakenError(
        f"sink '{newcomer.name}': two sinks of job {newcomer.job} have this name (operators "
        f"{start.operator} and {newcomer.operator}); each needs a ledger of its own: give them two "
        "names"
    )


def _check_ended_batch(
    newcomer: Newcomer, own: Start | None, ledger: Ledger
) -> ExactlyOnceError | None:
    """A batch that has ended may be run again by Flink, but not a new one under its job's id."""
    if not newcomer.batch or newcomer.attempt > 0 or own is None or not ledger.ended(own):
        return None
    if newcomer.job not in ledger.batches:
        return None
    return NameTakenError(
        f"sink '{newcomer.name}': a batch of job {newcomer.job} has ended, all its rows are in; a "
        "new run under the same job id can't be told from a repetition of it. If these are other "
        "rows, submit them under another job id, or under another 'name'"
    )


def rewound(newcomer: Newcomer, ledger: Ledger, lineage: str) -> list[Known]:
    """Return the transactions that the restored state does not know of, oldest first."""
    accepted = ledger.accepted_at(lineage, newcomer.restored, newcomer.position, newcomer.run)
    floor, held = max(newcomer.position, accepted), newcomer.held
    if newcomer.batch and newcomer.job in ledger.batches:
        held |= {piece.id for piece in ledger.batches[newcomer.job].slices}
    return [
        known
        for known in ledger.transactions.values()
        if known.lineage == lineage
        and known.first > floor
        and any(piece.id not in held for piece in known.transaction.slices)
    ]


def refuse_rewind(newcomer: Newcomer, found: list[Known], notes: dict[str, str]) -> RewindError:
    """Return the error that lists what would be written twice, and the choices.

    `notes` says what a look at the target found for those whose outcome the ledger lacks.
    """
    restored = "no state" if newcomer.restored is None else f"checkpoint {newcomer.restored}"
    rows = [_line(known, notes) for known in found[:20]]
    more = [] if len(found) <= 20 else [f"  ... and {len(found) - 20} more"]
    return RewindError(
        "\n".join(
            [
                f"sink '{newcomer.name}': {restored} was restored, but {len(found)} later "
                "transaction(s) of the same lineage were committed or tried:",
                *rows,
                *more,
                "Their rows would come twice. Restore the latest checkpoint or savepoint instead, "
                "or set 'on-rewind' = 'allow' if rows of those checkpoints may be there twice",
            ]
        )
    )


def _line(known: Known, notes: dict[str, str]) -> str:
    checkpoints = sorted({piece.checkpoint for piece in known.transaction.slices})
    state = "committed" if known.committed else notes.get(known.transaction.id, "outcome unknown")
    return (
        f"  {known.transaction.id}: checkpoints {', '.join(map(str, checkpoints))}, "
        f"{known.transaction.rows} rows, {state}"
    )


def start_entry(newcomer: Newcomer, lineage: str, moment: Moment) -> Start:
    """Return the entry that begins the run."""
    return Start(
        nonce=moment.nonce,
        time=moment.now,
        run=newcomer.run,
        lineage=lineage,
        job=newcomer.job,
        operator=newcomer.operator,
        host=newcomer.host,
        attempt=newcomer.attempt,
        restored=newcomer.restored,
        position=newcomer.position,
    )


def acceptance(newcomer: Newcomer, lineage: str, moment: Moment) -> RewindAccepted:
    """Return the entry that raises the guard's floor for this restored state."""
    return RewindAccepted(
        nonce=moment.nonce,
        time=moment.now,
        run=newcomer.run,
        lineage=lineage,
        restored=newcomer.restored,
        position=newcomer.position,
    )
