"""What the sink touches of the world, in one place: stores, clusters, clock and nonces.

Everything else in this room is logic. The simulator runs that logic over a world of its own.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from exactly_once_kusto.storage import access, address
from exactly_once_kusto.storage.objects import ObjectStore
from exactly_once_kusto.storage.patience import Patience

if TYPE_CHECKING:
    from exactly_once_kusto.protocol.outcome import Lost, NotSent, Refused

AT_A_TIME = 8
"""Parts that are looked at or deleted together: a transaction may have hundreds."""

Row = Mapping[str, Any]
Task = TypeVar("Task")
Result = TypeVar("Result")


class Requests(Protocol):
    """Sends requests to one cluster, each once (client.py is the real one)."""

    def submit(self, database: str, command: str) -> list[Row] | NotSent | Refused | Lost:
        """Send a command that changes something, once. Raises nothing for its outcome."""

    def read(self, database: str, command: str) -> list[Row]:
        """Return the rows of a command that only reads.

        Raises:
            TargetError: Kusto refuses it for good; has Kusto's own text.
            TargetUnavailableError: no answer, or one that may be another later.
        """

    def close(self) -> None:
        """Close the connections. Harmless twice."""


class Outside(Protocol):
    """The world as the sink's stations see it."""

    def now(self) -> float:
        """Return the time in seconds since the epoch."""

    def nonce(self) -> str:
        """Return 128 random bits as 32 hex digits."""

    def store(self, place: str, wait_s: float = 0.0) -> ObjectStore:
        """Return the store at a staging address; its calls are tried again for `wait_s`."""

    def located(self, place: str) -> tuple[ObjectStore, str]:
        """Return the store and the name that an object's address means."""

    def expires(self, place: str) -> bool:
        """Whether access to an object of this kind of storage ends by itself."""

    def readable(self, place: str, until: float) -> str:
        """Return what reads the object at `place` until then: a secret."""

    def requests(self, cluster: str, answer_timeout_s: float) -> Requests:
        """Return what sends requests to a cluster."""

    def each(self, act: Callable[[Task], Result], tasks: Iterable[Task]) -> list[Result]:
        """Do something for each of some tasks, several at a time where that helps."""


class RealOutside:
    """The real world: storage and clusters over the network, the machine's clock and dice."""

    def now(self) -> float:
        """Return the machine's time."""
        return time.time()

    def nonce(self) -> str:
        """Return bits of the operating system's generator."""
        return secrets.token_hex(16)

    def store(self, place: str, wait_s: float = 0.0) -> ObjectStore:
        """Return a directory or a container."""
        return address.open_store(place, Patience(wait_s))

    def located(self, place: str) -> tuple[ObjectStore, str]:
        """Return a part's directory or container, and its name there."""
        return address.open_object(place)

    def expires(self, place: str) -> bool:
        """Whether it is a blob."""
        return access.expires(place)

    def readable(self, place: str, until: float) -> str:
        """Return a path, or a URL with a SAS."""
        return access.readable(place, until)

    def requests(self, cluster: str, answer_timeout_s: float) -> Requests:
        """Return a client of Microsoft's SDK."""
        # Only who talks to Kusto pays for the SDK's imports.
        from exactly_once_kusto.kusto.client import Client

        return Client(cluster, answer_timeout_s=answer_timeout_s)

    def each(self, act: Callable[[Task], Result], tasks: Iterable[Task]) -> list[Result]:
        """Use some threads where there is more than one task."""
        listed = list(tasks)
        if len(listed) == 1:
            return [act(listed[0])]
        with ThreadPoolExecutor(AT_A_TIME, "parts") as pool:
            return list(pool.map(act, listed))
