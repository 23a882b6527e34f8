"""Is the target fit? What can be known before the first row is taken, said with both sides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from exactly_once_kusto.errors import TargetError
from exactly_once_kusto.kusto import command, evidence
from exactly_once_kusto.kusto.columns import PlannedColumn, create_command
from exactly_once_kusto.kusto.destination import Destination
from exactly_once_kusto.kusto.outside import Outside, Requests

TAG_RETENTION_S_MIN = 86_400.0
"""Tags are the evidence of what was done when a job comes back after a crash."""


def check_target(client: Requests, destination: Destination, plan: Sequence[PlannedColumn]) -> None:
    """Check table, columns and retention.

    Raises:
        TargetError: the table is missing or does not fit, or forgets what it took too soon.
        TargetUnavailableError: nothing could be known now.
    """
    found = table_columns(client, destination, plan)
    place = f"{destination.database}.{destination.table}"
    wrong = [text for column in plan if (text := _misfit(column, found, place)) is not None]
    if wrong:
        raise TargetError("; ".join(wrong))
    _check_retention(client, destination)


def check_staging(outside: Outside, staging: str, name: str) -> None:
    """Check that parts can be created and deleted.

    Raises:
        StagingError: they can't until a person has changed something; says what.
        StorageUnavailableError: they can't now.
    """
    store = outside.store(staging)
    probe = f"{name}/probe-{outside.nonce()}"
    store.create(probe, b"can this be written?\n")
    store.delete(probe)


def table_columns(
    client: Requests, destination: Destination, plan: Sequence[PlannedColumn]
) -> Mapping[str, str]:
    """Return the types of the table's columns.

    Raises:
        TargetError: there is no such table (says how to make it), or it may not be seen.
        TargetUnavailableError: nothing could be known now.
    """
    database, table = destination.database, destination.table
    try:
        rows = client.read(database, command.show_schema(table))
    except TargetError as refused:
        # Kusto says it with an error; which one differs, and HTTP 404 hides its text in the SDK.
        counted = client.read(database, command.count_tables(table))
        if int(counted[0]["Found"]):
            raise
        raise TargetError(
            f"there is no table '{table}' in database '{database}' of {destination.cluster}; make "
            f"it with: {create_command(table, plan)}"
        ) from refused
    listed = json.loads(str(rows[0]["Schema"]))["OrderedColumns"]
    return {str(c["Name"]): str(c["CslType"]) for c in listed}


def _misfit(column: PlannedColumn, found: Mapping[str, str], place: str) -> str | None:
    kinds = " or ".join(column.goes_into)
    source = f"column '{column.source}': {column.type} goes into {kinds}"
    has = found.get(column.target)
    if has in column.goes_into:
        return None
    if has is None:
        alter = f".alter-merge table {command.quote_name(place.partition('.')[2])}"
        added = f"({command.quote_name(column.target)}:{column.goes_into[0]})"
        return (
            f"{source}, but {place} has no column '{column.target}'; leave it out, map it with "
            f"option 'mapping', or add it with: {alter} {added}"
        )
    hint = ""
    if column.type.startswith("TIME(") and has == "timespan":
        hint = " (nothing in Parquet converts to a timespan: read the string with totimespan())"
    return (
        f"{source}, but {place} has {column.target}:{has}{hint}; CAST the column, or map it to "
        "another one"
    )


def _check_retention(client: Requests, destination: Destination) -> None:
    tags_s, rows_s = evidence.retention(client, destination)
    place = f"{destination.database}.{destination.table}"
    if rows_s == 0:
        raise TargetError(
            f"table {place} has a soft-delete period of 0: Kusto commits nothing into it, so "
            "nothing can prove that rows arrived; write into a table that keeps its rows"
        )
    if tags_s is not None and tags_s < TAG_RETENTION_S_MIN:
        raise TargetError(
            f"table {place} drops 'ingest-by:' tags after {tags_s:.0f} s (its policy, or its "
            "database's, extent_tags_retention): after a longer outage nothing could tell what is "
            f"in; keep them for at least {TAG_RETENTION_S_MIN:.0f} s, better a month"
        )
