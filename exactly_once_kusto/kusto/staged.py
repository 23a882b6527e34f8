"""The staged parts of a transaction after they were sealed: are they as they were; delete them.

Hundreds of parts may be looked at or deleted at once, so several at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from exactly_once_kusto.kusto.outside import Outside
from exactly_once_kusto.protocol.slices import Part
from exactly_once_kusto.storage.objects import ObjectStore

Result = TypeVar("Result")


def find_changed(outside: Outside, parts: Sequence[Part]) -> str | None:
    """Return what is wrong with the first part that is not as it was sealed; None if all are.

    Raises:
        StorageUnavailableError: nothing could be known.
        StagingError: no right, or no container.
        OptionError: a part's address is of another version.
    """
    return next((text for text in _each(outside, parts, _change) if text is not None), None)


def delete(outside: Outside, parts: Sequence[Part]) -> None:
    """Delete parts; those that are gone are fine.

    Raises:
        StorageUnavailableError: some are left.
        StagingError: no right, or no container.
    """
    _each(outside, parts, lambda store, name, part: store.delete(name))


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


def _each(
    outside: Outside, parts: Sequence[Part], act: Callable[[ObjectStore, str, Part], Result]
) -> list[Result]:
    """Act on each part; one store a container or directory, so that its connections are shared."""
    stores: dict[str, ObjectStore] = {}
    work: list[tuple[ObjectStore, str, Part]] = []
    for part in parts:
        store, name = outside.located(part.address)
        work.append((stores.setdefault(store.address, store), name, part))
    return outside.each(lambda each: act(*each), work)
