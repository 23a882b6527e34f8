"""The commands on extents, carried out: show, drop, move, replace, merge, and change of tags."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from . import access, extents, merging, moving, named_extents
from . import commands as k
from . import extent_commands as c
from .catalog import Table
from .clock import Clock, before
from .course import Course
from .engine import Engine
from .errors import KustoError
from .extents import Extent
from .faults import Rule
from .moving import Choice, GoneError
from .operations import ABANDONED, COMPLETED, FAILED, Journal, Operation, Request
from .runner import Runner, Work
from .types import Column, Result

Handler = Callable[[Any, Request, list[Rule]], Result]


@dataclass(frozen=True)
class Outcome:
    """The state that an operation ends in, its result, and the status that tells why."""

    state: str
    result: Result
    why: str = ""


Apply = Callable[[duckdb.DuckDBPyConnection, Course], Outcome]
"""Changes what it is to, within a transaction."""


class ExtentService:
    """Handlers of the commands on extents; each changes all it was asked to, or nothing."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        clock: Clock,
        runner: Runner,
        inner: Callable[[str, Request], Result],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._clock = clock
        self._runner = runner
        self._inner = inner
        self.handlers: dict[type[k.Command], Handler] = {
            k.ShowExtents: self._show,
            c.DropExtents: self._drop,
            c.DropExtentTags: self._drop_tags,
            c.AlterExtentTags: self._alter_tags,
            c.MoveExtents: self._move,
            c.ReplaceExtents: self._replace,
            c.MergeExtents: self._merge,
        }

    def _show(self, command: k.ShowExtents, request: Request, _: list[Rule]) -> Result:
        catalog = self._engine.catalog
        if command.tables:
            chosen = [catalog.table(request.database, name) for name in command.tables]
        elif command.cluster:
            chosen = list(catalog.tables.values())
        else:
            chosen = catalog.of(catalog.database(command.database or request.database))
        return extents.show(self._engine, chosen, command)

    def _drop(self, command: c.DropExtents, request: Request, fired: list[Rule]) -> Result:
        if command.query is not None:
            asked = named_extents.by_table(self._inner(command.query, request))
        elif command.all_tables:
            asked = [(table.name, None) for table in self._engine.catalog.of(request.database)]
        else:
            asked = [(name, command.ids) for name in command.tables]

        def apply(tx: duckdb.DuckDBPyConnection, _: Course) -> Outcome:
            chosen = self._to_drop(tx, command, request, asked)
            if not command.pretend:
                for table in dict.fromkeys(table for table, _ in chosen):
                    extents.drop(tx, table, [e for t, e in chosen if t == table])
            rows: list[tuple[object, ...]] = [(e.id, t.name, e.newest) for t, e in chosen]
            return Outcome(COMPLETED, Result(extents.DROPPED_COLUMNS, rows))

        named = ",".join(dict.fromkeys(name for name, _ in asked))
        return self._operate(command, named, request, fired, apply)

    def _to_drop(
        self,
        tx: duckdb.DuckDBPyConnection,
        command: c.DropExtents,
        request: Request,
        asked: Sequence[tuple[str, Sequence[str] | None]],
    ) -> list[tuple[Table, Extent]]:
        limit = None if command.older is None else before(self._clock.now(), command.older)
        chosen: list[tuple[Table, Extent]] = []
        for name, ids in asked:
            table = self._engine.catalog.table(request.database, name)
            chosen += [(table, e) for e in extents.find(tx, table, ids, older_than=limit)]
        chosen.sort(key=lambda pair: pair[1].newest)
        if command.bytes_kept is not None:
            size = sum(extent.original_size for _, extent in chosen)
            trimmed = []
            for table, extent in chosen:
                if size <= command.bytes_kept:
                    break
                size -= extent.original_size
                trimmed.append((table, extent))
            chosen = trimmed
        return chosen if command.limit is None else chosen[: command.limit]

    def _drop_tags(self, command: c.DropExtentTags, request: Request, fired: list[Rule]) -> Result:
        asked = None if command.query is None else self._inner(command.query, request)
        gone = None if asked is None else named_extents.tags_by_extent(asked)

        def change(extent: Extent) -> list[str] | None:
            taken = command.tags if gone is None else gone.get(extent.id, ())
            kept = [tag for tag in extent.tags if tag not in taken]
            return kept if len(kept) < len(extent.tags) else None

        return self._retag(command, None, change, request, fired)

    def _alter_tags(
        self, command: c.AlterExtentTags, request: Request, fired: list[Rule]
    ) -> Result:
        ids = named_extents.ids(self._inner(command.query, request))

        def change(extent: Extent) -> list[str]:
            before = extent.tags if command.merge else ()
            return list(dict.fromkeys([*before, *command.tags]))

        return self._retag(command, ids, change, request, fired)

    def _retag(
        self,
        command: c.AlterExtentTags | c.DropExtentTags,
        ids: Sequence[str] | None,
        change: Callable[[Extent], list[str] | None],
        request: Request,
        fired: list[Rule],
    ) -> Result:
        def apply(tx: duckdb.DuckDBPyConnection, course: Course) -> Outcome:
            table = self._engine.catalog.table(request.database, command.table)
            try:
                found = moving.choose(tx, Choice(table, ids), command.span)
            except GoneError as gone:
                return _untouched(ids or (), str(gone))
            changes = [(e, tags) for e in found if (tags := change(e)) is not None]
            if (refused := course.rule("failed-rows")) is not None:
                return _untouched([extent.id for extent, _ in changes], refused.message)
            rows: list[tuple[object, ...]] = [
                (extent.id, extents.retag(tx, table, extent, tags), " ".join(tags), "")
                for extent, tags in changes
            ]
            return Outcome(COMPLETED, Result(extents.RETAGGED_COLUMNS, rows))

        return self._operate(command, command.table, request, fired, apply, command.asynchronous)

    def _move(self, command: c.MoveExtents, request: Request, fired: list[Rule]) -> Result:
        if command.query is not None:
            asked = named_extents.by_table(self._inner(command.query, request))
        else:
            asked = [(command.source or "", command.ids)]
        return self._rearrange(command, asked, None, request, fired)

    def _replace(self, command: c.ReplaceExtents, request: Request, fired: list[Rule]) -> Result:
        dropped = named_extents.ids(self._inner(command.to_drop, request))
        asked = named_extents.by_table(self._inner(command.to_move, request))
        return self._rearrange(command, asked, dropped, request, fired)

    def _rearrange(
        self,
        command: c.MoveExtents | c.ReplaceExtents,
        asked: Sequence[tuple[str, Sequence[str] | None]],
        dropped: Sequence[str] | None,
        request: Request,
        fired: list[Rule],
    ) -> Result:
        for name in (command.target, *(name for name, _ in asked)):
            self._engine.catalog.table(request.database, name)
            # A query may name other tables than the command does.
            access.check(self._engine, c.MoveExtents(command.target, name), request.database)

        def apply(tx: duckdb.DuckDBPyConnection, course: Course) -> Outcome:
            catalog = self._engine.catalog
            target = catalog.table(request.database, command.target)
            moves = [Choice(catalog.table(request.database, name), ids) for name, ids in asked]
            if (refused := course.rule("failed-rows")) is not None:
                return _unmoved(_named(tx, moves, command.span), refused.message)
            now = self._clock.now()
            try:
                out = []
                if dropped is not None:
                    out = moving.choose(tx, Choice(target, dropped), command.span)
                rows = moving.move(
                    tx,
                    self._engine,
                    moves,
                    target,
                    command.span,
                    now if command.new_ingestion_time else None,
                    keep_tags=course.rule("lose-tags") is None,
                )
            except GoneError as gone:
                return _unmoved(_named(tx, moves, command.span), str(gone))
            extents.drop(tx, target, out)
            rows += [(extent.id, "", "") for extent in out]
            return Outcome(COMPLETED, Result(moving.MOVED_COLUMNS, rows))

        return self._operate(command, command.target, request, fired, apply, command.asynchronous)

    def _merge(self, command: c.MergeExtents, request: Request, fired: list[Rule]) -> Result:
        begun = self._clock.now()

        def result(new: str) -> Result:
            spent = max(self._clock.now() - begun, dt.timedelta(0))
            rows: list[tuple[object, ...]] = [(ident, new, spent) for ident in command.ids]
            return Result(merging.MERGED_COLUMNS, rows)

        def apply(tx: duckdb.DuckDBPyConnection, course: Course) -> Outcome:
            table = self._engine.catalog.table(request.database, command.table)
            found = extents.find(tx, table, command.ids)
            if len(found) < len(set(command.ids)):
                return Outcome(ABANDONED, result(ABANDONED), "some of the extents are gone")
            rule = course.rule("failed-rows")
            why = merging.refusal(found) if rule is None else rule.message
            if why is not None:
                return Outcome(FAILED, result(moving.FAILED), why)
            new = "" if command.dry_run else merging.merge(tx, table, found)
            return Outcome(COMPLETED, result(new))

        return self._operate(command, command.table, request, fired, apply, command.asynchronous)

    def _operate(
        self,
        command: k.Command,
        table: str,
        request: Request,
        fired: list[Rule],
        apply: Apply,
        asynchronous: bool = False,
    ) -> Result:
        """Applies within one transaction, with the operation's journal in it."""

        def do(operation: Operation, course: Course) -> Result:
            empty = course.rule("no-rows")
            try:
                with self._engine.write() as tx:
                    if empty is not None and not empty.applied:
                        done = Outcome(COMPLETED, Result(_columns(command), []))
                    else:
                        done = apply(tx, course)
                    if empty is not None:
                        done = replace(done, result=Result(_columns(command), []))
                    if asynchronous and done.state == COMPLETED:
                        self._journal.keep_result(tx, operation, done.result)
                    now = self._clock.now()
                    self._journal.record(tx, operation, done.state, now, done.why)
                    course.crash("before-commit")
            except (KustoError, duckdb.Error) as error:
                known = _as_kusto(error)
                fail(operation, known, FAILED)
                raise known from error
            course.crash("after-commit")
            return done.result

        def fail(operation: Operation, error: KustoError, state: str) -> None:
            with self._engine.write() as tx:
                now = self._clock.now()
                told = f"{error.code}: {error.message}"
                self._journal.record(tx, operation, state, now, told)

        operation = self._runner.operation(type(command), table, request, fired)
        return self._runner.run(Work(do, fail), operation, fired, asynchronous)


