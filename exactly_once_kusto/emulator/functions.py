"""Functions and aggregates that duckdb-kql doesn't have, as SQL, and those where it is wrong.

They are rows of duckdb-kql's own registry, added in the translator's process alone. ``{0}`` is an
argument's SQL; where an argument stands twice it is bound by a lambda, so that it is evaluated
once. Names that begin with ``__ek_`` can't be written in a query: `expressions` puts them there.
Each rule is that of the function's page below https://learn.microsoft.com/kusto/query/.
"""

from __future__ import annotations

import re

from duckdb_kql import ir, translate
from duckdb_kql.translate import functions as registry

from .errors import bad_request

# The entries of a bag; a JSON path to one key, whatever is in it. Braces are doubled for `format`.
_ENTRIES = (
    "list_transform(json_keys({0}), lambda k: {{'k': k, 'v': json_extract({0}, "
    "'$.\"' || replace(replace(k, '\\', '\\\\'), '\"', '\\\"') || '\"')::VARCHAR}})"
)


def _merged(condition: str) -> str:
    """SQL of one bag out of many: the first value of each key."""
    entries = f"coalesce(flatten(list({_ENTRIES}) FILTER (WHERE {condition})), [])"
    first = (
        f"list_transform([{entries}], lambda es: list_filter(es, lambda e, i: "
        "list_position(list_transform(es, lambda z: z.k), e.k) = i))[1]"
    )
    written = f"list_transform({first}, lambda e: to_json(e.k)::VARCHAR || ':' || e.v)"
    return f"CAST('{{{{' || array_to_string({written}, ',') || '}}}}' AS JSON)"


def _bind(body: str, *names: str) -> str:
    """An expression in which each name stands for an argument that is evaluated once."""
    fields = ", ".join(f"'{name}': {{{i}}}" for i, name in enumerate(names))
    named = body
    for name in names:
        named = re.sub(rf"\b{name}\b", f"_f.{name}", named)
    return f"list_transform([{{{{{fields}}}}}], lambda _f: {named})[1]"


def _sorted(order: str) -> str:
    """SQL of an array, sorted: numbers or strings, nulls last (array-sort-asc-function).

    JSON alone would be sorted as text. How several kinds are sorted isn't documented.
    """

    def only(*kinds: str) -> str:
        listed = ", ".join(f"'{kind}'" for kind in kinds)
        return f"len(list_filter(es, lambda e: json_type(e) NOT IN ({listed}))) = 0"

    def by(key: str) -> str:
        keyed = f"list_transform(es, lambda e: {{{{'k': {key}, 'e': e}}}})"
        known = f"list_filter({keyed}, lambda z: z.k IS NOT NULL)"
        ordered = f"list_transform(list_sort({known}, '{order}'), lambda z: z.e)"
        return f"to_json(list_concat({ordered}, list_filter(es, lambda e: e IS NULL)))"

    numbers, strings = by("TRY_CAST(e AS DOUBLE)"), by("json_extract_string(e, '$')")
    return _bind(
        f"CASE WHEN es IS NULL THEN NULL "
        f"WHEN {only('UBIGINT', 'BIGINT', 'DOUBLE')} THEN {numbers} "
        f"WHEN {only('VARCHAR')} THEN {strings} "
        "ELSE CAST(error('an array of several kinds of values is not sorted here') AS JSON) END",
        "es",
    ).replace("{0}", "CASE WHEN json_type({0}) = 'ARRAY' THEN CAST(to_json({0}) AS JSON[]) END")


# Whole numbers, so that no bin is missed by a rounding; null for a size that is none.
_BIN_MICROSECONDS = _bind(
    "CASE WHEN epoch_us(r) > 0 THEN "
    "epoch_us(v) - ((epoch_us(v) % epoch_us(r)) + epoch_us(r)) % epoch_us(r) END",
    "v",
    "r",
)

