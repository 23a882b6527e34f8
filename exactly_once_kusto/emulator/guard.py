"""The pass over a query's operators that knows types: guards, refusals, and what was missing.

duckdb-kql leaves a gap where a string is missing after an outer join or a union, where Kusto has
an empty string; it makes one column of two that a union has under one name with two types; and
DuckDB compares keys of different types. Sources:
https://learn.microsoft.com/kusto/query/union-operator,
https://learn.microsoft.com/kusto/query/join-operator and
https://learn.microsoft.com/kusto/query/scalar-data-types/null-values
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import duckdb
from duckdb_kql import ir
from duckdb_kql.errors import KqlError
from duckdb_kql.schema import match_wildcard, resolve_let_refs, resolve_source_let_refs

from .errors import bad_request, semantic_error
from .expressions import Expressions, unresolved
from .not_a_number import beside_null, compared_reals
from .pipeline import Pipeline
from .rewrite import Node
from .shapes import Shapes, kusto_of
from .stages import expand, stage_of
from .summarize import expanded
from .unnamed import named

OPERATORS_MAX = 200
_KEEPS_ORDER = (
    ir.Where, ir.Extend, ir.Project, ir.ProjectAway, ir.ProjectRename, ir.Take, ir.Parse,
    ir.MvExpand,
)  # fmt: skip
_GAPPED_BY_JOIN = ("leftouter", "rightouter", "fullouter")
_MAY_BE_NULL = ("case", "iff", "iif", "coalesce", "min_of", "max_of", "__ek_prev", "__ek_next")
_SCALAR = {"int": "long"}

Lets = list[tuple[str, ir.Query | ir.Expr]]


class Guard:
    """Rewrites queries of one request. Raises KustoError for what Kusto refuses."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._operators = 0

    def query(self, query: ir.Query, outer: Sequence[tuple[str, Any]] = ()) -> ir.Query:
        """The query, rewritten; ``outer`` are the let statements around it."""
        own: Lets = []
        for name, bound in query.lets:
            if isinstance(bound, ir.Query):
                bound = self.query(bound, [*outer, *own])
            own.append((name, bound))
        scope: Lets = [*outer, *own]
        pipeline = Pipeline(self._shapes, None, scope)
        source, first = self._source(resolve_source_let_refs(query.source), pipeline, scope)
        pipeline.replace_source(source)
        pipeline.serialized = isinstance(source, ir.RangeSource)
        for operator in first:
            pipeline.add(operator)
        for operator in query.operators:
            self._operators += 1
            if self._operators > OPERATORS_MAX:
                raise bad_request(f"query has more than {OPERATORS_MAX} operators")
            self._operator(operator, pipeline, scope)
        return dataclasses.replace(
            query, source=pipeline.source, operators=pipeline.operators, lets=own
        )

    # --- sources ----------------------------------------------------------------------------

    def _source(
        self, source: Node, pipeline: Pipeline, scope: Lets
    ) -> tuple[Node, list[ir.Operator]]:
        if isinstance(source, ir.WildcardTableRef):
            self._check_wildcard(source)
        changed = self._expressions(pipeline, scope).rewrite(source)
        if isinstance(changed, ir.PrintSource):
            return named(changed, source, []), []
        if isinstance(changed, ir.RangeSource):
            _check_range(changed, pipeline)
        if isinstance(changed, ir.DataTable) and any(t == "decimal" for _, t in changed.columns):
            return _exact_datatable(changed, source)
        return changed, []

    def _check_wildcard(self, source: ir.WildcardTableRef) -> None:
        kinds: dict[str, set[str]] = {}
        for place in match_wildcard(source, self._shapes.schema):
            database, _, table = place.partition(".")
            found = self._shapes.types(ir.Query(ir.TableRef(table, database)))
            for name, kind in found.items():
                kinds.setdefault(name, set()).add(kusto_of(kind))
        mixed = [name for name, several in kinds.items() if len(several) > 1]
        if mixed:
            raise bad_request(
                f"union of '{source.pattern}': column '{mixed[0]}' has several types in these "
                "tables; name the tables, or project the column away, in this emulator"
            )

    # --- operators --------------------------------------------------------------------------

    def _operator(self, operator: ir.Operator, pipeline: Pipeline, scope: Lets) -> None:
        stage = stage_of(operator)
        if stage is not None:
            for simple in expand(*stage, pipeline.names):
                pipeline.add(simple)
            pipeline.serialized = stage[0] == "serialize" or pipeline.serialized
            return
        original = resolve_let_refs(operator, pipeline.names)
        _check_columns(original, pipeline.names)
        changed = self._expressions(pipeline, scope).rewrite(original)
        _check_types(original, pipeline)
        if isinstance(original, ir.Sort | ir.Top):
            changed = beside_null(original, changed, pipeline)
        if isinstance(original, ir.Summarize):
            numbers = compared_reals(original, pipeline)
            if numbers:
                pipeline.add(ir.Extend(numbers))
            original, changed = expanded(original, changed, pipeline.names)
        changed = named(changed, original, pipeline.names)
        if isinstance(changed, ir.Union):
            changed = self._union(changed, pipeline, scope)
        elif isinstance(changed, ir.Join | ir.Lookup):
            self._check_keys(changed, pipeline, scope)
        before = list(pipeline.names)
        pipeline.add(changed)
        pipeline.serialized = isinstance(changed, ir.Sort | ir.Top) or (
            pipeline.serialized and isinstance(changed, _KEEPS_ORDER)
        )
        gaps = _gaps(changed, before, pipeline)
        if gaps:
            filled = [ir.FunctionCall("__ek_string", (ir.ColumnRef(name),)) for name in gaps]
            pipeline.add(ir.Extend(tuple(map(ir.NamedExpr, filled, gaps))))

    def _expressions(self, pipeline: Pipeline, scope: Lets) -> Expressions:
        return Expressions(pipeline, lambda query: self.query(query, scope))

    def _types(self, query: ir.Query, scope: Lets) -> dict[str, str]:
        """Kusto types of a query's columns; empty where it can't be planned."""
        whole = dataclasses.replace(query, lets=[*scope, *query.lets])
        try:
            return {name: kusto_of(kind) for name, kind in self._shapes.types(whole).items()}
        except (KqlError, duckdb.Error):
            return {}

    def _union(self, union: ir.Union, pipeline: Pipeline, scope: Lets) -> ir.Union:
        for branch in union.branches:
            if isinstance(branch.source, ir.WildcardTableRef):
                self._check_wildcard(branch.source)
        left = {name: kusto_of(kind) for name, kind in pipeline.types.items()}
        shapes = [left, *(self._types(branch, scope) for branch in union.branches)]
        kinds: dict[str, set[str]] = {}
        for shape in shapes:
            for name, kind in shape.items():
                kinds.setdefault(name, set()).add(kind)
        mixed = {name for name, several in kinds.items() if len(several) > 1}
        if not mixed:
            return union
        if union.with_source or union.kind == "inner":
            raise bad_request(
                f"union: column '{min(mixed)}' has several types; this emulator doesn't do that "
                "together with withsource= or kind=inner"
            )
        renamed = _renames(mixed, left)
        if renamed is not None:
            pipeline.add(renamed)
        branches = []
        for branch, shape in zip(union.branches, shapes[1:], strict=True):
            extra = _renames(mixed, shape)
            operators = [*branch.operators, *([extra] if extra else [])]
            branches.append(dataclasses.replace(branch, operators=operators))
        return dataclasses.replace(union, branches=tuple(branches))

    def _check_keys(self, join: ir.Join | ir.Lookup, pipeline: Pipeline, scope: Lets) -> None:
        left = {name: kusto_of(kind) for name, kind in pipeline.types.items()}
        right = self._types(join.right, scope)
        for key in join.keys:
            if left and key.left not in left:
                raise unresolved(key.left)
            if right and key.right not in right:
                raise unresolved(key.right)
            if "dynamic" in (left.get(key.left), right.get(key.right)):
                raise semantic_error(
                    f"join: key '{key.left}' is of a 'dynamic' type. Please use an explicit cast",
                    "SEM0024",
                )
            pair = [
                _SCALAR.get(kind or "", kind) for kind in (left.get(key.left), right.get(key.right))
            ]
            if None not in pair and pair[0] != pair[1]:
                raise semantic_error(
                    f"join: key '{key.left}' is {pair[0]} on the left and {pair[1]} on the right; "
                    "both must have one type",
                    "SEM0024",
                )


