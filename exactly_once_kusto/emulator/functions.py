"""Functions and aggregates that duckdb-kql doesn't have, as SQL, and those where it is wrong.

They are rows of duckdb-kql's own registry, added in the translator's process alone. ``{0}`` is an
argument's SQL; where an argument stands twice it is bound by a lambda, so that it is evaluated
once. Names that begin with ``__ek_`` can't be written in a query: `expressions` puts them there.
Each rule is that of the function's page below https://learn.microsoft.com/kusto/query/.
"""

from __future__ import annotations

import re

from duckdb_kql.translate import functions as registry

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
    # What is no JSON becomes a string, not null (parse-json-function).
    "parse_json": (
        _bind(
            "CASE WHEN s IS NULL THEN NULL WHEN json_valid(CAST(s AS VARCHAR)) "
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


def register() -> None:
    """Adds the rows to duckdb-kql's registry in this process."""
    for name, (template, arities) in SCALARS.items():
        registry.SCALAR_FUNCTIONS[name] = registry.FunctionSpec(name, "template", template, arities)
    for name, (template, arities, prefix) in AGGREGATES.items():
        registry.AGGREGATE_FUNCTIONS[name] = registry.AggregateSpec(
            name, template, arities, name_prefix=prefix
        )
