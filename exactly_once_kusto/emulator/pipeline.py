"""A query's pipeline as far as it has been read: its columns, and types of expressions in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field

import duckdb
from duckdb_kql import ir
from duckdb_kql.errors import KqlError
from duckdb_kql.translate import _is_aggregate_call

from .shapes import Shapes, kusto_of

_RETURNS = {
    "now": "datetime",
    "ago": "datetime",
    "todatetime": "datetime",
    "startofday": "datetime",
    "startofhour": "datetime",
    "make_datetime": "datetime",
    "totimespan": "timespan",
    "make_timespan": "timespan",
    "tolong": "long",
    "toint": "int",
    "todouble": "real",
    "toreal": "real",
    "tobool": "bool",
    "tostring": "string",
    "strcat": "string",
    "tolower": "string",
    "toupper": "string",
    "strlen": "long",
    "count": "long",
    "countif": "long",
    "dcount": "long",
    "count_distinct": "long",
    "parse_json": "dynamic",
    "todynamic": "dynamic",
    "__ek_bin_timespan": "timespan",
    "__ek_bin_datetime": "datetime",
    "__ek_timespan_ratio": "real",
    "__ek_timespan_part": "timespan",
    "__ek_timespan_times": "timespan",
    "__ek_string": "string",
    "__ek_decimal_whole": "decimal",
    "__ek_long": "long",
    "__ek_text": "string",
    "__ek_decimal_text": "string",
    "__ek_above": "bool",
    "__ek_not_below": "bool",
    "__ek_known": "dynamic",
}
_SAME_AS_ARGUMENT = (
    "min", "max", "take_any", "any", "minif", "maxif", "__ek_same", "__ek_number", "abs",
)  # fmt: skip
_PREDICATES = (ir.InList, ir.HasList, ir.Between)
_ARITHMETIC = ("+", "-", "*", "/", "%")


@dataclass
class Pipeline:
    """Operators read so far. ``source`` is None while the source's own expressions are read."""

    shapes: Shapes
    source: ir.Source | None
    lets: list[tuple[str, ir.Query | ir.Expr]]
    operators: list[ir.Operator] = field(default_factory=list)
    serialized: bool = False
    _names: list[str] | None = None
    _types: dict[str, str] | None = None

    def add(self, operator: ir.Operator) -> None:
        """The pipeline goes on."""
        self.operators.append(operator)
        self._names = self._types = None

    def replace_source(self, source: ir.Source) -> None:
        """What the pipeline begins with."""
        self.source = source
        self._names = self._types = None

    def query(self, *more: ir.Operator) -> ir.Query:
        """The pipeline as a query of its own, with further operators."""
        source = self.source or ir.PrintSource(())
        return ir.Query(source, [*self.operators, *more], list(self.lets))

    @property
    def names(self) -> list[str]:
        """Columns that the next operator sees. Raises KqlError."""
        if self._names is None:
            self._names = [] if self.source is None else self.shapes.names(self.query())
        return self._names

    @property
    def types(self) -> dict[str, str]:
        """DuckDB's types of those columns; empty where the pipeline can't be planned.

        What can't be planned is refused when it is run, with DuckDB's reason.
        """
        if self._types is None:
            try:
                self._types = {} if self.source is None else self.shapes.types(self.query())
            except (KqlError, duckdb.Error):
                self._types = {}
        return self._types

    def columns_of(self, kusto: str) -> list[str]:
        """The columns of a Kusto type."""
        return [name for name, kind in self.types.items() if kusto_of(kind) == kusto]

    def type_of(self, expr: ir.Expr, planned: bool = True) -> str | None:
        """The Kusto type of an expression over the columns; None where it isn't known.

        Without ``planned`` DuckDB isn't asked: what takes more than a look isn't known then.
        """
        quick = self._quick(expr)
        return self._planned(expr) if quick is None and planned else quick

    def _quick(self, expr: ir.Expr) -> str | None:
        if isinstance(expr, ir.Literal | ir.Parameter):
            return None if expr.kind == "null" else expr.kind
        if isinstance(expr, ir.ColumnRef):
            kind = self.types.get(expr.name)
            return None if kind is None else kusto_of(kind)
        if isinstance(expr, _PREDICATES):
            return "bool"
        if isinstance(expr, ir.PathAccess):
            return "dynamic"
        if isinstance(expr, ir.RenderedAggregate) and expr.sql.startswith("CAST("):
            return "decimal" if " AS DECIMAL(" in expr.sql else None
        if isinstance(expr, ir.UnaryOp):
            return self._quick(expr.operand) if expr.op == "-" else "bool"
        if isinstance(expr, ir.BinaryOp):
            if expr.op not in _ARITHMETIC:
                return "bool"
            return _of_numbers(self._quick(expr.left), self._quick(expr.right))
        if isinstance(expr, ir.FunctionCall):
            name = expr.name.lower()
            if name in _SAME_AS_ARGUMENT and expr.args:
                return self._quick(expr.args[0])
            return _RETURNS.get(name)
        return None

    def _planned(self, expr: ir.Expr) -> str | None:
        named = (ir.NamedExpr(expr, "t"),)
        if self.source is None:
            query = dataclasses.replace(self.query(), source=ir.PrintSource(named))
        elif _has_aggregate(expr):
            query = self.query(ir.Summarize(named))
        else:
            query = self.query(ir.Project(named))
        try:
            return kusto_of(self.shapes.types(query)["t"])
        except (KqlError, duckdb.Error):
            return None


def _of_numbers(left: str | None, right: str | None) -> str | None:
    if left in ("int", "long") and right in ("int", "long"):
        return "long"
    both = {left, right}
    return "real" if "real" in both and both <= {"int", "long", "real"} else None


def _has_aggregate(node: object) -> bool:
    if isinstance(node, ir.Query):
        return False
    if isinstance(node, ir.Expr) and _is_aggregate_call(node):
        return True
    return any(_has_aggregate(child) for child in children(node))


def children(node: object) -> Iterable[object]:
    """What a node of the tree holds."""
    if isinstance(node, list | tuple):
        return node
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return [getattr(node, f.name) for f in dataclasses.fields(node)]
    return ()