SCALARS: dict[str, tuple[str, tuple[int, ...]]] = {
    # Put there by `expressions`, where the operands' types call for them.
    "__ek_string": ("coalesce({0}, '')", (1,)),
    "__ek_bin_timespan": (f"to_microseconds({_BIN_MICROSECONDS})", (2,)),
    "__ek_bin_datetime": (f"make_timestamp({_BIN_MICROSECONDS})", (2,)),
    "__ek_timespan_ratio": ("(CAST(epoch_us({0}) AS DOUBLE) / epoch_us({1}))", (2,)),
    "__ek_timespan_part": ("to_microseconds(CAST(trunc(epoch_us({0}) / {1}) AS BIGINT))", (2,)),
    "__ek_timespan_times": ("to_microseconds(CAST(trunc(epoch_us({0}) * {1}) AS BIGINT))", (2,)),
    "__ek_decimal_whole": ("CAST({0} AS DECIMAL(38, 0))", (1,)),
    "__ek_same": ("{0}", (1,)),
    "__ek_row_number": ("(row_number() OVER () + {0} - 1)", (1,)),
    "__ek_prev": ("lag({0}, {1}, {2}) OVER ()", (3,)),
    "__ek_next": ("lead({0}, {1}, {2}) OVER ()", (3,)),
    "__ek_row_cumsum": ("sum({0}) OVER (ROWS UNBOUNDED PRECEDING)", (1,)),
    "__ek_row_cumsum_whole": ("CAST(sum({0}) OVER (ROWS UNBOUNDED PRECEDING) AS BIGINT)", (1,)),
    "__ek_long": ("CAST({0} AS BIGINT)", (1,)),
    "__ek_text": ("nullif({0}, '')", (1,)),
    "__ek_try": ("try({0})", (1,)),
    "__ek_known": ("nullif({0}, CAST('null' AS JSON))", (1,)),
    "__ek_decimal_text": ("coalesce(struct_extract({0}, 'decimal'), '')", (1,)),
    "__ek_bin_size": (_bind("CASE WHEN r >= 0 THEN r END", "r"), (1,)),
    # a > b and a >= b where a may be no number, which DuckDB takes for the greatest of all.
    "__ek_above": (_bind("(a > b AND NOT isnan(a))", "a", "b"), (2,)),
    "__ek_not_below": (_bind("(a >= b AND NOT isnan(a))", "a", "b"), (2,)),
    # Where it stands among others isn't documented.
    "__ek_number": (
        "(CASE WHEN isnan({0}) THEN CAST(error('NaN has no place among other reals "
        "here; leave it out with isnan()') AS DOUBLE) ELSE {0} END)",
        (1,),
    ),
    # How a real sorts before its value does (sort-operator).
    "__ek_unordered": ("(CASE WHEN {0} IS NULL THEN 2 WHEN isnan({0}) THEN 1 ELSE 0 END)", (1,)),
    # DuckDB takes some words for a time.
    "__ek_dated": (_bind("CASE WHEN regexp_matches(s, '[0-9]') THEN s END", "s"), (1,)),
    "__ek_array_concat": (
        "to_json(list_concat(CAST(to_json({0}) AS JSON[]), CAST(to_json({1}) AS JSON[])))",
        (2,),
    ),
    "__ek_array_sort_asc": (_sorted("ASC"), (1,)),
    "__ek_array_sort_desc": (_sorted("DESC"), (1,)),
    # What is no JSON becomes a string, an empty one null (parse-json-function, isnull-function).
    "parse_json": (
        _bind(
            "CASE WHEN s IS NULL OR CAST(s AS VARCHAR) IN ('', 'null') THEN NULL "
            "WHEN json_valid(CAST(s AS VARCHAR)) "
            "THEN CAST(CAST(s AS VARCHAR) AS JSON) ELSE to_json(CAST(s AS VARCHAR)) END",
            "s",
        ),
        (1,),
    ),
    "bag_has_key": (
        _bind(
            "CASE WHEN starts_with(name, '$') THEN json_exists(bag, name) "
            "ELSE list_contains(json_keys(bag), name) END",
            "bag",
            "name",
        ),
        (2,),
    ),
    "bag_keys": (
        _bind("CASE WHEN json_type(bag) = 'OBJECT' THEN to_json(json_keys(bag)) END", "bag"),
        (1,),
    ),
    # An empty string where the bytes are no UTF-8 (base64-decode-tostring-function).
    "base64_decode_tostring": ("coalesce(try(decode(from_base64({0}))), '')", (1,)),
    "unixtime_seconds_todatetime": ("make_timestamp(CAST({0} * 1000000 AS BIGINT))", (1,)),
    "unixtime_milliseconds_todatetime": ("make_timestamp(CAST({0} * 1000 AS BIGINT))", (1,)),
    "unixtime_microseconds_todatetime": ("make_timestamp(CAST({0} AS BIGINT))", (1,)),
    "strcmp": (
        _bind("CASE WHEN a < b THEN -1 WHEN a > b THEN 1 ELSE 0 END::BIGINT", "a", "b"),
        (2,),
    ),
    "isascii": ("coalesce(NOT regexp_matches({0}, '[^\\x00-\\x7F]'), true)", (1,)),
    "string_size": ("CAST(strlen({0}) AS BIGINT)", (1,)),
    "new_guid": ("uuid()", (0,)),
}
SCALARS["todynamic"] = SCALARS["parse_json"]

