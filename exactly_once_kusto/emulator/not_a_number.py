"""Reals that are no number (NaN), which DuckDB takes for the greatest of all reals.

Where they sort: https://learn.microsoft.com/kusto/query/sort-operator. A comparison with one is
false, as IEEE 754 has it. Which row is the greatest where one has a NaN isn't documented: refused.
"""

from __future__ import annotations

import dataclasses

from duckdb_kql import ir

from .errors import bad_request
from .pipeline import Pipeline

_NAN_AWARE = {
    ">": "__ek_above",
    ">=": "__ek_not_below",
    "<": "__ek_above",
    "<=": "__ek_not_below",
}


def without_nan(node: ir.BinaryOp, left: str | None, right: str | None) -> ir.Expr:
    """A comparison that is false where a real is no number: DuckDB's NaN is above all others."""
    for side in (node.left, node.right):
        if isinstance(side, ir.Literal) and side.kind == "real" and side.value != side.value:
            raise bad_request(f"'{node.op}' with real(nan) is not documented; use isnan()")
    greater, kind, lesser = node.left, left, node.right
    if node.op in ("<", "<="):
        greater, kind, lesser = node.right, right, node.left
    if node.op not in _NAN_AWARE or kind != "real" or isinstance(greater, ir.Literal):
        return node
    if not isinstance(greater, ir.ColumnRef):
        return ir.FunctionCall(_NAN_AWARE[node.op], (greater, lesser))
    number = ir.FunctionCall("not", (ir.FunctionCall("isnan", (greater,)),))
    return ir.BinaryOp("and", node, number)


def beside_null(
    original: ir.Sort | ir.Top, changed: ir.Sort | ir.Top, pipeline: Pipeline
) -> ir.Sort | ir.Top:
    """Sorts a real that is no number between the nulls and the numbers (sort-operator)."""
    keys: list[ir.SortKey] = []
    for old, new in zip(original.keys, changed.keys, strict=True):
        if pipeline.type_of(old.expr) == "real":
            first = new.ascending if new.nulls_first is None else new.nulls_first
            keys.append(ir.SortKey(ir.FunctionCall("__ek_unordered", (new.expr,)), not first))
        keys.append(new)
    if len(keys) == len(changed.keys):
        return changed
    return dataclasses.replace(changed, keys=tuple(keys))


def compared_reals(operator: ir.Summarize, pipeline: Pipeline) -> tuple[ir.NamedExpr, ...]:
    """The real columns that ``arg_max`` and ``arg_min`` compare, without what is no number."""
    calls = [a.expr for a in operator.aggregates if isinstance(a.expr, ir.FunctionCall)]
    names = {
        call.args[0].name
        for call in calls
        if call.name.lower() in ("arg_max", "arg_min")
        and call.args
        and isinstance(call.args[0], ir.ColumnRef)
        and pipeline.type_of(call.args[0]) == "real"
    }
    return tuple(
        ir.NamedExpr(ir.FunctionCall("__ek_number", (ir.ColumnRef(name),)), name)
        for name in sorted(names)
    )
