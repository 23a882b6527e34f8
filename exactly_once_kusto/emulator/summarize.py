"""Aggregates that stand for several columns, written out: ``percentiles``, ``take_any(*)``.

Sources: https://learn.microsoft.com/kusto/query/percentiles-aggregation-function and
https://learn.microsoft.com/kusto/query/take-any-aggregation-function
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from duckdb_kql import ir
from duckdb_kql.translate import naming

from .errors import bad_request
from .rewrite import HIDDEN

_ANY = ("take_any", "any")
_COVARIANCES = ("covariance", "covarianceif", "covariancep", "covariancepif")
_EXTREMES = ("arg_max", "arg_min")


def expanded(
    original: ir.Summarize, changed: ir.Summarize, columns: Sequence[str]
) -> tuple[ir.Summarize, ir.Summarize]:
    """The operator before and after its expressions were rewritten, both written out.

    Raises KustoError for forms whose columns have names that the documentation doesn't give.
    """
    keys = {item.name or naming.expression_name(item.expr) for item in original.by}
    before: list[ir.NamedExpr] = []
    after: list[ir.NamedExpr] = []
    for old, new in zip(original.aggregates, changed.aggregates, strict=True):
        before += _written_out(old, columns, keys)
        after += _written_out(new, columns, keys)
    return (
        dataclasses.replace(original, aggregates=tuple(before)),
        changed
        if tuple(after) == changed.aggregates
        else dataclasses.replace(changed, aggregates=tuple(after)),
    )


def _written_out(
    item: ir.NamedExpr, columns: Sequence[str], keys: set[str | None]
) -> list[ir.NamedExpr]:
    call = item.expr
    if not isinstance(call, ir.FunctionCall):
        return [item]
    name = call.name.lower()
    if name == "percentiles" and len(call.args) > 1:
        if item.name is not None:
            raise bad_request("percentiles() with one name for all is not supported here")
        return [
            ir.NamedExpr(ir.FunctionCall("percentile", (call.args[0], rank)))
            for rank in call.args[1:]
        ]
    if name in _COVARIANCES and item.name is None and len(call.args) > 1:
        return [dataclasses.replace(item, name="_".join((name, *map(_name, call.args[:2]))))]
    if name in _ANY and call.args:
        return _any(item, call, columns, keys)
    if name in _EXTREMES and any(isinstance(a, ir.Wildcard) for a in call.args):
        first = call.args[0]
        skip = {*keys, *HIDDEN}
        if isinstance(first, ir.ColumnRef):
            skip.add(first.name)
        rest: list[ir.Expr] = []
        for argument in call.args[1:]:
            if isinstance(argument, ir.Wildcard):
                rest += [ir.ColumnRef(c) for c in columns if c not in skip]
            else:
                rest.append(argument)
        if not rest:
            return [ir.NamedExpr(ir.FunctionCall(name[4:], (first,)), item.name or _name(first))]
        return [dataclasses.replace(item, expr=dataclasses.replace(call, args=(first, *rest)))]
    return [item]


def _any(
    item: ir.NamedExpr, call: ir.FunctionCall, columns: Sequence[str], keys: set[str | None]
) -> list[ir.NamedExpr]:
    wanted: list[ir.Expr] = []
    for argument in call.args:
        if isinstance(argument, ir.Wildcard):
            wanted += [ir.ColumnRef(c) for c in columns if c not in keys and c not in HIDDEN]
        else:
            wanted.append(argument)
    if len(wanted) == 1 and wanted[0] is call.args[0]:
        return [item]
    # All of one row: any_value would take each column's first value that is not null.
    return [
        ir.NamedExpr(
            ir.FunctionCall("__ek_any_row", (expr,)),
            (item.name if place == 0 else None) or _name(expr),
        )
        for place, expr in enumerate(wanted)
    ]


def _name(expr: ir.Expr) -> str:
    name: str | None = naming.expression_name(expr)
    if name is None:
        raise bad_request("take_any() of an unnamed expression is not supported by this emulator")
    return name