# name -> (SQL, number of arguments, prefix of the automatic name)
AGGREGATES: dict[str, tuple[str, tuple[int, ...], str]] = {
    # An overflow is an error (https://learn.microsoft.com/kusto/concepts/overflow).
    "__ek_sum_whole": ("CAST(coalesce(sum({0}), 0) AS BIGINT)", (1,), "sum"),
    "__ek_sumif_whole": (
        "CAST(coalesce(sum({0}) FILTER (WHERE {1}), 0) AS BIGINT)",
        (2,),
        "sumif",
    ),
    "count_distinct": ("count(DISTINCT {0})", (1,), "count_distinct"),
    "count_distinctif": (
        "count(DISTINCT {0}) FILTER (WHERE {1})",
        (2,),
        "count_distinctif",
    ),
    # A null of the row's own is kept, so that all columns are of one row.
    "__ek_any_row": ("any_value({{'v': {0}}})['v']", (1,), "any"),
    "minif": ("min({0}) FILTER (WHERE {1})", (2,), "minif"),
    "maxif": ("max({0}) FILTER (WHERE {1})", (2,), "maxif"),
    "stdevp": ("coalesce(stddev_pop({0}), 0.0)", (1,), "stdevp"),
    "variancep": ("coalesce(var_pop({0}), 0.0)", (1,), "variance"),
    "variancepif": (
        "coalesce(var_pop({0}) FILTER (WHERE {1}), 0.0)",
        (2,),
        "variancepif",
    ),
    "covariance": ("covar_samp({0}, {1})", (2,), "covariance"),
    "covariancep": ("covar_pop({0}, {1})", (2,), "covariancep"),
    "covarianceif": ("covar_samp({0}, {1}) FILTER (WHERE {2})", (3,), "covarianceif"),
    "covariancepif": ("covar_pop({0}, {1}) FILTER (WHERE {2})", (3,), "covariancepif"),
    "binary_all_and": ("bit_and({0})", (1,), "binary_all_and"),
    "binary_all_or": ("bit_or({0})", (1,), "binary_all_or"),
    "binary_all_xor": ("bit_xor({0})", (1,), "binary_all_xor"),
    "make_list_if": (
        "to_json(coalesce(list({0}) FILTER (WHERE ({1}) AND {0} IS NOT NULL), []))",
        (2,),
        "list",
    ),
    "make_set_if": (
        "to_json(coalesce(list(DISTINCT {0}) FILTER (WHERE ({1}) AND {0} IS NOT NULL), []))",
        (2,),
        "set",
    ),
    "make_list_with_nulls": ("to_json(coalesce(list({0}), []))", (1,), "list"),
    "make_list": ("to_json(coalesce(list({0}) FILTER (WHERE {0} IS NOT NULL), []))", (1,), "list"),
    # Where bags share a key any one's value may be kept; nulls and what is no bag are left out.
    "make_bag": (_merged("json_type({0}) = 'OBJECT'"), (1,), "bag"),
    "make_bag_if": (_merged("({1}) AND json_type({0}) = 'OBJECT'"), (2,), "bag"),
}


_UNNESTED = "SELECT UNNEST(generate_series("
_render_range = translate.render_range


def _streamed_range(source: ir.RangeSource) -> str:
    """SQL of ``range`` by a table function, which makes rows as they are asked for.

    duckdb-kql's list of all of them takes any amount of memory, past every limit and deadline.
    """
    sql: str = _render_range(source)
    bounds, closed, name = sql.removeprefix(_UNNESTED).rpartition(")) AS ")
    if not sql.startswith(_UNNESTED) or not closed:
        raise bad_request("range of this form is not supported by this emulator")
    return f"SELECT * FROM generate_series({bounds}) AS _range({name})"


def register() -> None:
    """Adds the rows to duckdb-kql's registry in this process, and mends what isn't in it."""
    translate.render_range = _streamed_range
    for name, (template, arities) in SCALARS.items():
        registry.SCALAR_FUNCTIONS[name] = registry.FunctionSpec(name, "template", template, arities)
    for name, (template, arities, prefix) in AGGREGATES.items():
        registry.AGGREGATE_FUNCTIONS[name] = registry.AggregateSpec(
            name, template, arities, name_prefix=prefix
        )
