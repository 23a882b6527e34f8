"""How much waits for the target, and since when: gauges for Flink, lines for the log."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exactly_once_kusto.protocol.coordinator import Coordinator

LOG = logging.getLogger("exactly_once_kusto.coordinator")
GAUGES_EVERY_S = 2.0
LINE_EVERY_S = 30.0
OLD_S = 30.0
"""From this age on a waiting slice is worth a line."""


@dataclass(slots=True)
class BacklogReport:
    """Looks from time to time; `now_s` is the wall clock, `ticks_s` a clock that never jumps."""

    _gauges_at: float = -math.inf
    _line_at: float = -math.inf

    def look(self, machine: Coordinator, now_s: float, ticks_s: float) -> dict[str, float] | None:
        """Return the gauges by name if it is time for them; write a line if it is time for one."""
        if ticks_s - self._gauges_at < GAUGES_EVERY_S:
            return None
        self._gauges_at = ticks_s
        waiting = machine.waiting_at(now_s)
        if waiting.oldest_s >= OLD_S and ticks_s - self._line_at >= LINE_EVERY_S:
            self._line_at = ticks_s
            LOG.warning(
                "%d slice(s) of %d bytes wait for the target, the oldest for %.0f s",
                waiting.slices,
                waiting.raw_bytes,
                waiting.oldest_s,
            )
        return {
            "waitingSlices": waiting.slices,
            "waitingBytes": waiting.raw_bytes,
            "oldestWaitingSliceAge": round(waiting.oldest_s, 3),
            "committedTransactions": machine.committing.committed,
            "writersHeldBack": float(bool(machine.backlog.brake_on)),
        }
