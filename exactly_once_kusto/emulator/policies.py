"""Policies: kept as JSON, the table's before the database's, and read into what they mean here.

Sources: https://learn.microsoft.com/kusto/management/retention-policy,
extent-tags-retention-policy, batching-policy, merge-policy and sharding-policy.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from .catalog import Table
from .commands import AlterPolicy
from .engine import Engine
from .errors import KustoError, bad_request

MEGABYTE = 1024 * 1024
_NAMES = {
    "retention": "RetentionPolicy",
    "extent_tags_retention": "ExtentTagsRetentionPolicy",
    "ingestionbatching": "IngestionBatchingPolicy",
    "merge": "ExtentsMergePolicy",
    "caching": "CachingPolicy",
    "update": "UpdatePolicy",
    "ingestiontime": "IngestionTimePolicy",
    "streamingingestion": "StreamingIngestionPolicy",
    "sharding": "ShardingPolicy",
    "partitioning": "PartitioningPolicy",
    "row_level_security": "RowLevelSecurityPolicy",
    "restricted_view_access": "RestrictedViewAccessPolicy",
    "roworder": "RowOrderPolicy",
    "auto_delete": "AutoDeletePolicy",
    "encoding": "EncodingPolicy",
}
_RETENTION_DEFAULTS = {"SoftDeletePeriod": "365000.00:00:00", "Recoverability": "Enabled"}
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_READ = ("retention", "ingestionbatching", "merge", "sharding")
_LOOKBACK = dt.timedelta(days=14)


@dataclass(frozen=True)
class TagRule:
    """Tags with the prefix go some time after the extent is older than the period."""

    prefix: str
    period: dt.timedelta


@dataclass(frozen=True)
class Batching:
    """When a batch of queued blobs is sealed: whichever limit is reached first."""

    period: dt.timedelta = dt.timedelta(minutes=5)
    items_max: int = 500
    bytes_max: int = 1024 * MEGABYTE


@dataclass(frozen=True)
class Merging:
    """What may be merged in the background; ``rebuild`` is preferred where both are allowed."""

    allow_merge: bool = True
    allow_rebuild: bool = True
    merge_rows_max: int = 16_000_000
    merge_bytes_max: float = 30_000 * MEGABYTE
    rebuild_rows_max: int = 1_048_576
    rebuild_bytes_max: float = 3_072 * MEGABYTE
    extents_max: int = 100
    range_max: dt.timedelta = dt.timedelta(hours=24)
    lookback: dt.timedelta | None = _LOOKBACK


def of(
    q: duckdb.DuckDBPyConnection, entity: str, database: str, name: str, kind: str
) -> str | None:
    """The policy's JSON as it was set on the entity itself; None where none is."""
    found = q.execute(
        'SELECT value FROM "$emulator".policy '
        "WHERE entity = ? AND db = ? AND name = ? AND policy = ?",
        [entity, database, name, kind],
    ).fetchone()
    return None if found is None else str(found[0])


def effective(q: duckdb.DuckDBPyConnection, table: Table, kind: str) -> Any:  # noqa: ANN401 - JSON
    """The policy in force, read: the table's, else its database's, else None."""
    # One query for both: every ingestion asks.
    rows = q.execute(
        'SELECT entity, value FROM "$emulator".policy WHERE db = ? AND policy = ? '
        "AND (entity = 'database' OR (entity = 'table' AND name = ?))",
        [table.database, kind, table.name],
    ).fetchall()
    found = dict(rows)
    value = found.get("table", found.get("database"))
    return None if value is None else json.loads(value)


def soft_delete(q: duckdb.DuckDBPyConnection, table: Table) -> dt.timedelta | None:
    """The soft-delete period in force; None is forever."""
    value = effective(q, table, "retention")
    return None if not value else parse_period(value["SoftDeletePeriod"])


