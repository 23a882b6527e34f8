"""What waits: slices that are sealed and not known to be committed. Counted, and limited. Pure.

While the target is away they grow in number (I11). Above a limit the writers are held back by a
sign (`ports.Brake`), until a tenth below it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.ports import Settings
from exactly_once_kusto.protocol.slices import Slice

LOOKS_BETWEEN = 50
"""So often the sign is set again as it should be: at snapshots and commits."""

EASE = 0.9
"""The brake is taken off at this share of the limit, so that it is not put on again at once."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much waits, and for how long the oldest slice has (0 where that is not known)."""

    slices: int
    raw_bytes: int
    oldest_s: float


@dataclass(slots=True)
class Backlog:
    """The slices of one run that wait, in the order of sealing."""

    settings: Settings
    slices: list[Slice] = field(default_factory=list)
    due_to: int = -1
    """Slices of checkpoints up to this one may be committed."""
    raw_bytes: int = 0
    state_bytes: int = 0
    """Size of the last snapshot."""
    brake_on: bool | None = None
    """None: what an earlier run has left is not known."""
    looks: int = 0

    def add(self, slices: Iterable[Slice]) -> None:
        """Let slices wait."""
        for piece in slices:
            self.slices.append(piece)
            self.raw_bytes += piece.raw_bytes

    def forget(self, ids: frozenset[str]) -> None:
        """Slices are known to be committed."""
        before = len(self.slices)
        self.slices = [piece for piece in self.slices if piece.id not in ids]
        # Until the next snapshot measures it: or the writers were held back though nothing waits.
        self.state_bytes = self.state_bytes * len(self.slices) // max(1, before)
        self.raw_bytes = sum(piece.raw_bytes for piece in self.slices)

    def due(self) -> list[Slice]:
        """Return the slices that may be committed."""
        return [piece for piece in self.slices if piece.checkpoint <= self.due_to]

    def holds(self, checkpoint: int) -> bool:
        """Whether a slice of a checkpoint up to this one waits."""
        return any(piece.checkpoint <= checkpoint for piece in self.slices)

    def measure(self, now: float) -> Waiting:
        """Return how much waits at `now`."""
        known = [piece.sealed_at for piece in self.slices if piece.sealed_at]
        oldest_s = max(0.0, now - min(known)) if known else 0.0
        return Waiting(len(self.slices), self.raw_bytes, oldest_s)

    def brake(self) -> list[ev.Action]:
        """Put the brake on above a limit, take it off below; nothing where it is right already."""
        share, text = self._fullest()
        self.looks += 1
        if self.looks % LOOKS_BETWEEN == 0 and self.brake_on is not None:
            # A request of an earlier run may have come late, after this run's.
            return [ev.SetBrake(text if self.brake_on else None), *self._turn(share, text)]
        return self._turn(share, text)

    def _turn(self, share: float, text: str) -> list[ev.Action]:
        if share >= 1 and not self.brake_on:
            self.brake_on = True
            told = (
                f"{text}: the writers are held back, checkpoints take longer, until the target has "
                "taken some. Look whether it can be reached, or raise the limit"
            )
            return [ev.Say("WARNING", told), ev.SetBrake(text)]
        if share < EASE and self.brake_on is not False:
            said: list[ev.Action] = []
            if self.brake_on:
                said = [ev.Say("INFO", f"{text}: the writers are let go on")]
            self.brake_on = False
            return [*said, ev.SetBrake(None)]
        return []

    def brake_failed(self, message: str) -> list[ev.Action]:
        """The sign could not be set: it is tried again when something has changed."""
        self.brake_on = None
        return [ev.Say("WARNING", f"the writers can't be held back or let go: {message}")]

    def _fullest(self) -> tuple[float, str]:
        limits = (
            (len(self.slices), self.settings.pending_slices_max, "slices", "pending-slices-max"),
            (self.raw_bytes, self.settings.pending_bytes_max, "bytes", "pending-bytes-max"),
            (self.state_bytes, self.settings.pending_state_bytes_max, "bytes of state", ""),
        )
        share, count, limit, what, option = max(
            (count / limit, count, limit, what, option) for count, limit, what, option in limits
        )
        named = f" ('{option}')" if option else ""
        return share, f"{count:,} {what} wait for the target, the limit is {limit:,}{named}"
