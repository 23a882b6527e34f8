"""Faults on purpose, for tests: rules that are matched in order and used up as they fire.

The service has nothing like it.
"""

from __future__ import annotations

import math
import random
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

RULES_MAX = 1000
SECONDS_MAX = 1e9
RACE_WAIT_S = 10.0
"""How long a race waits for the others where its rule doesn't say."""
CRASH_POINTS = ("accepted", "after-read", "before-commit", "after-commit", "before-reply")
STATES = ("Failed", "PartiallySucceeded", "Abandoned", "BadInput", "Throttled", "Canceled")
ACTIONS = {
    "delay-request": "wait `seconds`, then carry the request out",
    "delay-apply": "an ingest stays InProgress for `seconds` (or until cleared), then is applied",
    "delay-commit": "an ingest reads its sources, waits `seconds`, then is applied",
    "delay-reply": "carry the request out, wait `seconds`, then reply",
    "drop-request": "close the connection; nothing is carried out",
    "drop-reply": "carry the request out, then close the connection without a reply",
    "fail": "an ingest ends Failed, anything else is refused, with `code` and `permanent`",
    "fail-reply": "carry the request out, then answer with `code` and `permanent`",
    "throttle": "HTTP 429",
    "duplicate-message": "a queued blob is delivered a second time once it has ended",
    "end": "an operation ends in `state` at once; nothing is applied",
    "schedule": "an operation is Scheduled for `seconds`, then goes on",
    "partial": "an ingest takes its first `extents` sources, and ends PartiallySucceeded",
    "race": "an ingest checks its tag, waits until `count` stand there, and commits unchecked",
    "unreadable-blob": "source number `source` (from 0) can't be read: it fails with `code`",
    "partial-read": "of every source only the first `bytes` are read (0: half of them)",
    "late-record": "records of the operation show after `seconds` of the emulator's clock",
    "late-end": "the record of the operation's end shows after `seconds` of the emulator's clock",
    "failed-rows": "a move, replace, merge or change of tags does nothing: 200, `Failed` rows",
    "no-rows": "such a command answers 200 without rows; `applied` says whether it did anything",
    "lose-tags": "a move or replace leaves the tags behind",
    "clock-jump": "the emulator's clock is turned by `seconds`, which may be negative",
    "crash": "the process is killed `at` one of: " + ", ".join(CRASH_POINTS),
}
KINDS = (
    *("any", "query", "ingest", "ingest-inline", "append", "cancel-operation"),
    *("operations", "operation-details", "ingestion-failures", "commands"),
    *("extents", "move-extents", "replace-extents", "merge-extents", "drop-extents"),
    *("drop-extent-tags", "alter-extent-tags"),
    *("create-table", "drop-table", "clear-table", "tables", "table-details", "schema"),
    *("databases", "version", "policy", "alter-policy", "principals", "change-role"),
    *("mappings", "put-mapping", "drop-mapping", "ingestion-resources", "identity-token"),
    *("streaming", "queued", "queued-status", "ingestion-configuration", "queued-blob"),
    *("queued-operations", "cancel-queued-operation"),
)
"""What ``on`` may be: the kinds of commands, of requests without one, and ``any``."""
_SHAPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (int, float),
    "bool": (bool,),
}


