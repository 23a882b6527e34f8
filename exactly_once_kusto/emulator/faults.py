"""Faults on purpose, for tests: rules that are matched in order and used up as they fire.

The service has nothing like it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

RULES_MAX = 1000
ACTIONS = {
    "delay-request": "wait `seconds`, then carry the request out",
    "delay-apply": "an ingest stays InProgress for `seconds` (or until cleared), then is applied",
    "delay-commit": "an ingest reads its sources, waits `seconds`, then is applied",
    "delay-reply": "carry the request out, wait `seconds`, then reply",
    "drop-request": "close the connection; nothing is carried out",
    "drop-reply": "carry the request out, then close the connection without a reply",
    "fail": "an ingest ends Failed, anything else is refused, with `code` and `permanent`",
    "throttle": "HTTP 429",
}


@dataclass(frozen=True)
class Rule:
    """One fault.

    ``on`` is a kind of command (``ingest``, ``operations``, ``operation-details``, ``extents``,
    ``schema``, ..., ``query``) or ``any``; ``do`` one of ACTIONS; the first ``after`` matches pass
    unharmed, then it fires ``times`` times (None: always). ``contains`` narrows it to requests
    whose text has that part.
    """

    on: str
    do: str
    times: int | None = 1
    after: int = 0
    contains: str = ""
    seconds: float = 0.0
    code: str = "General_InternalServerError"
    message: str = "a fault was set"
    permanent: bool = False
    status: int = 400

    def __post_init__(self) -> None:
        """Raises ValueError for what can't be a rule."""
        if self.do not in ACTIONS:
            raise ValueError(f"'do' is '{self.do}': it must be one of {', '.join(ACTIONS)}")
        if self.seconds < 0 or self.after < 0 or (self.times is not None and self.times < 1):
            raise ValueError("'seconds' and 'after' can't be negative, 'times' is at least 1")


def rule(given: Mapping[str, Any] | Rule) -> Rule:
    """A rule out of JSON. Raises ValueError naming the key that doesn't fit."""
    if isinstance(given, Rule):
        return given
    known = {field.name for field in fields(Rule)}
    for key in given:
        if key not in known:
            raise ValueError(f"a fault has no key '{key}': use {', '.join(sorted(known))}")
    for key in ("on", "do"):
        if not isinstance(given.get(key), str):
            raise ValueError(f"a fault needs '{key}', a string")
    try:
        return Rule(**given)
    except TypeError as error:
        raise ValueError(f"a fault's value has the wrong type: {error}") from error


@dataclass
class _State:
    rule: Rule
    seen: int = 0
    fired: int = 0

    def spent(self) -> bool:
        return self.rule.times is not None and self.fired >= self.rule.times

    def shown(self) -> dict[str, Any]:
        return {**asdict(self.rule), "seen": self.seen, "fired": self.fired}


class Faults:
    """The rules in force. Every method is atomic."""

    def __init__(self) -> None:
        self._states: list[_State] = []
        self._changed = threading.Condition()

    def set(self, *rules: Mapping[str, Any] | Rule) -> None:
        """Replaces all rules; what waits because of an old one goes on."""
        made = [_State(rule(given)) for given in rules]
        self._replace(made)

    def add(self, *rules: Mapping[str, Any] | Rule) -> None:
        """Adds rules after those in force."""
        made = [_State(rule(given)) for given in rules]
        with self._changed:
            if len(self._states) + len(made) > RULES_MAX:
                raise ValueError(f"at most {RULES_MAX} faults")
            self._states.extend(made)
            self._changed.notify_all()

    def clear(self) -> None:
        """Removes all rules; what waits because of one goes on at once."""
        self._replace([])

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with how often it was matched (``seen``) and has ``fired``."""
        with self._changed:
            return [state.shown() for state in self._states]

    def fired(self) -> int:
        """How often the rules in force have fired together."""
        with self._changed:
            return sum(state.fired for state in self._states)

    def wait_fired(self, count: int = 1, timeout_s: float = 10.0) -> None:
        """Waits until the rules in force have fired ``count`` times. Raises TimeoutError."""
        with self._changed:
            enough = self._changed.wait_for(
                lambda: sum(s.fired for s in self._states) >= count, timeout_s
            )
        if not enough:
            raise TimeoutError(f"faults fired {self.fired()} times in {timeout_s:g} s, not {count}")

    def take(self, kind: str, text: str) -> list[Rule]:
        """The rules that fire for this request, used up by it: at most one of each action."""
        taken: dict[str, Rule] = {}
        with self._changed:
            for state in self._states:
                r = state.rule
                if r.on not in (kind, "any") or r.contains not in text or r.do in taken:
                    continue
                if state.spent():
                    continue
                state.seen += 1
                if state.seen > r.after:
                    state.fired += 1
                    taken[r.do] = r
            if taken:
                self._changed.notify_all()
        return list(taken.values())

    def wait(self, rule: Rule) -> None:
        """Waits as long as the rule says, but no longer than it is in force."""
        with self._changed:
            self._changed.wait_for(
                lambda: all(state.rule is not rule for state in self._states), rule.seconds
            )

    def _replace(self, states: list[_State]) -> None:
        with self._changed:
            if len(states) > RULES_MAX:
                raise ValueError(f"at most {RULES_MAX} faults")
            self._states = states
            self._changed.notify_all()
