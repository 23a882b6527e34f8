"""Who counts rows: what Flink has proved, what the target has shown, and the verdict on both.

By row identity, never by numbers. What was shown is remembered: a merge or a retention policy
that takes rows away afterwards changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is wrong, row by row, and job by job; all empty: nothing is.

    lost: owed by a job that has finished, never shown. duplicated: shown more often than allowed.
    early: shown before Flink had proved them. stuck: jobs that neither end nor ask a person though
    nothing fails any more. unknown: jobs that asked a person without need.
    """

    lost: tuple[str, ...] = ()
    duplicated: tuple[str, ...] = ()
    early: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.duplicated or self.early or self.stuck or self.unknown)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of what is wrong."""
        return tuple(name for name in KINDS if getattr(self, name))

    def __str__(self) -> str:
        if self.ok:
            return "OK"
        return "; ".join(f"{name}: {', '.join(getattr(self, name)[:8])}" for name in self.kinds)


KINDS = ("lost", "duplicated", "early", "stuck", "unknown")


@dataclass(slots=True)
class Truth:
    """Rows are named by their source (one letter) and their number in it: `a0`, `a1` ..."""

    proved: dict[str, int] = field(default_factory=dict)
    """Source -> how many of its rows are in a completed checkpoint or a restored savepoint."""
    shown: Counter[str] = field(default_factory=Counter)
    owed: dict[str, int] = field(default_factory=dict)
    """Source -> how many of its rows a job that has finished must have delivered."""
    allowed: dict[str, list[int]] = field(default_factory=dict)
    """Source -> from which number on its rows may come once more: rewinds that were accepted."""
    excused: set[str] = field(default_factory=set)
    """Rows of which nobody can know that they are missing."""
    gone: list[str] = field(default_factory=list)
    """Staged rows that were deleted although their transaction is put before a person."""
    early: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def prove(self, source: str, count: int) -> None:
        """Flink has proved the first `count` rows of a source."""
        self.proved[source] = max(self.proved.get(source, 0), count)

    def owe(self, source: str, count: int) -> None:
        """A job has finished with `count` rows of a source."""
        self.owed[source] = max(self.owed.get(source, 0), count)

    def allow_again(self, source: str, first: int) -> None:
        """A person has accepted that rows from `first` on come once more."""
        self.allowed.setdefault(source, []).append(first)

    def show(self, rows: Sequence[str]) -> None:
        """Rows have become visible."""
        self.shown.update(rows)
        self.early += [row for row in rows if int(row[1:]) >= self.proved.get(row[0], 0)]

    def judge(self) -> Judgement:
        """Return the verdict as it stands."""
        lost = [
            f"{source}{n}"
            for source, count in self.owed.items()
            for n in range(count)
            if f"{source}{n}" not in self.shown and f"{source}{n}" not in self.excused
        ]
        doubled = [row for row, times in self.shown.items() if times > 1 + self._again(row)]
        return Judgement(
            (*lost, *self.gone),
            tuple(sorted(doubled)),
            tuple(self.early),
            tuple(self.stuck),
            tuple(self.unknown),
        )

    def _again(self, row: str) -> int:
        return sum(1 for first in self.allowed.get(row[0], ()) if int(row[1:]) >= first)
