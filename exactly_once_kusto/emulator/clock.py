"""The emulator's clock: every time that a command writes down comes from here."""

from __future__ import annotations

import datetime as dt


class Clock:
    """UTC without a zone, as DuckDB's TIMESTAMP wants it; never runs backwards."""

    def __init__(self) -> None:
        self._last = dt.datetime(1, 1, 1)  # noqa: DTZ001 - UTC by convention

    def now(self) -> dt.datetime:
        """The current time, to the microsecond."""
        self._last = max(self._last, dt.datetime.now(dt.UTC).replace(tzinfo=None))
        return self._last
