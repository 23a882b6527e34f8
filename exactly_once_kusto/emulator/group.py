"""One works for all that wait: a group commit's queue, without what is committed.

Whoever comes first leads. While it waits for the store, others sit down behind it; it takes them
all along, and the next to come leads the next group.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from .errors import internal_error

TOGETHER_MAX = 32
SEATED_S = 120.0
"""So long a caller waits to be taken along; whoever is taken waits until the group has ended."""

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Seat(Generic[Item, Outcome]):
    """A caller's place in a group: what it wants done, and, once that is over, how it ended."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.leads = False
        self.woken = threading.Event()
        self._outcome: Outcome | None = None
        self._error: BaseException | None = None
        self.over = False

    def done(self, outcome: Outcome) -> None:
        """It succeeded."""
        self._outcome, self.over = outcome, True

    def failed(self, error: BaseException) -> None:
        """It failed, whatever became of the others."""
        self._error, self.over = error, True

    def result(self) -> Outcome:
        """How it ended. Raises what it failed with."""
        if self._error is not None:
            raise self._error
        assert self._outcome is not None
        return self._outcome


Take = Callable[[], list[Seat[Item, Outcome]]]


class Group(Generic[Item, Outcome]):
    """Serves callers together; safe to call from any number of threads.

    ``serve`` gets a function that takes along those who wait by then, the leader among them, and
    must say of each how it ended. What ``serve`` raises is the outcome of all whom it took and of
    whom it had not said yet.
    """

    def __init__(self, serve: Callable[[Take[Item, Outcome]], None]) -> None:
        self._serve = serve
        self._lock = threading.Lock()
        self._waiting: list[Seat[Item, Outcome]] = []
        self._led = False

    @property
    def waiting(self) -> int:
        """How many callers have not been taken along yet."""
        with self._lock:
            return len(self._waiting)

    def run(self, item: Item) -> Outcome:
        """What became of the item. Raises what it failed with, and KustoError if none led."""
        seat: Seat[Item, Outcome] = Seat(item)
        with self._lock:
            self._waiting.append(seat)
            if not self._led:
                self._led = seat.leads = True
        if not seat.leads:
            self._wait(seat)
        if seat.leads:
            self._lead(seat)
        return seat.result()

    def _wait(self, seat: Seat[Item, Outcome]) -> None:
        while not seat.woken.wait(SEATED_S):
            with self._lock:
                if seat in self._waiting and not seat.leads:
                    self._waiting.remove(seat)
                    raise internal_error(f"the writer lock was not free within {SEATED_S:g} s")

    def _lead(self, leader: Seat[Item, Outcome]) -> None:
        taken: list[Seat[Item, Outcome]] = []

        def take() -> list[Seat[Item, Outcome]]:
            with self._lock:
                taken.extend(self._waiting[:TOGETHER_MAX])
                del self._waiting[:TOGETHER_MAX]
            return taken

        try:
            self._serve(take)
        except BaseException as error:
            if not taken:
                with self._lock:
                    self._waiting.remove(leader)
                taken.append(leader)
            for seat in taken:
                if not seat.over:
                    seat.failed(error)
        finally:
            self._hand_over()
            for seat in taken:
                seat.woken.set()

    def _hand_over(self) -> None:
        with self._lock:
            self._led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].woken.set()
