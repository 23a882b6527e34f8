"""Names of columns that a query doesn't name: kept where a rewritten expression has another."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from duckdb_kql import ir
from duckdb_kql.translate import naming, print_column_name, summarize_names

from .rewrite import Node


def named(changed: Node, original: Node, columns: Sequence[str]) -> Node:
    """The rewritten operator, with the names that the original's expressions have.

    Expressions that were rewritten get a name of their own, and so do those that are numbered: a
    number depends on which names are spelled out. The others keep none: how duckdb-kql resolves
    names that occur twice depends on that too.
    """
    if changed is original:
        return changed
    if isinstance(changed, ir.PrintSource):
        names = [print_column_name(e, i) for i, e in enumerate(original.expressions)]
        return _with(changed, "expressions", original.expressions, names)
    if isinstance(changed, ir.Project):
        names = naming.project_names(original.expressions)
        return _with(changed, "expressions", original.expressions, names)
    if isinstance(changed, ir.Extend):
        names = naming.extend_names(original.expressions, list(columns))
        return _with(changed, "expressions", original.expressions, names)
    if isinstance(changed, ir.Distinct):
        names = naming.distinct_names(original.expressions)
        return _with(changed, "expressions", original.expressions, names)
    if isinstance(changed, ir.Summarize):
        keys, aggregates = summarize_names(original, list(columns))
        changed = _with(changed, "by", original.by, keys)
        firsts = [several[0] for several in aggregates]
        return _with(changed, "aggregates", original.aggregates, firsts)
    return changed


def _spelled(item: ir.NamedExpr, old: ir.NamedExpr) -> bool:
    return item is not old or naming.expression_name(old.expr) is None


def _with(operator: Node, field: str, before: Sequence[ir.NamedExpr], names: Sequence[str]) -> Node:
    items = [
        dataclasses.replace(item, name=name) if item.name is None and _spelled(item, old) else item
        for item, old, name in zip(getattr(operator, field), before, names, strict=True)
    ]
    return dataclasses.replace(operator, **{field: tuple(items)})
