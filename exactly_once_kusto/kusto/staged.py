"""The staged parts of a transaction after they were sealed: are they as they were; delete them.

Hundreds of parts may be looked at or deleted at once, so several at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from exactly_once_kusto.protocol.slices import Part
from exactly_once_kusto.storage.address import open_object
from exactly_once_kusto.storage.objects import ObjectStore

AT_A_TIME = 8

Result = TypeVar("Result")


def find_changed(parts: Sequence[Part]) -> str | None:
    """Return what is wrong with the first part that is not as it was sealed; None if all are.

    Raises:
        StorageUnavailableError: nothing could be known.
        StagingError: no right, or no container.
        OptionError: a part's address is of another version.
    """
    return next((text for text in _each(parts, _change) if text is not None), None)


def delete(parts: Sequence[Part]) -> None:
    """Delete parts; those that are gone are fine.

    Raises:
        StorageUnavailableError: some are left.
        StagingError: no right, or no container.
    """
    _each(parts, lambda store, name, part: store.delete(name))


def _change(store: ObjectStore, name: str, part: Part) -> str | None:
    found = store.stat(name)
    if found is None:
        return (
            f"part {part.address} is gone ({part.rows} rows): it was deleted by another hand; put "
            "it back from a copy"
        )
    if (found.length, found.etag) != (part.length, part.etag):
        return (
            f"part {part.address} was changed after it was sealed: {part.length} bytes, mark "
            f"{part.etag} then, {found.length} bytes, mark {found.etag} now; put the sealed one "
            "back"
        )
    return None


def _each(parts: Sequence[Part], act: Callable[[ObjectStore, str, Part], Result]) -> list[Result]:
    """Act on each part; one store a container or directory, so that its connections are shared."""
    stores: dict[str, ObjectStore] = {}
    work: list[tuple[ObjectStore, str, Part]] = []
    for part in parts:
        store, name = open_object(part.address)
        work.append((stores.setdefault(store.address, store), name, part))
    if len(work) == 1:
        return [act(*work[0])]
    with ThreadPoolExecutor(AT_A_TIME, "parts") as pool:
        return list(pool.map(lambda each: act(*each), work))
