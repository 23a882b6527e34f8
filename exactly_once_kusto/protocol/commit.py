"""One transaction on its way in: intent, one request, operation, evidence. Events in, actions out.

Rules (docs/guarantee.md, Commit):

1. An attempt is one request. It is closed when its operation is known to have ended, when its
   request provably never left or was refused, or, where none of that is known, one settle time
   after its access expired (or, without expiry, after its intent) while nothing that could be it
   is running.
2. All rows found -> committed, even while an attempt is open: at most the last one can be.
3. None found counts only in a look that began after every attempt was closed; only then the next
   attempt begins. Fewer or more rows then are suspect: everything is kept, a person looks.
4. None found although evidence may have expired -> a person decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from exactly_once_kusto.errors import (
    CommitRefusedError,
    EvidenceExpiredError,
    StoppedError,
    SuspectError,
)
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol import jobs
from exactly_once_kusto.protocol.backoff import full_jitter
from exactly_once_kusto.protocol.judging import Verdict, judge
from exactly_once_kusto.protocol.ledger import Attempt, Known, Ledger
from exactly_once_kusto.protocol.outcome import (
    Accepted,
    Completed,
    Failed,
    Lost,
    Missing,
    NotSent,
    OperationStatus,
    Refused,
    Running,
    Sighting,
    Skipped,
    Submission,
    Transaction,
)
from exactly_once_kusto.protocol.ports import Settings

WAKE = "commit"
OPERATIONS_MAX = 5
"""Operations that a look names besides the tag: a transaction that is throttled has many."""

Step = ev.Action | jobs.Job


class Phase(Enum):
    """What the transaction waits for."""

    MINTING = "minting"
    INTENDING = "intending"
    SUBMITTING = "submitting"
    NAMING = "naming"
    POLLING = "polling"
    LOOKING = "looking"
    PAUSED = "paused"
    CONCLUDING = "concluding"


@dataclass(slots=True)
class Commit:
    """The state of one transaction's commit in this process. `known` is None before its intent."""

    transaction: Transaction
    settings: Settings
    known: Known | None = None
    phase: Phase = Phase.MINTING
    ended: dict[int, OperationStatus] = field(default_factory=dict)
    """How the attempts that are closed have ended, by number."""
    own: set[int] = field(default_factory=set)
    """Attempts that this process made: their permanent failure is news, not history."""
    blind: set[int] = field(default_factory=set)
    """Attempts that were closed by time alone: only evidence can say what became of them."""
    never_ran: set[int] = field(default_factory=set)
    """Attempts that provably never became a command: they can't have left rows or evidence."""
    missing: set[int] = field(default_factory=set)
    """Attempts whose operation had no record in this round."""
    failures: int = 0
    polls: int = 0
    failing: bool = False
    message: str = ""

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts that the ledger knows, oldest first."""
        return [] if self.known is None else self.known.attempts

    def begin(self) -> list[Step]:
        """Return the first step: the first attempt, or a look at what earlier ones left."""
        return self._examine() if self.attempts else self._mint()

    def resume(self) -> list[Step]:
        """Go on after a pause."""
        self.missing.clear()
        return self._examine() if self.attempts else self._mint()

    def minted(self, event: ev.Minted) -> list[Step]:
        """Access is there: intend."""
        self._well()
        self.phase = Phase.INTENDING
        return [jobs.Intend(self.transaction, len(self.attempts) + 1, event.access)]

    def intended(self, known: Known) -> list[Step]:
        """The intent stands in the log: send the one request."""
        self.known, self.phase, self.polls = known, Phase.SUBMITTING, 0
        number = known.attempts[-1].number
        self.own.add(number)
        self.message = ""
        return [ev.Submit(self.transaction, number)]

    def submitted(self, submission: Submission, moment: ev.Moment) -> list[Step]:
        """The request went one of four ways."""
        number = self.attempts[-1].number
        match submission:
            case Accepted(operation):
                self._well()
                self.phase = Phase.NAMING
                return [jobs.Name(self.transaction, number, operation)]
            case Refused(message, permanent):
                self.ended[number] = Failed(message, permanent)
                self.never_ran.add(number)
                self.message = message
                return self._examine()
            case NotSent(message):
                self.ended[number] = Failed(message, permanent=False)
                self.never_ran.add(number)
                return self.unreachable(message, moment)
            case Lost(message):
                return self.unreachable(message, moment)

    def named(self) -> list[Step]:
        """The operation stands in the log: follow it."""
        return self._examine()

    def polled(self, status: OperationStatus, moment: ev.Moment) -> list[Step]:
        """An operation's record was read."""
        self._well()
        attempt = self._to_poll()
        assert attempt is not None
        if isinstance(status, Running):
            delay = min(self.settings.poll_max_s, self.settings.poll_first_s * 2.0**self.polls)
            self.polls = min(self.polls + 1, 16)
            return self._pause(delay)
        if isinstance(status, Missing):
            self.missing.add(attempt.number)
        else:
            self.ended[attempt.number] = status
            if isinstance(status, Failed):
                self.message = status.message
        return self._examine()

    def looked(self, sighting: Sighting, ledger: Ledger, moment: ev.Moment) -> list[Step]:
        """Extents were counted: committed, closed, waiting, or the next attempt."""
        self._well()
        rows = self.transaction.rows
        verdict = judge(self.transaction.id, rows, sighting.extents, ledger.tagged_rows())
        if verdict is Verdict.ALL and self._is_doubtful(sighting):
            verdict = Verdict.UNCHECKABLE
        if verdict is Verdict.ALL:
            return self._conclude(sighting)
        if sighting.busy:
            self._open_again()
        still_open = [a for a in self.attempts if a.number not in self.ended]
        if still_open:
            return self._close(still_open, sighting, moment)
        if verdict is Verdict.NONE:
            return self._none_found(sighting, moment)
        completed = any(isinstance(status, Completed) for status in self.ended.values())
        if verdict is Verdict.UNCHECKABLE and completed:
            return self._conclude(sighting)
        return [ev.Stop(self._suspect(verdict, sighting))]

    def unreachable(self, message: str, moment: ev.Moment) -> list[Step]:
        """The target did not answer: back off, then look again. Nothing was learned."""
        self.failing, self.message = True, message
        delay = full_jitter(
            self.failures, self.settings.backoff_first_s, self.settings.backoff_max_s, moment.jitter
        )
        self.failures += 1
        text = f"transaction {self.transaction.id}: {message}; next look in {delay:.1f} s"
        return [ev.Say("WARNING", text), *self._pause(delay)]

    # ---- within

    def _is_doubtful(self, sighting: Sighting) -> bool:
        """Whether the right number of rows is there, but a merge may have filled it up.

        With rows of others, where the last command has failed with a part of its rows in, or its
        record may still say so. Earlier commands left nothing: that was counted before it was sent.
        Where no record will ever say how it ended, the count decides.
        """
        if not any(extent.merged and not extent.named for extent in sighting.extents):
            return False
        ran = [a for a in self.attempts if a.number not in self.never_ran]
        if not ran or ran[-1].number in self.blind:
            return False
        status = self.ended.get(ran[-1].number)
        return isinstance(status, Failed) or (status is None and ran[-1].operation is not None)

    def _well(self) -> None:
        self.failing, self.failures = False, 0

    def _mint(self) -> list[Step]:
        self.phase = Phase.MINTING
        return [ev.Mint(self.transaction, len(self.attempts) + 1)]

    def _pause(self, delay_s: float) -> list[Step]:
        self.phase = Phase.PAUSED
        return [ev.Wake(WAKE, delay_s)]

    def _to_poll(self) -> Attempt | None:
        for attempt in self.attempts:
            done = attempt.number in self.ended or attempt.number in self.missing
            if attempt.operation is not None and not done:
                return attempt
        return None

    def _examine(self) -> list[Step]:
        attempt = self._to_poll()
        if attempt is not None and attempt.operation is not None:
            self.phase = Phase.POLLING
            return [ev.Poll(self.transaction, attempt.operation)]
        self.phase = Phase.LOOKING
        assert self.known is not None
        # What may still be running is one of the attempts that nothing but time has closed.
        unsure = [a for a in self.attempts if a.number not in self.ended or a.number in self.blind]
        since = min((a.time for a in unsure), default=self.attempts[-1].time)
        until = max(map(self._settled_at, unsure), default=since)
        operations = tuple(self.known.operations()[-OPERATIONS_MAX:])
        return [ev.Look(self.transaction, operations, since, until)]

    def _settled_at(self, attempt: Attempt) -> float:
        """When an attempt of which nothing is known can't begin any more, and would be seen."""
        return (attempt.expires_at or attempt.time) + self.settings.settle_s

    def _open_again(self) -> None:
        """Something that could be ours runs: what was closed by time alone is open after all."""
        for number in self.blind:
            del self.ended[number]
        self.blind.clear()

    def _close(
        self, still_open: list[Attempt], sighting: Sighting, moment: ev.Moment
    ) -> list[Step]:
        settled = max(map(self._settled_at, still_open))
        if moment.now >= settled and not sighting.busy:
            for attempt in still_open:
                self.ended[attempt.number] = Failed(self.message or "no trace of it", False)
                self.blind.add(attempt.number)
            return self._examine()
        left = settled - moment.now
        rest = self.settings.poll_max_s
        return self._pause(min(left, rest) if left > 0 else rest)

    def _none_found(self, sighting: Sighting, moment: ev.Moment) -> list[Step]:
        assert self.known is not None
        age_s = moment.now - self.known.intended_at
        done = any(isinstance(status, Completed | Skipped) for status in self.ended.values())
        ran = any(a.number not in self.never_ran for a in self.attempts)
        if ran and sighting.kept_s is not None and age_s >= sighting.kept_s:
            return [ev.Stop(self._expired(age_s, sighting.kept_s))]
        if done:
            return [ev.Stop(self._suspect(Verdict.NONE, sighting))]
        last = self.attempts[-1].number
        status = self.ended[last]
        assert isinstance(status, Failed)
        if status.permanent and last in self.own:
            return [ev.Stop(self._refused(status))]
        if last not in self.own:
            return self._mint()
        return self._try_again(status, moment)

    def _try_again(self, status: Failed, moment: ev.Moment) -> list[Step]:
        """The last attempt came to nothing: back off by the number of own attempts, then mint."""
        delay = full_jitter(
            len(self.own) - 1,
            self.settings.backoff_first_s,
            self.settings.backoff_max_s,
            moment.jitter,
        )
        text = (
            f"transaction {self.transaction.id}: attempt {self.attempts[-1].number} ended without "
            f"rows ({status.message}); next attempt in {delay:.1f} s"
        )
        self.failing, self.phase = True, Phase.MINTING
        return [ev.Say("WARNING", text), ev.Wake(f"{WAKE}-mint", delay)]

    def mint_again(self) -> list[Step]:
        """The back-off before the next attempt is over."""
        return self._mint()

    def _conclude(self, sighting: Sighting) -> list[Step]:
        self.phase = Phase.CONCLUDING
        extents = tuple(sorted(extent.id for extent in sighting.extents))[:1000]
        return [jobs.Conclude(self.transaction, self.transaction.rows, extents)]

    def _evidence(self, sighting: Sighting) -> str:
        found = sum(extent.rows for extent in sighting.extents)
        ended = ", ".join(
            f"attempt {n}: {type(status).__name__}" for n, status in sorted(self.ended.items())
        )
        return (
            f"{self.transaction.rows} rows were staged in {len(self.transaction.parts)} part(s), "
            f"{found} rows found in {len(sighting.extents)} extent(s) under its tag; {ended}"
        )

    def _suspect(self, verdict: Verdict, sighting: Sighting) -> StoppedError:
        return SuspectError(
            f"transaction {self.transaction.id} is suspect ({verdict.value} rows found): "
            f"{self._evidence(sighting)}. Nothing was deleted or tried again; compare the table "
            "with the staged parts"
        )

    def _expired(self, age_s: float, kept_s: float) -> StoppedError:
        return EvidenceExpiredError(
            f"transaction {self.transaction.id}: no rows found under its tag, but it was first "
            f"tried {age_s:.0f} s ago and the table keeps evidence for {kept_s:.0f} s: whether "
            "its rows were ever there can't be known any more. A person has to decide; its "
            "parts are kept"
        )

    def _refused(self, status: Failed) -> StoppedError:
        return CommitRefusedError(
            f"transaction {self.transaction.id} was refused for good: {status.message}. Its "
            "slices stay in Flink's state; mend the cause, then restart the job from its last "
            "checkpoint"
        )
