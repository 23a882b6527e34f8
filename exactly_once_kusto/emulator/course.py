"""The course of one operation, and what the faults that fired for it do to it on its way.

Everything that can go wrong on purpose while an operation runs goes through here, so that the
commands themselves read as if nothing ever did.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from .clock import Clock
from .errors import KustoError, bad_request, internal_error, throttled
from .faults import Faults, Rule


class Course:
    """One operation on its way: delays, crashes, races, and whether it was canceled.

    ``Course()`` is an undisturbed one.
    """

    def __init__(
        self,
        faults: Faults | None = None,
        fired: Iterable[Rule] = (),
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._faults = faults or Faults()
        self._rules = {rule.do: rule for rule in fired}
        self._stopping = stopping
        self._lock = threading.Lock()
        self._canceled: str | None = None
        self._sealed = False

    @property
    def undisturbed(self) -> bool:
        """Whether nothing goes wrong on purpose."""
        return not self._rules

    def rule(self, action: str) -> Rule | None:
        """The rule of that action which fired for this operation."""
        return self._rules.get(action)

    def delay(self, action: str) -> None:
        """Waits where a delay was set. Raises CanceledError, or StoppingError if it waited."""
        rule = self._rules.get(action)
        if rule is not None:
            self._faults.wait(rule, self._gives_up)
            if self._stopping():
                raise StoppingError
        if self._canceled is not None:
            raise CanceledError(self._canceled)

    def crash(self, point: str) -> None:
        """Kills this process where a crash was set at this point."""
        rule = self._rules.get("crash")
        if rule is not None and rule.at == point:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()

    def waits_before_commit(self) -> bool:
        """Whether a fault makes it wait once it has read its sources."""
        return "delay-commit" in self._rules or "race" in self._rules

    def race(self) -> bool:
        """Stands at the barrier of a race if one was set: then the commit goes unchecked.

        Raises StoppingError where the emulator stops meanwhile.
        """
        rule = self._rules.get("race")
        if rule is None:
            return False
        self._faults.meet(rule, self._gives_up)
        if self._stopping():
            raise StoppingError
        return True

    def unreadable(self, number: int) -> KustoError | None:
        """The error of source ``number``, where a fault makes it unreadable."""
        rule = self._rules.get("unreadable-blob")
        if rule is None or rule.source != number:
            return None
        code = rule.code if rule.code != Rule.code else "Download_Forbidden"
        return KustoError(
            code, f"the source can't be read: {rule.message}", permanent=rule.permanent
        )

    def cut(self, file: Path, copy: Path) -> Path:
        """The file, or a copy of its first bytes where a fault lets only those be read."""
        rule = self._rules.get("partial-read")
        if rule is None or not file.is_file():
            return file
        length = rule.bytes or file.stat().st_size // 2
        copy = copy.with_suffix(file.suffix)
        with file.open("rb") as whole, copy.open("wb") as part:
            while length > 0 and (piece := whole.read(min(length, 1 << 20))):
                part.write(piece)
                length -= len(piece)
        return copy

    def cancel(self, reason: str) -> bool:
        """Cancels it unless it is past the point of no return; whether it did."""
        with self._lock:
            if self._sealed:
                return False
            self._canceled = reason
        self._faults.wake()
        return True

    def seal(self) -> None:
        """The point of no return: from here on it can't be canceled. Raises CanceledError."""
        with self._lock:
            if self._canceled is not None:
                raise CanceledError(self._canceled)
            self._sealed = True

    def _gives_up(self) -> bool:
        return self._stopping() or self._canceled is not None


class CanceledError(KustoError):
    """Somebody canceled the operation; ``message`` is the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__("General_OperationCanceled", reason, permanent=False)


class StoppingError(KustoError):
    """The emulator stops while a fault delays the operation."""

    def __init__(self) -> None:
        super().__init__(
            "General_InternalServerError", "the emulator is stopping", status=500, permanent=False
        )


def ended(rule: Rule) -> KustoError:
    """What a request gets whose operation a fault ended in ``rule.state``."""
    match rule.state:
        case "Throttled":
            return throttled(rule.message)
        case "BadInput":
            return bad_request(rule.message)
        case "Canceled":
            return CanceledError(rule.message)
        case "Abandoned":
            return internal_error(rule.message)
    return KustoError(rule.code, rule.message, permanent=rule.permanent)


def turn(clock: Clock, fired: Iterable[Rule]) -> None:
    """Turns the clock where a clock jump was set."""
    for rule in fired:
        if rule.do == "clock-jump":
            clock.advance(rule.seconds)