def _check_types(operator: ir.Operator, pipeline: Pipeline) -> None:
    """What Kusto wants of a predicate and of keys, where a look tells the type."""
    if isinstance(operator, ir.Where):
        kind = pipeline.type_of(operator.predicate, planned=False)
        if kind not in (None, "bool", "dynamic"):
            raise semantic_error(f"where: the predicate must be a bool, and is a {kind}")
    if isinstance(operator, ir.Summarize):
        for key in operator.by:
            if pipeline.type_of(key.expr, planned=False) == "dynamic":
                raise semantic_error(
                    "Summarize group key is of a 'dynamic' type. Please use an explicit cast"
                )
    if isinstance(operator, ir.Sort | ir.Top):
        for order in operator.keys:
            if pipeline.type_of(order.expr, planned=False) == "dynamic":
                raise semantic_error(
                    "order operator: key can't be of dynamic type. Please use an explicit cast"
                )


def _check_range(source: ir.RangeSource, pipeline: Pipeline) -> None:
    """duckdb-kql makes whole numbers of any other."""
    kinds = [pipeline.type_of(bound) for bound in (source.start, source.stop, source.step)]
    if "real" in kinds or "decimal" in kinds:
        raise bad_request("range over reals or decimals is not supported by this emulator")
    if isinstance(source.step, ir.Literal) and source.step.value == 0:
        raise semantic_error("range: the step must not be 0")


