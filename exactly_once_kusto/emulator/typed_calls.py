"""Calls that mean one thing or another by the types of their arguments, which duckdb-kql ignores.

Rules are those of the functions' pages below https://learn.microsoft.com/kusto/query/ and
https://learn.microsoft.com/kusto/concepts/overflow.
"""

from __future__ import annotations

from duckdb_kql import ir

from .errors import bad_request
from .pipeline import Pipeline
from .types import EXACT_DECIMAL

_GATHERING = ("make_list", "make_set", "make_list_if", "make_set_if", "make_list_with_nulls")
_PACKING = ("bag_pack", "pack", "pack_array", "pack_dictionary", *_GATHERING)
_EXTREMES = (
    "min", "max", "minif", "maxif", "arg_min", "arg_max", "percentile", "percentiles",
    "min_of", "max_of",
)  # fmt: skip
# Their DuckDB sums have 128 bits; the service's have 64.
_WHOLE_SUMS = {"sum": "__ek_sum_whole", "sumif": "__ek_sumif_whole"}
# What can be asked of a decimal that no DECIMAL(38, s) holds without looking at its value.
_OF_ANY_DECIMAL = (
    "isnull", "isnotnull", "count_distinct", "dcount", "min", "max", "arg_min", "arg_max",
    "take_any", "any", "gettype",
)  # fmt: skip
# JSON's null is dynamic(null), which is no value to them.
_KNOWING_NULLS = (
    "isnull", "isnotnull", "coalesce", "dcount", "dcountif", "count_distinct",
    "count_distinctif", *_GATHERING[:-1],
)  # fmt: skip
_SUBSECONDS = {"millisecond": 1_000, "microsecond": 1_000_000}


def by_type(node: ir.FunctionCall, pipeline: Pipeline) -> ir.Expr:
    """The call that does what the service's does for arguments of these types.

    Raises KustoError where no call does.
    """
    name, first = node.name.lower(), node.args[0]
    exact = any(_is_exact(value, pipeline) for value in node.args)
    if exact and name == "tostring":
        return ir.FunctionCall("__ek_decimal_text", node.args)
    if exact and name not in _OF_ANY_DECIMAL:
        raise bad_request(
            f"{name}() of a column whose decimals fit no common scale is not exact in this emulator"
        )
    if name in _PACKING:
        return packed(node, pipeline)
    if name in _KNOWING_NULLS:
        return _knowing_nulls(node, pipeline)
    if name in _EXTREMES:
        return _extreme(name, node, pipeline)
    if name in _WHOLE_SUMS and pipeline.type_of(first) in ("int", "long"):
        return ir.FunctionCall(_WHOLE_SUMS[name], node.args)
    if name == "make_datetime":
        # Null where there is no such day (make-datetime-function).
        return ir.FunctionCall("__ek_try", (node,))
    if name == "todatetime" and pipeline.type_of(first) == "string":
        return ir.FunctionCall(node.name, (ir.FunctionCall("__ek_dated", node.args),))
    if name == "datetime_part" and isinstance(first, ir.Literal):
        # DuckDB's parts of a second include the seconds (datetime-part-function).
        unit = _SUBSECONDS.get(str(first.value).lower())
        return node if unit is None else ir.BinaryOp("%", node, ir.Literal(unit, "long"))
    if name == "array_concat" and len(node.args) > 1:
        return _folded("__ek_array_concat", node.args)
    if name in ("array_sort_asc", "array_sort_desc"):
        if len(node.args) > 1:
            raise bad_request(f"{name}() of several arguments is not supported here")
        return ir.FunctionCall(f"__ek_{name}", node.args)
    return node


def _is_exact(expr: ir.Expr, pipeline: Pipeline) -> bool:
    return isinstance(expr, ir.ColumnRef) and pipeline.types.get(expr.name) == EXACT_DECIMAL


def packed(node: ir.FunctionCall, pipeline: Pipeline) -> ir.Expr:
    """A call whose arguments become JSON, which has no decimals, and no times but as text."""
    name = node.name.lower()
    first = node.args[0]
    gathered = name in _GATHERING
    for value in (first,) if gathered else node.args:
        if pipeline.type_of(value) == "decimal":
            raise bad_request(f"{name}() of a decimal is not exact in this emulator")
    if gathered and pipeline.type_of(first) in ("datetime", "timespan"):
        text = ir.FunctionCall("__ek_text", (ir.FunctionCall("tostring", (first,)),))
        return ir.FunctionCall(node.name, (text, *node.args[1:]))
    return _knowing_nulls(node, pipeline) if name in _KNOWING_NULLS else node


def _knowing_nulls(node: ir.FunctionCall, pipeline: Pipeline) -> ir.Expr:
    args = tuple(
        ir.FunctionCall("__ek_known", (value,)) if pipeline.type_of(value) == "dynamic" else value
        for value in node.args
    )
    return node if args == node.args else ir.FunctionCall(node.name, args)


def _extreme(name: str, node: ir.FunctionCall, pipeline: Pipeline) -> ir.Expr:
    several = name in ("min_of", "max_of")
    kinds = [pipeline.type_of(v) for v in (node.args if several else node.args[:1])]
    if "dynamic" in kinds:
        raise bad_request(
            f"{name}() of a dynamic value is not supported by this emulator; convert it first"
        )
    if several or name.startswith("arg_") or kinds[0] != "real":
        return node
    number = ir.FunctionCall("__ek_number", node.args[:1])
    return ir.FunctionCall(node.name, (number, *node.args[1:]))


def _folded(name: str, args: tuple[ir.Expr, ...]) -> ir.Expr:
    """A function of two arguments for any number of them."""
    folded = args[0]
    for value in args[1:]:
        folded = ir.FunctionCall(name, (folded, value))
    return folded
