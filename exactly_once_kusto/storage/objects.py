"""What a store of objects promises; the ledger and the staged parts need nothing else.

Names are relative, their segments `A-Z a-z 0-9 . _ -` (none begins with a dot) joined by `/`.
An object is complete or absent, whatever is killed in between, and never changes once it is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

BytesLike = bytes | bytearray | memoryview

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


@dataclass(frozen=True, slots=True)
class Stored:
    """A sealed object: its address (no secrets), its length in bytes, and a mark of its content.

    `etag` is compared for equality only: another one means another content.
    """

    address: str
    length: int
    etag: str


class Upload(Protocol):
    """An object that is being written. Nobody sees it before `seal`, or ever after `abort`."""

    def write(self, data: BytesLike) -> int:
        """Take `data`, return its length. Memory does not grow with what was written.

        Raises:
            StorageUnavailableError: the storage is full or gone, also for earlier data. What was
                written is not known to be whole: the only thing left is `abort`.
            StagingError: no right, or no container.
        """

    def seal(self) -> Stored:
        """Make all that was written durable under the name, if that is free.

        Raises:
            FileExistsError: the name is taken by another; the object there is unchanged.
            StorageUnavailableError: the storage is full or gone; the object may be there or not.
            StagingError: no right, or no container.
        """

    def abort(self) -> None:
        """Forget what was written. Harmless after `seal`, and twice."""

    def __enter__(self) -> Upload:
        """Itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Abort unless sealed."""


class ObjectStore(Protocol):
    """Objects under one address. Safe to use from several threads and processes.

    Every method raises StorageUnavailableError where the storage can't be reached now, StagingError
    where that takes a person (no right, no container), and ValueError for a name of another form.
    After StorageUnavailableError it is not known whether the call had its effect: its answer may be
    what was lost. A store that was opened with a `Patience` has tried again for so long by then.
    """

    @property
    def address(self) -> str:
        """Where the store lies, without secrets; the same text for the same place."""

    def create(self, name: str, data: bytes) -> bool:
        """Create an object, atomically and durably. False: the name is taken, nothing changed.

        Who tries again after an error may find the name taken by its own first try.
        """

    def read(self, name: str) -> bytes | None:
        """Return the content of an object; None if there is none."""

    def stat(self, name: str) -> Stored | None:
        """Return length and mark of an object without reading it; None if there is none."""

    def list(self, prefix: str, after: str | None = None) -> Iterator[str]:
        """Return the names that begin with `prefix` and sort behind `after`, in order.

        What is created or deleted meanwhile may be in it or not.
        """

    def delete(self, name: str) -> None:
        """Delete an object; one that is gone is fine. Tried once: nothing waits for tidying up."""

    def upload(self, name: str) -> Upload:
        """Begin to write an object of any size."""


def check_name(name: str) -> str:
    """Return `name` if it can name an object.

    Raises:
        ValueError: it has another form.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} can't name an object")
    return name
