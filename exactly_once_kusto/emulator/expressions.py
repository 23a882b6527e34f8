"""Scalar expressions, rewritten where duckdb-kql, which knows no types, would be wrong.

Rules: https://learn.microsoft.com/kusto/query/bin-function,
https://learn.microsoft.com/kusto/query/datetime-timespan-arithmetic,
https://learn.microsoft.com/kusto/query/scalar-data-types/decimal and the pages of the functions.
What can't be had exactly is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from duckdb_kql import ir

from .errors import KustoError, bad_request, semantic_error
from .layout import DECIMAL_DIGITS_MAX
from .not_a_number import without_nan
from .pipeline import Pipeline
from .rewrite import HIDDEN, Node
from .typed_calls import by_type, packed

_ARITHMETIC = ("+", "-", "*", "/", "%")
_COMPARISONS = ("==", "!=", "<>", "<", "<=", ">", ">=")
_NUMBERS = ("int", "long", "real", "decimal")
_INEXACT = (
    "bin", "floor", "ceiling", "round", "avg", "avgif", "sqrt", "pow", "exp", "log", "log2",
    "log10", "bin_at",
)  # fmt: skip
_FAMILIES = {
    "int": "number",
    "long": "number",
    "real": "number",
    "decimal": "number",
    "string": "string",
    "datetime": "datetime",
    "timespan": "timespan",
}
_ROW_FUNCTIONS = ("row_number", "prev", "next", "row_cumsum")


class Expressions:
    """Rewrites the expressions of one operator, given the pipeline before it.

    ``nested`` rewrites the queries inside them.
    """

    def __init__(self, pipeline: Pipeline, nested: Callable[[ir.Query], ir.Query]) -> None:
        self._pipeline = pipeline
        self._nested = nested
        # A value that is named once and used twice is one node: it stays one.
        self._done: dict[int, tuple[Node, Node]] = {}

    def rewrite(self, node: Node) -> Node:
        """The node, itself where nothing changes. Raises KustoError for what Kusto refuses."""
        found = self._done.get(id(node))
        if found is not None:
            return found[1]
        new = self._rewrite(node)
        self._done[id(node)] = (node, new)
        return new

    def _rewrite(self, node: Node) -> Node:
        if isinstance(node, ir.Query):
            return self._nested(node)
        if isinstance(node, ir.ColumnRef):
            self._check(node)
            return node
        if isinstance(node, tuple | list):
            items = [self.rewrite(item) for item in node]
            same = all(a is b for a, b in zip(items, node, strict=True))
            return node if same else type(node)(items)
        if not dataclasses.is_dataclass(node) or isinstance(node, type):
            return node
        changes = {}
        for field in dataclasses.fields(node):
            old = getattr(node, field.name)
            new = self.rewrite(old)
            if new is not old:
                changes[field.name] = new
        if changes:
            node = dataclasses.replace(node, **changes)
        if isinstance(node, ir.BinaryOp):
            return self._binary(node)
        if isinstance(node, ir.FunctionCall):
            return self._call(node)
        if isinstance(node, ir.InList):
            value = self._pipeline.type_of(node.value, planned=False)
            for item in node.items:
                _check_comparable(value, self._pipeline.type_of(item, planned=False))
        return node

    def _check(self, node: ir.ColumnRef) -> None:
        # DuckDB would take a name in another case, and has pseudo-columns of its own.
        if self._pipeline.source is not None and node.name not in self._pipeline.names:
            raise unresolved(node.name)

    def _binary(self, node: ir.BinaryOp) -> ir.Expr:
        if node.op in _COMPARISONS:
            left = self._pipeline.type_of(node.left, planned=False)
            right = self._pipeline.type_of(node.right, planned=False)
            _check_comparable(left, right)
            return without_nan(node, left, right)
        if node.op not in _ARITHMETIC:
            return node
        left, right = self._pipeline.type_of(node.left), self._pipeline.type_of(node.right)
        if "string" in (left, right) or "bool" in (left, right):
            raise semantic_error(
                f"Arithmetic expression cannot be carried-out between {left} and {right} "
                "expressions",
                "SEM0062",
            )
        if "decimal" in (left, right):
            _check_decimal(node.op, left, right)
        if "timespan" in (left, right) and node.op in ("*", "/"):
            return _timespan(node, left, right)
        if left == right == "int":
            # Two ints make a long (numerical-operators).
            return dataclasses.replace(node, left=ir.FunctionCall("__ek_long", (node.left,)))
        return node

    def _call(self, node: ir.FunctionCall) -> ir.Expr:
        name = node.name.lower()
        if name.startswith("__ek_"):
            raise semantic_error(f"Unknown function: '{node.name}'", "SEM0260")
        if name == "replace":
            # duckdb-kql takes it for replace_string; in Kusto it is the old replace_regex.
            raise semantic_error(
                "Unknown function: 'replace' is not supported by this emulator; use "
                "replace_regex or replace_string",
                "SEM0260",
            )
        if name == "todecimal" and len(node.args) == 1:
            return self._to_decimal(node.args[0])
        if name in _ROW_FUNCTIONS:
            return self._row_function(name, node.args)
        if name == "pack_all" and not node.args:
            pairs: list[ir.Expr] = []
            for column in self._pipeline.names:
                if column not in HIDDEN:
                    pairs += [ir.Literal(column, "string"), ir.ColumnRef(column)]
            bag = ir.FunctionCall("bag_pack", tuple(pairs))
            return packed(bag, self._pipeline) if pairs else bag
        if not node.args:
            return node
        if name in ("bin", "floor") and len(node.args) == 2:
            return self._bin(node)
        if name in ("tolong", "toint") and len(node.args) == 1:
            # Already of that type: duckdb-kql would take it by way of a double.
            kind = self._pipeline.type_of(node.args[0], planned=False)
            if kind == name.removeprefix("to"):
                return ir.FunctionCall("__ek_same", node.args)
        if name in _INEXACT and self._pipeline.type_of(node.args[0]) == "decimal":
            raise bad_request(f"{name}() of a decimal is not exact in this emulator")
        return by_type(node, self._pipeline)

    def _bin(self, node: ir.FunctionCall) -> ir.Expr:
        value, size = node.args
        kind = self._pipeline.type_of(value)
        if kind == "decimal" or self._pipeline.type_of(size, planned=False) == "decimal":
            raise bad_request(f"{node.name}() of a decimal is not exact in this emulator")
        if kind in ("timespan", "datetime") and self._pipeline.type_of(size) == "timespan":
            return ir.FunctionCall(f"__ek_bin_{kind}", node.args)
        if kind in ("timespan", "datetime"):
            raise semantic_error(f"{node.name}(): the size of a bin of {kind} must be a timespan")
        if isinstance(size, ir.Literal) and isinstance(size.value, int | float) and size.value >= 0:
            return node
        # "A negative bin size will result in null."
        return ir.FunctionCall(node.name, (value, ir.FunctionCall("__ek_bin_size", (size,))))

    def _row_function(self, name: str, args: tuple[ir.Expr, ...]) -> ir.Expr:
        if not self._pipeline.serialized:
            raise semantic_error(
                f"Function '{name}' cannot be invoked. The row set must be serialized.", "SEM0100"
            )
        if name == "row_number" and len(args) <= 1:
            return ir.FunctionCall("__ek_row_number", args or (ir.Literal(1, "long"),))
        if name in ("prev", "next") and 1 <= len(args) <= 3:
            given = (*args, *(ir.Literal(1, "long"), ir.Literal(None, "null"))[len(args) - 1 :])
            return ir.FunctionCall(f"__ek_{name}", given)
        if name == "row_cumsum" and len(args) == 1:
            whole = self._pipeline.type_of(args[0]) in ("int", "long")
            return ir.FunctionCall("__ek_row_cumsum_whole" if whole else "__ek_row_cumsum", args)
        raise bad_request(f"{name}() with {len(args)} arguments is not supported by this emulator")

    def _to_decimal(self, value: ir.Expr) -> ir.Expr:
        if isinstance(value, ir.Literal) and value.kind in ("string", "int", "long", "null"):
            return decimal_literal(value.value)
        kind = self._pipeline.type_of(value)
        if kind in ("int", "long"):
            return ir.FunctionCall("__ek_decimal_whole", (value,))
        if kind == "decimal":
            return ir.FunctionCall("__ek_same", (value,))
        raise bad_request(f"todecimal() of a {kind} value is not exact in this emulator")


def decimal_literal(value: str | float | None) -> ir.Expr:
    """A decimal of exactly the digits that are written; null for what is no number."""
    text = "" if value is None else str(value).strip()
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        return ir.RenderedAggregate("CAST(NULL AS DECIMAL(38, 0))")
    written = format(number, "f")
    whole, _, fraction = written.lstrip("-").partition(".")
    digits = len(whole.lstrip("0")) + len(fraction)
    if digits > DECIMAL_DIGITS_MAX:
        raise bad_request(f"decimal({text}) has more than {DECIMAL_DIGITS_MAX} digits")
    return ir.RenderedAggregate(f"CAST('{written}' AS DECIMAL({max(digits, 1)}, {len(fraction)}))")


def unresolved(name: str) -> KustoError:
    """The error for a name that the operator's input doesn't have."""
    return semantic_error(f"Failed to resolve scalar expression named '{name}'")


def _check_comparable(left: str | None, right: str | None) -> None:
    families = _FAMILIES.get(left or ""), _FAMILIES.get(right or "")
    if None not in families and families[0] != families[1]:
        raise semantic_error(
            f"Cannot compare values of types {left} and {right}. Try adding explicit casts",
            "SEM0064",
        )


def _check_decimal(operator: str, left: str | None, right: str | None) -> None:
    other = right if left == "decimal" else left
    if operator in ("/", "%"):
        raise bad_request(f"'{operator}' of a decimal is not exact in this emulator")
    if other not in ("decimal", "int", "long"):
        raise bad_request(
            f"'{operator}' of a decimal and a {other} value is not exact in this emulator"
        )


def _timespan(node: ir.BinaryOp, left: str | None, right: str | None) -> ir.Expr:
    if node.op == "/" and left == right:
        return ir.FunctionCall("__ek_timespan_ratio", (node.left, node.right))
    if node.op == "/" and right in _NUMBERS:
        return ir.FunctionCall("__ek_timespan_part", (node.left, node.right))
    if node.op == "*" and right in _NUMBERS:
        return ir.FunctionCall("__ek_timespan_times", (node.left, node.right))
    if node.op == "*" and left in _NUMBERS:
        return ir.FunctionCall("__ek_timespan_times", (node.right, node.left))
    return node