@dataclass(frozen=True)
class Scope:
    """Where a request acts: its database, and the tables that it names."""

    database: str = ""
    tables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """One fault.

    ``on`` is one of KINDS, ``do`` one of ACTIONS; the first ``after`` matches pass
    unharmed, then it fires ``times`` times (None: always), each time with probability ``chance``
    (drawn from ``seed``). ``contains`` narrows it to requests whose text has that part,
    ``database`` and ``table`` to those that act there (a query: that has the table's name as a
    word). The other keys belong to actions; ACTIONS names them.
    """

    on: str
    do: str
    times: int | None = 1
    after: int = 0
    contains: str = ""
    database: str = ""
    table: str = ""
    seconds: float = 0.0
    code: str = "General_InternalServerError"
    message: str = "a fault was set"
    permanent: bool = False
    status: int = 400
    chance: float = 1.0
    seed: int = 0
    state: str = "Failed"
    at: str = "before-commit"
    count: int = 2
    extents: int = 1
    source: int = 0
    bytes: int = 0
    applied: bool = True

    def __post_init__(self) -> None:
        """Raises ValueError for what can't be a rule."""
        for field in fields(self):
            value = getattr(self, field.name)
            shape = str(field.type)
            if not isinstance(value, _SHAPES[shape]) or isinstance(value, bool) != (
                shape == "bool"
            ):
                raise ValueError(f"a fault's '{field.name}' must be of type {shape}")
        if self.on not in KINDS:
            raise ValueError(f"'on' is '{self.on}': it must be one of {', '.join(KINDS)}")
        if self.on == "queued-blob" and (self.database or self.table):
            raise ValueError("on 'queued-blob', use 'contains': its text has the names")
        if self.do not in ACTIONS:
            raise ValueError(f"'do' is '{self.do}': it must be one of {', '.join(ACTIONS)}")
        if self.state not in STATES:
            raise ValueError(f"'state' is '{self.state}': it must be one of {', '.join(STATES)}")
        if self.at not in CRASH_POINTS:
            raise ValueError(f"'at' is '{self.at}': it must be one of {', '.join(CRASH_POINTS)}")
        if self.do != "clock-jump" and self.seconds < 0:
            raise ValueError("'seconds' can't be negative")
        if not abs(self.seconds) <= SECONDS_MAX or not 0 <= self.chance <= 1:
            raise ValueError(f"'seconds' is at most {SECONDS_MAX:g}, 'chance' between 0 and 1")
        if not 400 <= self.status <= 599:
            raise ValueError("'status' must be between 400 and 599")
        if min(self.after, self.extents, self.source, self.bytes) < 0:
            raise ValueError("'after', 'extents', 'source' and 'bytes' can't be negative")
        if self.count < 1 or (self.times is not None and self.times < 1):
            raise ValueError("a fault's 'times' and 'count' are at least 1")
        if self.do == "race" and self.times is not None:
            object.__setattr__(self, "times", max(self.times, self.count))

    def matches(self, kind: str, text: str, scope: Scope) -> bool:
        """Whether it is meant for such a request."""
        if self.on not in (kind, "any") or self.contains not in text:
            return False
        if self.database and self.database.lower() != scope.database.lower():
            return False
        if not self.table or self.table in scope.tables:
            return True
        named = rf"(?<!\w){re.escape(self.table)}(?!\w)"
        return kind == "query" and re.search(named, text) is not None


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
    standing: int = 0
    """How many came to the barrier of a race."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.rule.seed)

    def spent(self) -> bool:
        return self.rule.times is not None and self.fired >= self.rule.times

    def shown(self) -> dict[str, Any]:
        return {
            **asdict(self.rule),
            "seen": self.seen,
            "fired": self.fired,
            "standing": self.standing,
        }


class Faults:
    """The rules in force. Every method is atomic.

    ``crashes`` says whether this process may be killed by a rule (an emulator that shares the
    process with a test refuses such rules).
    """

    def __init__(self, crashes: bool = False) -> None:
        self._crashes = crashes
        self._states: list[_State] = []
        self._changed = threading.Condition()

    def set(self, *rules: Mapping[str, Any] | Rule) -> None:
        """Replaces all rules; what waits because of an old one goes on."""
        made = [self._made(given) for given in rules]
        self._replace(made)

    def add(self, *rules: Mapping[str, Any] | Rule) -> None:
        """Adds rules after those in force."""
        made = [self._made(given) for given in rules]
        with self._changed:
            if len(self._states) + len(made) > RULES_MAX:
                raise ValueError(f"at most {RULES_MAX} faults")
            self._states.extend(made)
            self._changed.notify_all()

    def clear(self) -> None:
        """Removes all rules; what waits because of one goes on at once."""
        self._replace([])

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, how often it was matched (``seen``) and has ``fired``; see ``meet`` too.

        ``standing`` is how many came to the barrier of a race.
        """
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

    def take(self, kind: str, text: str, scope: Scope = Scope()) -> list[Rule]:
        """The rules that fire for this request, used up by it: at most one of each action."""
        taken: dict[str, Rule] = {}
        with self._changed:
            for state in self._states:
                r = state.rule
                if r.do in taken or state.spent() or not r.matches(kind, text, scope):
                    continue
                state.seen += 1
                if state.seen > r.after and state.random.random() < r.chance:
                    state.fired += 1
                    taken[r.do] = r
            if taken:
                self._changed.notify_all()
        return list(taken.values())

    def wait(self, rule: Rule, gives_up: Callable[[], bool] = lambda: False) -> None:
        """Waits as long as the rule says, but no longer than it is in force.

        ``gives_up`` is asked whenever ``wake`` is called.
        """
        with self._changed:
            self._changed.wait_for(lambda: gives_up() or not self._in_force(rule), rule.seconds)

    def wake(self) -> None:
        """Lets everything that waits ask again whether it gives up."""
        with self._changed:
            self._changed.notify_all()

    def meet(self, rule: Rule, gives_up: Callable[[], bool] = lambda: False) -> bool:
        """Waits until ``rule.count`` stand here together; whether they did.

        Gives up after ``rule.seconds`` (0: RACE_WAIT_S), and when the rule is taken back.
        """
        with self._changed:
            mine = next((state for state in self._states if state.rule is rule), None)
            if mine is None:
                return False
            mine.standing += 1
            full = math.ceil(mine.standing / rule.count) * rule.count
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: mine.standing >= full or gives_up() or not self._in_force(rule),
                rule.seconds or RACE_WAIT_S,
            )
            return mine.standing >= full

    def _in_force(self, rule: Rule) -> bool:
        return any(state.rule is rule for state in self._states)

    def _made(self, given: Mapping[str, Any] | Rule) -> _State:
        made = rule(given)
        if made.do == "crash" and not self._crashes:
            raise ValueError("'crash' kills the process: use an EmulatorProcess")
        return _State(made)

    def _replace(self, states: list[_State]) -> None:
        with self._changed:
            if len(states) > RULES_MAX:
                raise ValueError(f"at most {RULES_MAX} faults")
            self._states = states
            self._changed.notify_all()
