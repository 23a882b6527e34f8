"""The one look back: which extents hold a transaction's rows, and how long that can be seen.

Sources: management/show-extents.md, show-operation-details.md, show-operations.md,
extent-tags-retention-policy.md, retention-policy.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from exactly_once_kusto.errors import TargetError
from exactly_once_kusto.kusto import command
from exactly_once_kusto.kusto.destination import Destination
from exactly_once_kusto.kusto.outside import Requests, Row
from exactly_once_kusto.protocol.outcome import Extent, Sighting, Transaction

CLOCK_SKEW_S = 300.0
"""How far our clock may be ahead of the cluster's. More only makes a look busy more often."""
FOREVER_S = 100 * 365 * 86_400.0
EXTENTS_AT_ONCE = 500
NO_EXTENT = "00000000-0000-0000-0000-000000000000"

PERIOD = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,7}))?")


def look(
    client: Requests,
    destination: Destination,
    transaction: Transaction,
    operations: Sequence[str],
    since: float,
    until: float,
) -> Sighting:
    """Find the extents that bear the transaction's tag or that its operations named.

    Whether something of ours still runs is asked only while the rows are not all there, and how
    long evidence is kept only where nothing is found: neither changes anything otherwise.

    Raises:
        TargetUnavailableError: nothing could be known.
        TargetError: Kusto refuses to show it.
    """
    extents = _find(client, destination, transaction, operations)
    if holds_all(extents, transaction):
        return Sighting(extents, busy=False)
    busy = is_busy(client, destination, since, until)
    # What ended between the two answers would look like 'nothing runs, nothing is there'.
    extents = _find(client, destination, transaction, operations)
    kept_s = None if extents else kept(client, destination)
    return Sighting(extents, busy, kept_s)


def holds_all(extents: Sequence[Extent], transaction: Transaction) -> bool:
    """Whether extents that bear no other tag hold exactly the transaction's rows."""
    own = all(extent.tags == (transaction.id,) for extent in extents)
    return own and sum(extent.rows for extent in extents) == transaction.rows


def is_busy(client: Requests, destination: Destination, since: float, until: float) -> bool:
    """Whether an ingestion of our principal, started since, has not ended.

    `since` is by our clock, operations are dated by the cluster's: hence some minutes more.
    """
    text = command.count_running_ingestions(since - CLOCK_SKEW_S, until + CLOCK_SKEW_S)
    rows = client.read(destination.database, text)
    return bool(rows) and int(rows[0]["Running"]) > 0


def kept(client: Requests, destination: Destination) -> float | None:
    """Return for how many seconds tags and rows stay at least; None for 'as long as the data'."""
    periods = retention(client, destination)
    return min((s for s in periods if s is not None and s < FOREVER_S), default=None)


def retention(client: Requests, destination: Destination) -> tuple[float | None, float | None]:
    """Return the periods (seconds) in force for `ingest-by:` tags and for rows; None: none."""
    tags = tag_retention(_policy(client, destination, "extent_tags_retention"))
    return tags, soft_delete(_policy(client, destination, "retention"))


def tag_retention(policy: object) -> float | None:
    """Return the seconds after which `ingest-by:` tags may go; None where no policy says so."""
    if not isinstance(policy, list):
        return None
    periods = [
        seconds(str(each.get("RetentionPeriod")))
        for each in policy
        if isinstance(each, dict) and command.TAG_PREFIX.startswith(str(each.get("TagPrefix", "?")))
    ]
    return min(periods, default=None)


def soft_delete(policy: object) -> float | None:
    """Return the seconds after which rows may go; None where no policy says so."""
    if not isinstance(policy, dict) or "SoftDeletePeriod" not in policy:
        return None
    return seconds(str(policy["SoftDeletePeriod"]))


def seconds(period: str) -> float:
    """Return the seconds in a timespan as policies write it, `[d.]hh:mm:ss[.fffffff]`.

    Raises:
        TargetError: another form.
    """
    found = PERIOD.fullmatch(period)
    if found is None:
        raise TargetError(f"a retention policy of the target has the period {period!r}: unreadable")
    days, hours, minutes, secs = (int(group or 0) for group in found.groups()[:4])
    return days * 86_400.0 + hours * 3_600 + minutes * 60 + secs + float(f"0.{found[5] or 0}")


def _find(
    client: Requests,
    destination: Destination,
    transaction: Transaction,
    operations: Sequence[str],
) -> tuple[Extent, ...]:
    table, database = destination.table, destination.database
    named = sorted({e for operation in operations for e in _named(client, database, operation)})
    rows = client.read(database, command.show_tagged_extents(table, transaction.id))
    for i in range(0, len(named), EXTENTS_AT_ONCE):
        rows += client.read(database, command.show_extents(table, named[i : i + EXTENTS_AT_ONCE]))
    return _extents(rows, set(named))


def _named(client: Requests, database: str, operation: str) -> list[str]:
    try:
        rows = client.read(database, command.show_details(operation))
    except TargetError:
        return []  # it failed, or its record is over 6 hours old: then the tag alone is looked for
    found = [str(row.get("ExtentId", NO_EXTENT)).lower() for row in rows]
    return [e for e in found if e != NO_EXTENT and command.GUID.fullmatch(e)]


def _extents(rows: Iterable[Row], named: set[str]) -> tuple[Extent, ...]:
    found = {}
    for row in rows:
        ident = str(row["ExtentId"]).lower()
        # Of several extents merged into one the earliest and the latest time (show-extents.md).
        merged = row["MinCreatedOn"] != row["MaxCreatedOn"]
        tags = parse_tags(str(row["Tags"] or ""))
        found[ident] = Extent(ident, int(row["RowCount"]), tags, ident in named, merged)
    return tuple(found[ident] for ident in sorted(found))


def parse_tags(text: str) -> tuple[str, ...]:
    """Return the values of the `ingest-by:` tags in an extent's `Tags`."""
    tags = (tag.strip() for tag in re.split(r"[\r\n]+", text))
    prefix = command.TAG_PREFIX
    return tuple(sorted({t.removeprefix(prefix) for t in tags if t.startswith(prefix)}))


def _policy(client: Requests, destination: Destination, kind: str) -> object:
    """Return the policy in force: the table's own, else its database's; None where none is."""
    names = (("table", destination.table), ("database", destination.database))
    for entity, name in names:
        rows = client.read(destination.database, command.show_policy(entity, name, kind))
        text = str(rows[0]["Policy"] or "") if rows else ""
        try:
            policy: object = json.loads(text) if text else None
        except ValueError as error:
            raise TargetError(
                f"the {kind} policy of {entity} '{name}' is no JSON: {text[:200]!r}"
            ) from error
        if policy is not None:
            return policy
    return None
