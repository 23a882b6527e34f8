"""The extents, tables and tags that the query of a command on extents names.

Sources: https://learn.microsoft.com/kusto/management/move-extents, replace-extents, drop-extents
and drop-extent-tags say which columns such a query must give.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence

from .errors import bad_request
from .types import Result


def ids(result: Result) -> list[str]:
    """Column ``ExtentId``, each id once. Raises KustoError."""
    (place,) = _places(result, "ExtentId")
    return list(dict.fromkeys(_guid(row[place]) for row in result.rows))


def by_table(result: Result) -> list[tuple[str, Sequence[str] | None]]:
    """Columns ``TableName`` and ``ExtentId``: the ids by table. Raises KustoError."""
    extent, table = _places(result, "ExtentId", "TableName")
    grouped: dict[str, dict[str, None]] = {}
    for row in result.rows:
        grouped.setdefault(str(row[table]), {})[_guid(row[extent])] = None
    return [(name, list(found)) for name, found in grouped.items()]


def tags_by_extent(result: Result) -> Mapping[str, set[str]]:
    """Columns ``ExtentId`` and ``Tags``, a tag a line or an array. Raises KustoError."""
    extent, tags = _places(result, "ExtentId", "Tags")
    found: dict[str, set[str]] = {}
    for row in result.rows:
        value = row[tags]
        if result.columns[tags].type == "dynamic" and isinstance(value, str):
            value = json.loads(value)
        listed = value if isinstance(value, list) else str(value or "").splitlines()
        found.setdefault(_guid(row[extent]), set()).update(str(tag) for tag in listed)
    return found


def _places(result: Result, *wanted: str) -> list[int]:
    places = {column.name: i for i, column in enumerate(result.columns)}
    missing = [name for name in wanted if name not in places]
    if missing:
        raise bad_request(f"the query must give column(s) '{', '.join(wanted)}'")
    return [places[name] for name in wanted]


def _guid(value: object) -> str:
    text = str(value)
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise bad_request(f"'{text[:100]}' is no extent id") from error