class SoftDelete:
    """The soft-delete periods, remembered until a policy changes: every ingestion asks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: tuple[object, dict[int, dt.timedelta | None]] = (None, {})

    def of(self, q: duckdb.DuckDBPyConnection, table: Table) -> dt.timedelta | None:
        """What ``soft_delete`` gives."""
        # Taken before the policies are read: what is read later belongs to no older moment.
        as_of = self._engine.policies_as_of
        if self._known[0] is not as_of:
            self._known = (as_of, {})
        known = self._known[1]
        if table.id not in known:
            known[table.id] = soft_delete(q, table)
        return known[table.id]


def tag_rules(q: duckdb.DuckDBPyConnection, table: Table) -> list[TagRule]:
    """The extent tags retention in force."""
    value = effective(q, table, "extent_tags_retention")
    return [TagRule(r["TagPrefix"], parse_period(r["RetentionPeriod"])) for r in value or ()]


def batching(q: duckdb.DuckDBPyConnection, table: Table) -> Batching:
    """The ingestion batching policy in force, with the documented defaults."""
    return _batching(effective(q, table, "ingestionbatching") or {})


def merging(q: duckdb.DuckDBPyConnection, table: Table) -> Merging:
    """The merge policy in force, and what of the sharding policy binds rebuilds."""
    sharding = effective(q, table, "sharding") or {}
    return _merging(effective(q, table, "merge") or {}, sharding)


def row(
    entity: str, database: str, name: str, kind: str, value: str | None
) -> tuple[str, str, str, str, str]:
    """A row of ``.show ... policy``."""
    title = _NAMES.get(kind, kind)
    full = f"[{database}]" if entity == "database" else f"[{database}].[{name}]"
    return (title, full, "null" if value is None else value, "", entity.capitalize())


def alter(engine: Engine, database: str, command: AlterPolicy) -> str | None:
    """Sets, merges or deletes a policy; the new JSON. Raises KustoError where it can't be read."""
    name = database if command.entity == "database" else command.name
    with engine.write() as tx:
        if command.entity == "table":
            engine.catalog.table(database, name)  # it may have been dropped meanwhile
        value = None
        if command.value is not None:
            before = of(tx, command.entity, database, name, command.policy)
            value = _value(command, before)
        tx.execute(
            'DELETE FROM "$emulator".policy '
            "WHERE entity = ? AND db = ? AND name = ? AND policy = ?",
            [command.entity, database, name, command.policy],
        )
        if value is not None:
            tx.execute(
                'INSERT INTO "$emulator".policy VALUES (?,?,?,?,?)',
                [command.entity, database, name, command.policy, value],
            )
    engine.policies_as_of = object()
    return value


def feeds_an_update_policy(q: duckdb.DuckDBPyConnection, table: Table) -> bool:
    """Whether some table's update policy names this one as its source."""
    rows = q.execute(
        'SELECT value FROM "$emulator".policy WHERE db = ? AND policy = ?',
        [table.database, "update"],
    ).fetchall()
    try:
        return any(e.get("Source") == table.name for (v,) in rows for e in json.loads(v))
    except (AttributeError, TypeError) as error:
        raise KustoError("General_BadRequest", f"an update policy is malformed: {error}") from error


