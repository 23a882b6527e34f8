"""A pass over duckdb-kql's tree: finds tables, and gives ``extent_id()`` and its kin a meaning.

duckdb-kql leaves functions that it doesn't know as ``FunctionCall`` nodes. Where a pipeline calls
``extent_id()``, ``extent_tags()`` or ``ingestion_time()``, its table is replaced by the view with
hidden columns (``T$x``), the calls by those columns, and the columns are dropped at the end.

The tree is outside duckdb-kql's advertised interface, so its version is pinned and this module is
the only one that knows it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from duckdb_kql import ir

from .catalog import Catalog, Table
from .errors import KustoError, bad_request, semantic_error
from .kql_text import STAGE
from .translate_job import PIPED

_FUNCTIONS = {
    "extent_id": "__ek_id",
    "extentid": "__ek_id",
    "extent_tags": "__ek_tags",
    "ingestion_time": "__ek_time",
}
HIDDEN = ("__ek_id", "__ek_tags", "__ek_time")
# What the functions give where the rows come from no table.
_NOWHERE: dict[str, ir.Expr] = {
    "__ek_id": ir.Literal("00000000-0000-0000-0000-000000000000", "guid"),
    "__ek_tags": ir.Literal(None, "dynamic"),
    "__ek_time": ir.Literal(None, "datetime"),
}
# A node of duckdb-kql's tree, or whatever a node holds: read by its fields.
Node = Any

# Operators after which a row still belongs to its extent, and every hidden column is still there.
_KEEPING = (
    ir.Where,
    ir.Extend,
    ir.Take,
    ir.Sort,
    ir.Top,
    ir.ProjectAway,
    ir.ProjectRename,
    ir.Parse,
)
_ENDING = (ir.Summarize, ir.Count, ir.Distinct)

# duckdb-kql's SQL grows by a factor with every nested call of these; ten deep it takes all memory.
_GROWING = {"strcat": 8, "strcat_delim": 8, "case": 3, "iff": 3, "iif": 3, "replace_string": 2}
WEIGHT_MAX = 200_000


@dataclasses.dataclass(frozen=True)
class Scope:
    """What names mean: the catalog, the database of the request, the piped command's columns.

    ``extended`` is filled with the tables that are read through their view with hidden columns.
    """

    catalog: Catalog
    database: str
    piped: ir.CommandSource | None = None
    extended: set[Table] = dataclasses.field(default_factory=set)
    wildcards: list[str] = dataclasses.field(default_factory=list)


def rewrite(query: ir.Query, scope: Scope) -> ir.Query:
    """The query with tables resolved. Raises KustoError (SEM0100) for a table that isn't there."""
    if _weight(query) > WEIGHT_MAX:
        raise bad_request("query is too complex for this emulator: too deeply nested expressions")
    rewritten = _query(query, scope, frozenset())
    if scope.extended and scope.wildcards:
        # A pattern would match the views with hidden columns too.
        raise bad_request("extent functions beside a table wildcard are not supported here")
    return rewritten


def _query(query: ir.Query, scope: Scope, outer: frozenset[str]) -> ir.Query:
    names = outer
    lets = []
    for name, bound in query.lets:
        lets.append((name, _substitute(bound, scope, names, hidden=False)))
        names = names | {name}
    source = query.source
    table = isinstance(source, ir.TableRef) and not (
        source.database is None and source.name in names
    )
    wanted = _calls(query.operators) and table and not _is_piped(source, scope)
    source = _source(source, scope, names, extended=wanted)
    operators: list[ir.Operator] = []
    hidden = wanted
    for operator in query.operators:
        if hidden and isinstance(operator, ir.Project):
            carried = tuple(ir.NamedExpr(ir.ColumnRef(c), c) for c in HIDDEN)
            changed = _substitute(_named(operator), scope, names, hidden=True)
            operator = dataclasses.replace(changed, expressions=changed.expressions + carried)
        elif hidden and (isinstance(operator, _ENDING) or _is_distinct_star(operator)):
            operator = _substitute(_named(operator), scope, names, hidden=True)
            hidden = False
        elif hidden and not isinstance(operator, _KEEPING):
            operators.append(ir.ProjectAway(HIDDEN))
            hidden = False
            operator = _substitute(operator, scope, names, hidden=False)
        else:
            operator = _substitute(_named(operator), scope, names, hidden)
        operators.append(operator)
    if hidden:
        operators.append(ir.ProjectAway(HIDDEN))
    return dataclasses.replace(query, source=source, operators=operators, lets=lets)


