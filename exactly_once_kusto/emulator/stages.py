"""Operators that duckdb-kql refuses, in terms of those that it has.

`kql_text` wrote them as ``where __ek_stage("name", ...)``; with the columns known they become
ordinary operators. Each rule is that of the operator's page below
https://learn.microsoft.com/kusto/query/.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from duckdb_kql import ir

from .errors import bad_request, semantic_error
from .kql_text import STAGE
from .rewrite import HIDDEN


def stage_of(operator: ir.Operator) -> tuple[str, tuple[str, ...]] | None:
    """The name and arguments of an operator that `kql_text` replaced; None for any other."""
    if not isinstance(operator, ir.Where) or not isinstance(operator.predicate, ir.FunctionCall):
        return None
    call = operator.predicate
    if call.name != STAGE:
        return None
    values = [a.value for a in call.args if isinstance(a, ir.Literal)]
    if not values or not all(isinstance(value, str) for value in values):
        raise semantic_error(f"'{STAGE}' is no function")
    name, *arguments = (str(value) for value in values)
    return name, tuple(arguments)


def expand(name: str, arguments: Sequence[str], columns: Sequence[str]) -> list[ir.Operator]:
    """The operators that do what the stage says, given its input's columns.

    Columns of extents that are only carried along stay where they are. Raises KustoError.
    """
    visible = [c for c in columns if c not in HIDDEN]
    carried = [c for c in columns if c in HIDDEN]
    if name in ("as", "serialize"):
        return []
    if name == "consume":
        return [ir.Where(ir.Literal(False, "bool"))]
    if name == "distinct_star":
        return [ir.Distinct(tuple(ir.NamedExpr(ir.ColumnRef(c)) for c in visible))]
    if name == "project_keep":
        kept = {c for pattern in arguments for c in _matching(pattern, visible, name)}
        return _project([c for c in visible if c in kept] + carried)
    if name == "project_away":
        gone = {c for pattern in arguments for c in _matching(pattern, visible, name)}
        left = [c for c in visible if c not in gone]
        if not left:
            raise bad_request("project-away that leaves no column is not supported here")
        return _project(left + carried)
    if name == "project_reorder":
        return _project(_reordered(arguments, visible) + carried)
    raise semantic_error(f"'{STAGE}' is no function")


def _project(columns: Sequence[str]) -> list[ir.Operator]:
    return [ir.Project(tuple(ir.NamedExpr(ir.ColumnRef(c)) for c in columns))]


def _matching(pattern: str, columns: Sequence[str], stage: str) -> list[str]:
    if pattern.startswith("=") or "*" not in pattern:
        name = pattern.removeprefix("=")
        if name in columns:
            return [name]
        operator = stage.replace("_", "-")
        raise semantic_error(f"'{operator}' operator: Failed to resolve column named '{name}'")
    form = re.compile(re.escape(pattern).replace(r"\*", ".*"), re.DOTALL)
    return [c for c in columns if form.fullmatch(c)]


def _reordered(arguments: Sequence[str], columns: Sequence[str]) -> list[str]:
    placed: list[str] = []
    for argument in arguments:
        pattern, _, order = argument.partition(":")
        if order.startswith("granny"):
            raise bad_request(f"project-reorder {order} is not supported by this emulator")
        found = [c for c in _matching(pattern, columns, "project_reorder") if c not in placed]
        if order:
            found.sort(reverse=order == "desc")
        placed += found
    return placed + [c for c in columns if c not in placed]
