"""From the text of commands on extents to their values.

Sources: https://learn.microsoft.com/kusto/management/move-extents, replace-extents, drop-extents,
drop-extent-tags, alter-extent and cancel-operation-command; ``.merge`` is in their page
'merge-extents' of 2020, which is gone, though show-commands still shows the command.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from . import extent_commands as c
from .commands import Command
from .errors import not_supported, syntax_error
from .lexer import Lexer
from .reader import Reader

_SIZES = {"mb": 1024**2, "gb": 1024**3, "bytes": 1}


def move(r: Reader) -> Command:
    """``.move``."""
    asynchronous = r.take("async")
    r.need("extents")
    source: str | None = None
    ids: tuple[str, ...] | None = None
    everything = r.take("all")
    if r.ahead("("):  # the order of words of older pages
        ids = r.listed(r.guid)
    if r.take("from"):
        r.need("table")
        source = r.entity()
    r.need("to")
    r.need("table")
    target = r.entity()
    span, fresh = _options(r.properties())
    query = None
    if source is None:
        query = r.query()
    elif not everything and ids is None:
        ids = r.listed(r.guid)
    return c.MoveExtents(target, source, ids, query, span, fresh, asynchronous)


def replace(r: Reader) -> Command:
    """``.replace``."""
    asynchronous = r.take("async")
    r.need("extents")
    r.need("in")
    r.need("table")
    target = r.entity()
    span, fresh = _options(r.properties())
    to_drop, to_move = _two_queries(r.query())
    return c.ReplaceExtents(target, to_drop, to_move, span, fresh, asynchronous)


def merge(r: Reader) -> Command:
    """``.merge``."""
    asynchronous = r.take("async")
    dry_run = not asynchronous and r.take("dryrun")
    table = r.entity()
    ids = r.listed(r.guid)
    rebuild = r.properties().get("rebuild", "false").lower() == "true"
    return c.MergeExtents(table, ids, rebuild, dry_run, asynchronous)


def cancel(r: Reader) -> Command:
    """``.cancel operation``."""
    if not r.take("operation"):
        raise r.unknown()
    operation = r.guid()
    return c.CancelOperation(operation, r.properties().get("reason", ""))


def drop(r: Reader, pretend: bool = False) -> Command:
    """``.drop extents``, after its first two words."""
    pretend = r.take("whatif") or pretend
    if r.ahead("<|"):
        return c.DropExtents(query=r.query(), pretend=pretend)
    ids = r.listed(r.guid) if r.ahead("(") else None
    older = None
    if r.take("older"):
        number = _number(r)
        unit = r.need("days", "hours")
        try:
            older = dt.timedelta(**{unit: number})
        except OverflowError as error:
            raise syntax_error(f"{number} {unit} are too many") from error
    r.need("from")
    tables: tuple[str, ...] = ()
    everywhere = r.take("all")
    if everywhere:
        r.need("tables")
    elif r.take("tables"):
        tables = r.listed(r.entity)
    else:
        tables = (r.entity(),)
    kept = None
    if r.take("trim"):
        r.need("by")
        r.need("extentsize", "datasize")
        kept = _number(r) * _SIZES[r.need(*_SIZES)]
    limit = _number(r) if r.take("limit") else None
    return c.DropExtents(tables, everywhere, ids, None, older, kept, limit, pretend)


def drop_pretend(r: Reader) -> Command:
    """``.drop-pretend``."""
    r.need("extents")
    return drop(r, pretend=True)


def drop_extent(r: Reader, asynchronous: bool) -> Command:
    """``.drop extent``, after these words: one extent, or tags (an order of older pages)."""
    if r.take("tags"):
        r.need("from")
        r.need("table")
        return _drop_tags(r, r.entity(), asynchronous)
    ids = (r.guid(),)
    r.need("from")
    return c.DropExtents((r.entity(),), ids=ids)


def drop_tags(r: Reader, table: str, asynchronous: bool) -> Command:
    """``.drop table T extent tags``, after ``extent``."""
    r.need("tags")
    return _drop_tags(r, table, asynchronous)


def alter_tags(r: Reader, table: str, merge: bool, asynchronous: bool) -> Command:
    """``.alter table T extent tags``, after ``extent``."""
    r.need("tags")
    tags = r.listed(r.string)
    span, _ = _options(r.properties())
    return c.AlterExtentTags(table, tags, r.query(), merge, span, asynchronous)


def _drop_tags(r: Reader, table: str, asynchronous: bool) -> Command:
    tags = r.listed(r.string) if r.ahead("(") else ()
    span, _ = _options(r.properties())
    query = None if tags else r.query()
    return c.DropExtentTags(table, tags, query, span, asynchronous)


def _options(given: Mapping[str, str]) -> tuple[c.Span, bool]:
    known = {"setnewingestiontime", "extentcreatedonfrom", "extentcreatedonto"}
    for name in given:
        if name not in known:
            raise not_supported(f"the property '{name}'")
    span = c.Span(
        _moment("extentCreatedOnFrom", given.get("extentcreatedonfrom")),
        _moment("extentCreatedOnTo", given.get("extentcreatedonto")),
    )
    return span, given.get("setnewingestiontime", "false").lower() == "true"


def _moment(name: str, text: str | None) -> dt.datetime | None:
    if not text:
        return None
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise syntax_error(f"'{name}' is no time: '{text}'") from error
    return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _number(r: Reader) -> int:
    token = r.lexer.next()
    if not token.value.isdigit() or len(token.value) > 12:
        raise syntax_error(f"expected a number, found '{token.value}' at position {token.start}")
    return int(token.value)


def _two_queries(text: str) -> tuple[str, str]:
    """The texts within ``{...}, {...}``."""
    lexer = Lexer(text)
    found: list[str] = []
    depth = start = 0
    while (token := lexer.next()).kind != "end":
        if token.kind != "punctuation" or token.value not in "{},":
            if depth == 0:
                raise syntax_error(f"expected '{{', found '{token.value}'")
        elif token.value == "{":
            start = token.end if depth == 0 else start
            depth += 1
        elif token.value == "}":
            depth -= 1
            if depth < 0:
                break
            if depth == 0:
                found.append(text[start : token.start].strip())
    if depth != 0 or len(found) != 2 or not all(found):
        raise syntax_error("'.replace extents' needs two queries: <| {to drop}, {to move}")
    return found[0], found[1]
