"""The emulator's clock: every time that a command writes down comes from here, and tests turn it.

The service has nothing like it. A turn is a distance to the machine's clock, so time goes on after
it; it is kept with the data, so a restart doesn't undo it.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable

EPOCH = dt.datetime(1, 1, 1)  # noqa: DTZ001 - UTC by convention
FIRST = dt.datetime(1970, 1, 1)  # noqa: DTZ001
LAST = dt.datetime(9000, 1, 1)  # noqa: DTZ001
"""Between these it may be turned: what is reckoned from the time must be a time as well."""
REAL_PAUSE_S = 0.5
"""How long ``wait_until`` trusts its own arithmetic before it looks again."""


class Clock:
    """UTC without a zone, as DuckDB's TIMESTAMP wants it; runs backwards only when turned back.

    Safe to use from several threads.
    """

    def __init__(self, offset: dt.timedelta = dt.timedelta(0)) -> None:
        self._offset = offset
        self._last = EPOCH
        self._turned = threading.Condition(threading.RLock())
        self._turning = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    @property
    def offset(self) -> dt.timedelta:
        """How far it was turned from the machine's clock."""
        with self._turned:
            return self._offset

    def now(self) -> dt.datetime:
        """The current time, to the microsecond."""
        with self._turned:
            self._last = max(self._last, _machine() + self._offset)
            return self._last

    def set(self, moment: dt.datetime) -> dt.datetime:
        """Makes it the given time now (without a zone: UTC), later or earlier; the new time.

        Raises ValueError where that isn't between FIRST and LAST, as every turn does.
        """
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
        with self._turning:
            return self._turn(moment - _machine())

    def advance(self, by: dt.timedelta | float) -> dt.datetime:
        """Turns it forward by a duration or seconds (backwards if negative); the new time."""
        step = by if isinstance(by, dt.timedelta) else dt.timedelta(seconds=by)
        with self._turning:
            return self._turn(self._offset + step)

    def reset(self) -> dt.datetime:
        """Puts it back to the machine's time, which is given back."""
        with self._turning:
            return self._turn(dt.timedelta(0))

    def restore(self, offset: dt.timedelta) -> None:
        """Takes up where an earlier run on the same data left it; tells no listener."""
        with self._turned:
            self._offset = offset
            self._last = EPOCH

    def on_turn(self, listener: Callable[[], None]) -> None:
        """Calls the listener after every turn, before the turn returns."""
        self._listeners.append(listener)

    def off_turn(self, listener: Callable[[], None]) -> None:
        """Undoes ``on_turn``."""
        self._listeners.remove(listener)

    def wait_until(self, moment: dt.datetime, gives_up: Callable[[], bool] = lambda: False) -> bool:
        """Waits until the clock shows the moment: True; or until ``gives_up``: False.

        A turn of the clock is noticed at once, ``gives_up`` within half a second.
        """
        with self._turned:
            while not gives_up():
                left = (moment - self.now()).total_seconds()
                if left <= 0:
                    return True
                self._turned.wait(min(left, REAL_PAUSE_S))
        return False

    def _turn(self, offset: dt.timedelta) -> dt.datetime:
        # Turns come one after the other, but whoever only asks for the time never waits for the
        # listeners: they take the writer's lock, and who holds that asks for the time.
        with self._turned:
            if not FIRST - _machine() <= offset <= LAST - _machine():
                raise ValueError(
                    f"out of range: the clock can't be turned by {offset.total_seconds():g} s, "
                    f"it runs from {FIRST.year} to {LAST.year}"
                )
            self._offset = offset
            self._last = EPOCH
            now = self.now()
            self._turned.notify_all()
        for listener in list(self._listeners):
            listener()
        return now


def before(now: dt.datetime, period: dt.timedelta) -> dt.datetime:
    """The moment a period ago; EPOCH where there was no such time (1,000 years are a default)."""
    try:
        return now - period
    except OverflowError:
        return EPOCH


def _machine() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)