def _check_columns(operator: ir.Operator, names: Sequence[str]) -> None:
    """Names that an operator holds as text."""
    wanted: Sequence[str] = ()
    if isinstance(operator, ir.ProjectAway):
        wanted = operator.columns
    elif isinstance(operator, ir.ProjectRename):
        wanted = [old for old, _ in operator.renames]
    elif isinstance(operator, ir.MvExpand):
        wanted = [target.column for target in operator.targets]
    for name in wanted:
        if name not in names:
            raise unresolved(name)


def _renames(mixed: set[str], shape: dict[str, str]) -> ir.ProjectRename | None:
    pairs = tuple((name, f"{name}_{kind}") for name, kind in shape.items() if name in mixed)
    for _, new in pairs:
        if new in shape:
            raise bad_request(f"union: column '{new}' would be there twice")
    return ir.ProjectRename(pairs) if pairs else None


def _gaps(operator: ir.Operator, before: Sequence[str], pipeline: Pipeline) -> list[str]:
    """String columns that may now be null, which no string of Kusto's is."""
    if isinstance(operator, ir.Join) and operator.kind in _GAPPED_BY_JOIN:
        keep = before if operator.kind == "leftouter" else ()
    elif isinstance(operator, ir.Lookup) and operator.kind == "leftouter":
        keep = before
    elif isinstance(operator, ir.Union) and operator.kind != "inner":
        keep = ()
    elif isinstance(operator, ir.MvExpand | ir.Parse):
        keep = [name for name in before if name not in _targets(operator)]
    elif isinstance(operator, ir.Summarize) and operator.aggregates:
        keep = [item.name for item in operator.by if item.name]
    elif isinstance(operator, ir.Extend | ir.Project) and any(
        isinstance(item.expr, ir.FunctionCall) and item.expr.name.lower() in _MAY_BE_NULL
        for item in operator.expressions
    ):
        keep = before if isinstance(operator, ir.Extend) else ()
    else:
        return []
    return [name for name in pipeline.columns_of("string") if name not in keep]


def _targets(operator: ir.MvExpand | ir.Parse) -> list[str]:
    if isinstance(operator, ir.Parse):
        return [segment.name for segment in operator.segments if segment.name]
    return [target.name or target.column for target in operator.targets]


def _exact_datatable(
    table: ir.DataTable, original: ir.DataTable
) -> tuple[ir.DataTable, list[ir.Operator]]:
    """A datatable whose decimals keep their digits: as text first, then as wide as they are."""
    from .expressions import decimal_literal

    width = len(table.columns)
    values = list(table.values)
    columns = list(table.columns)
    casts: list[ir.NamedExpr] = []
    for place, (name, kind) in enumerate(columns):
        if kind != "decimal":
            continue
        whole = scale = 0
        for at in range(place, len(values), width):
            value = original.values[at]
            if isinstance(value, ir.FunctionCall) and value.name == "todecimal":
                value = value.args[0]
            if isinstance(value, ir.UnaryOp) and isinstance(value.operand, ir.Literal):
                value = ir.Literal(f"-{value.operand.value}", "string")
            if not isinstance(value, ir.Literal):
                raise bad_request("a decimal of a datatable must be a literal in this emulator")
            exact = decimal_literal(value.value)
            assert isinstance(exact, ir.RenderedAggregate)
            text = exact.sql.split("'")[1] if "'" in exact.sql else ""
            digits, _, fraction = text.lstrip("-").partition(".")
            whole, scale = max(whole, len(digits)), max(scale, len(fraction))
            values[at] = ir.Literal(text, "string")
        if whole + scale > 38:
            raise bad_request(f"decimals of column '{name}' fit no common scale in this emulator")
        columns[place] = (name, "string")
        sql = f"CAST(nullif({_quoted(name)}, '') AS DECIMAL(38, {scale}))"
        casts.append(ir.NamedExpr(ir.RenderedAggregate(sql), name))
    return ir.DataTable(tuple(columns), tuple(values)), [ir.Extend(tuple(casts))]


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
