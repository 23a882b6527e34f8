"""Merges: on request, and what the merge policy allows in the background.

Sources: https://learn.microsoft.com/kusto/management/merge-policy, extent-tags (drop-by),
extents-overview (creation times), and their page 'merge-extents' of 2020.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence

import duckdb

from . import extents
from .catalog import Table
from .clock import before
from .extents import Extent
from .policies import Merging
from .types import columns

MERGED_COLUMNS = columns("OriginalExtentId:string, ResultExtentId:string, Duration:timespan")
DROP_BY = "drop-by:"
TAGS_LENGTH_MAX = 1_000_000
REBUILD = "ExtentsRebuild"
MERGE = "ExtentsMerge"


def refusal(found: Sequence[Extent]) -> str | None:
    """Why these extents can't be one, or None."""
    if len(found) < 2:
        return "a merge needs at least two extents"
    if len({_drop_by(extent) for extent in found}) > 1:
        return "the extents have different sets of drop-by tags"
    if sum(len(tag) for tag in united(found)) > TAGS_LENGTH_MAX:
        return f"the union of their tags is longer than {TAGS_LENGTH_MAX} characters"
    return None


def united(found: Iterable[Extent]) -> tuple[str, ...]:
    """All tags of the extents, each once."""
    return tuple(dict.fromkeys(tag for extent in found for tag in extent.tags))


def merge(tx: duckdb.DuckDBPyConnection, table: Table, found: Sequence[Extent]) -> str:
    """Makes one extent of several, in the caller's transaction; its id.

    It has the union of their tags, the oldest and newest of their creation times, and every row
    keeps its time of ingestion.
    """
    new = str(uuid.uuid4())
    extents.rename(tx, table, found, new, united(found))
    return new


def candidates(
    found: Sequence[Extent], policy: Merging, now: dt.datetime
) -> list[tuple[str, list[Extent]]]:
    """What the policy wants merged, as kind and extents; oldest first, a rebuild where allowed."""
    limit = None if policy.lookback is None else before(now, policy.lookback)
    young = [e for e in found if limit is None or e.newest >= limit]
    groups: dict[frozenset[str], list[Extent]] = {}
    for extent in young:
        groups.setdefault(_drop_by(extent), []).append(extent)
    wanted: list[tuple[str, list[Extent]]] = []
    for group in groups.values():
        left = group
        if policy.allow_rebuild:
            runs = _runs(left, policy, policy.rebuild_rows_max, policy.rebuild_bytes_max)
            wanted += [(REBUILD, run) for run in runs]
            taken = {extent.id for run in runs for extent in run}
            left = [extent for extent in left if extent.id not in taken]
        if policy.allow_merge:
            runs = _runs(left, policy, policy.merge_rows_max, policy.merge_bytes_max)
            wanted += [(MERGE, run) for run in runs]
    return wanted


def _runs(
    group: Sequence[Extent], policy: Merging, rows_max: int, bytes_max: float
) -> list[list[Extent]]:
    runs: list[list[Extent]] = []
    run: list[Extent] = []
    for extent in group:
        if run and not _fits([*run, extent], policy, rows_max, bytes_max):
            runs.append(run)
            run = []
        run.append(extent)
    return [r for r in [*runs, run] if len(r) > 1 and refusal(r) is None]


def _fits(run: Sequence[Extent], policy: Merging, rows_max: int, bytes_max: float) -> bool:
    return (
        len(run) <= policy.extents_max
        and sum(extent.row_count for extent in run) <= rows_max
        and sum(extent.original_size for extent in run) <= bytes_max
        and max(e.newest for e in run) - min(e.oldest for e in run) <= policy.range_max
        and sum(len(tag) for tag in united(run)) <= TAGS_LENGTH_MAX
    )


def _drop_by(extent: Extent) -> frozenset[str]:
    return frozenset(tag for tag in extent.tags if tag.startswith(DROP_BY))
