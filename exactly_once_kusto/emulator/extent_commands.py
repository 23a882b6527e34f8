"""Commands that move, replace, merge and retag extents, as frozen values; see ``commands``."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import ClassVar

from .commands import Command


@dataclass(frozen=True)
class Span:
    """``extentCreatedOnFrom`` and ``extentCreatedOnTo``; None is open."""

    created_from: dt.datetime | None = None
    created_to: dt.datetime | None = None


@dataclass(frozen=True)
class MoveExtents(Command):
    """``.move [async] extents``: of ``source`` (``ids`` None: all), or those of a query."""

    kind: ClassVar[str] = "move-extents"
    operation: ClassVar[str] = "ExtentsMove"
    target: str
    source: str | None = None
    ids: tuple[str, ...] | None = None
    query: str | None = None
    span: Span = Span()
    new_ingestion_time: bool = False
    asynchronous: bool = False


@dataclass(frozen=True)
class ReplaceExtents(Command):
    """``.replace [async] extents in table T <| {query}, {query}``."""

    kind: ClassVar[str] = "replace-extents"
    operation: ClassVar[str] = "ExtentsReplace"
    target: str
    to_drop: str
    to_move: str
    span: Span = Span()
    new_ingestion_time: bool = False
    asynchronous: bool = False


@dataclass(frozen=True)
class MergeExtents(Command):
    """``.merge [async | dryrun] T (ids) [with (rebuild=true)]``."""

    kind: ClassVar[str] = "merge-extents"
    operation: ClassVar[str] = "ExtentsMerge"
    table: str
    ids: tuple[str, ...]
    rebuild: bool = False
    dry_run: bool = False
    asynchronous: bool = False


@dataclass(frozen=True)
class AlterExtentTags(Command):
    """``.alter`` or ``.alter-merge [async] table T extent tags (tags) <| query``."""

    kind: ClassVar[str] = "alter-extent-tags"
    operation: ClassVar[str] = "ExtentTagsAlter"
    table: str
    tags: tuple[str, ...]
    query: str
    merge: bool = False
    span: Span = Span()
    asynchronous: bool = False


@dataclass(frozen=True)
class DropExtentTags(Command):
    """``.drop [async] table T extent tags ('x', ...)``, or ``<| query`` giving extents and tags."""

    kind: ClassVar[str] = "drop-extent-tags"
    operation: ClassVar[str] = "ExtentTagsDrop"
    table: str
    tags: tuple[str, ...] = ()
    query: str | None = None
    span: Span = Span()
    asynchronous: bool = False


@dataclass(frozen=True)
class DropExtents(Command):
    """``.drop extents``: by ``ids`` (None: all), by age, by size, or those of a query.

    ``older`` is an age, ``bytes_kept`` the size to trim to, ``pretend`` only tells what would be
    dropped.
    """

    kind: ClassVar[str] = "drop-extents"
    operation: ClassVar[str] = "ExtentsDrop"
    tables: tuple[str, ...] = ()
    all_tables: bool = False
    ids: tuple[str, ...] | None = None
    query: str | None = None
    older: dt.timedelta | None = None
    bytes_kept: int | None = None
    limit: int | None = None
    pretend: bool = False


@dataclass(frozen=True)
class CancelOperation(Command):
    """``.cancel operation <id> [with (reason = text)]``."""

    kind: ClassVar[str] = "cancel-operation"
    id: str
    reason: str = ""