def parse_period(text: str) -> dt.timedelta:
    """A timespan as policies write it: ``1.00:00:00``, ``02:00:00``, ``7d``. Raises KustoError.

    What is not a whole microsecond is rounded up: a period of zero means something else.
    """
    short = re.fullmatch(r"(\d{1,9})([dhms])", text)
    full = re.fullmatch(r"(?:(\d{1,9})\.)?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,7}))?)?", text)
    try:
        if short:
            return dt.timedelta(**{_UNITS[short.group(2)]: int(short.group(1))})
        if full:
            days, hours, minutes, seconds = (int(g or 0) for g in full.groups()[:4])
            micros = -(-int((full.group(5) or "").ljust(7, "0")) // 10)
            return dt.timedelta(days, seconds, micros, minutes=minutes, hours=hours)
    except OverflowError as error:
        raise bad_request(f"'{text}' is longer than a timespan can be") from error
    raise bad_request(f"'{text}' is no timespan")


def _value(command: AlterPolicy, before: str | None) -> str:
    try:
        given: Any = json.loads(command.value or "null")
    except (ValueError, RecursionError) as error:
        raise bad_request(f"policy '{command.policy}' is no JSON: {error}") from error
    if command.policy == "retention" and isinstance(given, dict):
        given = {**given, **_retention_settings(command)}
        if "SoftDeletePeriod" in given:
            given["SoftDeletePeriod"] = _clock_text(parse_period(str(given["SoftDeletePeriod"])))
        base = json.loads(before) if command.merge and before else _RETENTION_DEFAULTS
        given = {**base, **given}
    elif command.merge and before and isinstance(given, dict):
        given = {**json.loads(before), **given}
    if given is not None:
        _check(command, given)
    return json.dumps(given)


def _check(command: AlterPolicy, given: Any) -> None:  # noqa: ANN401 - JSON
    """Refuses what the emulator could not obey. Raises KustoError naming the property."""
    kind = command.policy
    shape: type = list if kind in ("extent_tags_retention", "update") else dict
    read = ("extent_tags_retention", "update", *_READ)
    if kind in read and not isinstance(given, shape):
        told = "an array" if shape is list else "an object"
        raise bad_request(f"policy '{kind}' must be {told}")
    try:
        if command.policy == "extent_tags_retention":
            _check_tag_rules(given)
        elif command.policy == "retention":
            period = parse_period(str(given["SoftDeletePeriod"]))
            if command.entity == "database" and period == dt.timedelta(0):
                raise bad_request("a soft-delete period of 0 can be set on a table only")
        elif command.policy == "ingestionbatching":
            _check_batching(_batching(given))
        elif command.policy in ("merge", "sharding"):
            merge = command.policy == "merge"
            _merging(given if merge else {}, {} if merge else given)
    except (AttributeError, TypeError, ValueError, KeyError, OverflowError) as error:
        raise bad_request(f"policy '{command.policy}' can't be read: {error}") from error


def _check_tag_rules(rules: list[Mapping[str, Any]]) -> None:
    for rule in rules:
        prefix = rule["TagPrefix"]
        if not prefix.endswith(":") or prefix.count(":") != 1:
            raise bad_request(f"TagPrefix '{prefix}' must end in its only colon")
        parse_period(str(rule["RetentionPeriod"]))


def _check_batching(policy: Batching) -> None:
    # The limits are those of the page's table "Defaults and limits".
    if not 1 <= policy.items_max <= 25_000:
        raise bad_request("MaximumNumberOfItems must be between 1 and 25,000")
    if not 100 * MEGABYTE <= policy.bytes_max <= 4096 * MEGABYTE:
        raise bad_request("MaximumRawDataSizeMB must be between 100 and 4096")
    if not dt.timedelta(seconds=10) <= policy.period <= dt.timedelta(minutes=30):
        raise bad_request("MaximumBatchingTimeSpan must be between 00:00:10 and 00:30:00")


def _batching(given: Mapping[str, Any]) -> Batching:
    return Batching(
        parse_period(str(given.get("MaximumBatchingTimeSpan", "00:05:00"))),
        int(given.get("MaximumNumberOfItems", 500)),
        int(given.get("MaximumRawDataSizeMB", 1024)) * MEGABYTE,
    )


def _merging(given: Mapping[str, Any], sharding: Mapping[str, Any]) -> Merging:
    default = Merging()
    lookback = given.get("Lookback") or {}
    spans = {"All": None, "HotCache": None, "Default": _LOOKBACK}
    kind = lookback.get("Kind", "Default")
    span = parse_period(lookback["CustomPeriod"]) if kind == "Custom" else spans[kind]
    return Merging(
        bool(given.get("AllowMerge", True)),
        bool(given.get("AllowRebuild", True)),
        int(given.get("RowCountUpperBoundForMerge", default.merge_rows_max)),
        float(given.get("OriginalSizeMBUpperBoundForMerge", 30_000)) * MEGABYTE,
        int(sharding.get("ShardEngineMaxRowCount", default.rebuild_rows_max)),
        float(sharding.get("ShardEngineMaxOriginalSizeInMb", 3_072)) * MEGABYTE,
        int(given.get("MaxExtentsToMerge", default.extents_max)),
        dt.timedelta(hours=float(given.get("MaxRangeInHours", 24))),
        span,
    )


def _retention_settings(command: AlterPolicy) -> dict[str, str]:
    settings: dict[str, str] = {}
    for key, value in command.settings.items():
        if key == "softdelete":
            settings["SoftDeletePeriod"] = value
        elif key == "recoverability":
            settings["Recoverability"] = value.capitalize()
        else:
            raise bad_request(f"retention policy has no setting '{key}'")
    return settings


def _clock_text(period: dt.timedelta) -> str:
    seconds = period.seconds
    days = f"{period.days}." if period.days else ""
    part = f".{period.microseconds:06}0" if period.microseconds else ""
    return f"{days}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{part}"
