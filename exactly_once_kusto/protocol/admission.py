"""A newcomer at the door: read the log, look where a refusal needs facts, then begin or refuse.

The decision itself is pure and lives in `opening`; here is what it needs to know over time. It is
asked again whenever the log has moved: nothing is decided on an old reading.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from exactly_once_kusto.errors import ConfigurationError, ExactlyOnceError
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol import opening
from exactly_once_kusto.protocol.entries import RewindAccepted, Start
from exactly_once_kusto.protocol.judging import Verdict, judge
from exactly_once_kusto.protocol.ledger import Known, Ledger
from exactly_once_kusto.protocol.slices import State, decode_state

LOOKS_MAX = 20


@dataclass(slots=True)
class Admission:
    """The state of one run's admission under a name."""

    name: str
    ledger_address: str
    on_rewind: str
    ledger: Ledger
    newcomer: opening.Newcomer | None = None
    lineage: str = ""
    unresolved: deque[Known] = field(default_factory=deque)
    """Transactions to look at before a rewind is refused."""
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def run(self) -> str:
        """The id of this run."""
        return self._newcomer().run

    @property
    def job(self) -> str:
        """Flink's id of the job."""
        return self._newcomer().job

    @property
    def batch(self) -> bool:
        """Whether this is a run of a batch, to which no checkpoints come."""
        return self._newcomer().batch

    def arrive(self, event: ev.Opened, moment: ev.Moment) -> State | None:
        """Take what Flink gave back; return the restored state, if there is one.

        Raises:
            DecodeError: the bytes are not a state, damaged, or of a newer version.
            ConfigurationError: more than one state came back.
        """
        restored, state = event.restored, None
        if restored is not None and len(restored.states) > 1:
            raise ConfigurationError(
                f"sink '{self.name}': {len(restored.states)} coordinator states were restored, one "
                "was written; give the operator's uid to one sink only"
            )
        if restored is not None and restored.states:
            state = decode_state(restored.states[0])
        self.newcomer = opening.Newcomer(
            name=self.name,
            ledger=self.ledger_address,
            run=moment.nonce,
            job=event.job,
            operator=event.operator,
            host=event.host,
            attempt=event.attempt,
            restored=None if restored is None else restored.checkpoint,
            state=state,
            batch=event.batch,
        )
        return state

    def decide(self, moment: ev.Moment) -> Start | RewindAccepted | ExactlyOnceError:
        """Decide on the log as folded: the next entry on the way to `start`, or a refusal."""
        newcomer = self._newcomer()
        refusal = opening.check_state(newcomer, self.ledger)
        refusal = refusal or opening.check_owner(newcomer, self.ledger)
        if refusal is not None:
            return refusal
        self.lineage = opening.lineage_of(newcomer, self.ledger, fresh=newcomer.run)
        found = opening.rewound(newcomer, self.ledger, self.lineage)
        if found and self.on_rewind == "allow":
            return opening.acceptance(newcomer, self.lineage, moment)
        if found:
            return opening.refuse_rewind(newcomer, found, self.notes)
        return opening.start_entry(newcomer, self.lineage, moment)

    def survey(self, moment: ev.Moment) -> list[ev.Action]:
        """Say what comes next now that the log was read: preflight, a look, or a refusal."""
        answer = self.decide(moment)
        if not isinstance(answer, ExactlyOnceError):
            return [ev.CheckTarget()]
        found = opening.rewound(self._newcomer(), self.ledger, self.lineage)
        unknown = [known for known in found if known.committed is None]
        self.unresolved = deque(unknown[:LOOKS_MAX])
        return self._look_or_refuse(answer)

    def note(self, event: ev.Looked | ev.TargetFailed, moment: ev.Moment) -> list[ev.Action]:
        """Keep what a look found for the refusal; it leaves no trace in the log."""
        known = self.unresolved.popleft()
        if isinstance(event, ev.Looked):
            self.notes[known.transaction.id] = self._describe(known, event)
        answer = self.decide(moment)
        assert isinstance(answer, ExactlyOnceError)
        return self._look_or_refuse(answer)

    def greeting(self, slices: int, own_start: int | None) -> list[ev.Action]:
        """Return the lines that say how this run began."""
        newcomer = self._newcomer()
        text = (
            f"sink '{self.name}' began: lineage {self.lineage[:8]}, ledger at entry "
            f"{self.ledger.position}, restored checkpoint {newcomer.restored}, "
            f"{slices} slice(s) to commit"
        )
        said: list[ev.Action] = [ev.Say("INFO", text)]
        if newcomer.state is None and own_start != 1:
            said.append(
                ev.Say("WARNING", f"the name '{self.name}' was used before; its ledger goes on")
            )
        return said

    def _look_or_refuse(self, refusal: ExactlyOnceError) -> list[ev.Action]:
        if not self.unresolved:
            return [ev.Stop(refusal)]
        known = self.unresolved[0]
        since = known.intended_at
        return [ev.Look(known.transaction, tuple(known.operations()), since, math.inf)]

    def _describe(self, known: Known, event: ev.Looked) -> str:
        extents, rows = event.sighting.extents, known.transaction.rows
        verdict = judge(known.transaction.id, rows, extents, self.ledger.tagged_rows())
        if verdict is Verdict.ALL:
            return "all rows are in the table"
        found = sum(extent.rows for extent in extents)
        running = ", something is still running" if event.sighting.busy else ""
        return f"not recorded as committed, {found} rows found{running}"

    def _newcomer(self) -> opening.Newcomer:
        assert self.newcomer is not None
        return self.newcomer
