"""What a mutant is: a name, the rule that is broken, and the texts that are changed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """A text in a file of the package, there exactly once, and what stands there in the mutant."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One build that must be caught."""

    name: str
    rule: str
    changes: tuple[Change, ...]