def _is_distinct_star(operator: ir.Operator) -> bool:
    call = operator.predicate if isinstance(operator, ir.Where) else None
    return (
        isinstance(call, ir.FunctionCall)
        and call.name == STAGE
        and call.args[:1] == (ir.Literal("distinct_star", "string"),)
    )


def _source(source: Node, scope: Scope, names: frozenset[str], extended: bool) -> Node:
    if not isinstance(source, ir.TableRef):
        return _substitute(source, scope, names, hidden=False)
    if source.database is None and source.name in names:
        return source
    if _is_piped(source, scope):
        return scope.piped
    try:
        database = scope.catalog.database(source.database or scope.database)
    except KustoError as error:
        raise semantic_error(
            f"'database' operator: Failed to resolve database named '{source.database}'"
        ) from error
    table = scope.catalog.tables.get((database, source.name))
    if table is None:
        raise semantic_error(
            f"'table' operator: Failed to resolve table expression named '{source.name}'"
        )
    if extended:
        scope.extended.add(table)
    name = source.name + "$x" if extended else source.name
    return dataclasses.replace(source, database=database, name=name)


def _is_piped(source: Node, scope: Scope) -> bool:
    return scope.piped is not None and isinstance(source, ir.TableRef) and source.name == PIPED


def _calls(node: Node) -> bool:
    """Whether a pipeline calls one of the functions itself, not within a pipeline inside it."""
    if isinstance(node, ir.Query):
        return False
    if isinstance(node, ir.FunctionCall) and node.name.lower() in _FUNCTIONS:
        return True
    return any(_calls(child) for child in _children(node))


def _substitute(node: Node, scope: Scope, names: frozenset[str], hidden: bool) -> Node:
    if isinstance(node, ir.Query):
        return _query(node, scope, names)
    if isinstance(node, ir.TableRef):
        return _source(node, scope, names, extended=False)
    if isinstance(node, ir.WildcardTableRef):
        scope.wildcards.append(node.pattern)
        database = scope.catalog.database(node.database or scope.database)
        return dataclasses.replace(node, database=database)
    if isinstance(node, ir.FunctionCall) and node.name.lower() in _FUNCTIONS:
        column = _FUNCTIONS[node.name.lower()]
        return ir.ColumnRef(column) if hidden else _NOWHERE[column]
    if isinstance(node, tuple):
        return tuple(_substitute(child, scope, names, hidden) for child in node)
    if isinstance(node, list):
        return [_substitute(child, scope, names, hidden) for child in node]
    if not dataclasses.is_dataclass(node) or isinstance(node, type):
        return node
    changes = {}
    for field in dataclasses.fields(node):
        if field.init:
            old = getattr(node, field.name)
            new = _substitute(old, scope, names, hidden)
            if new is not old and new != old:
                changes[field.name] = new
    return dataclasses.replace(node, **changes) if changes else node


def _named(operator: Node) -> Node:
    """Gives ``by extent_id()`` and the like the names that Kusto gives them, not hidden ones."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(operator):
        value = getattr(operator, field.name)
        if isinstance(value, tuple) and any(isinstance(v, ir.NamedExpr) for v in value):
            changes[field.name] = tuple(_visible(v) for v in value)
    return dataclasses.replace(operator, **changes) if changes else operator


def _visible(item: Node) -> Node:
    # How the service names such a column isn't documented; the emulator uses the function's name.
    if isinstance(item, ir.NamedExpr) and item.name is None:
        call = item.expr
        if isinstance(call, ir.FunctionCall) and call.name.lower() in _FUNCTIONS:
            return dataclasses.replace(item, name=call.name.lower())
    return item


def _children(node: Node) -> list[Node]:
    if isinstance(node, list | tuple):
        return list(node)
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return [getattr(node, field.name) for field in dataclasses.fields(node)]
    return []


def _weight(node: Node) -> float:
    inner = 1 + sum(_weight(child) for child in _children(node))
    if isinstance(node, ir.FunctionCall):
        return inner * _GROWING.get(node.name.lower(), 1)
    return inner