def _as_kusto(error: Exception) -> KustoError:
    if isinstance(error, KustoError):
        return error
    return KustoError("General_InternalServerError", str(error), permanent=False)


def _columns(command: k.Command) -> tuple[Column, ...]:
    if isinstance(command, c.MergeExtents):
        return merging.MERGED_COLUMNS
    if isinstance(command, c.DropExtents):
        return extents.DROPPED_COLUMNS
    if isinstance(command, c.AlterExtentTags | c.DropExtentTags):
        return extents.RETAGGED_COLUMNS
    return moving.MOVED_COLUMNS


def _unmoved(ids: Sequence[str], why: str) -> Outcome:
    """A move that did nothing: every extent 'Failed'."""
    rows: list[tuple[object, ...]] = [(ident, moving.FAILED, why) for ident in ids]
    return Outcome(FAILED, Result(moving.MOVED_COLUMNS, rows), why)


def _untouched(ids: Sequence[str], why: str) -> Outcome:
    """A change of tags that did nothing: every extent 'Failed', its tags 'null'."""
    rows: list[tuple[object, ...]] = [(ident, moving.FAILED, "null", why) for ident in ids]
    return Outcome(FAILED, Result(extents.RETAGGED_COLUMNS, rows), why)


def _named(tx: duckdb.DuckDBPyConnection, moves: Sequence[Choice], span: c.Span) -> list[str]:
    """The ids that a move was asked for."""
    return [
        ident
        for choice in moves
        for ident in (
            choice.ids
            if choice.ids is not None
            else [extent.id for extent in extents.find(tx, choice.table, None, span)]
        )
    ]
