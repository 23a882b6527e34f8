"""Ingestion properties: the ``with (...)`` of an ingest command.

Source: https://learn.microsoft.com/kusto/ingestion-properties
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass

from .catalog import Table
from .errors import KustoError
from .formats import BY_ORDINAL, SUPPORTED, Reading
from .mapping import sources as map_sources

# In lower case. The last line is accepted and changes nothing here: its effect has no place in the
# emulator (validation is always on, extents have no schema of their own).
_KNOWN = frozenset(
    {
        *("format", "tags", "ingestifnotexists", "creationtime", "ignorefirstrecord"),
        *("ingestionmapping", "ingestionmappingtype", "ingestionmappingreference"),
        *("csvmapping", "jsonmapping", "parquetmapping"),
        *("validationpolicy", "policy_ingestiontime", "folder", "docstring", "distributed"),
    }
)


@dataclass(frozen=True)
class Plan:
    """The properties, read."""

    reading: Reading
    tags: tuple[str, ...]
    if_not_exists: tuple[str, ...]
    created: dt.datetime | None


def plan(table: Table, given: Mapping[str, str]) -> Plan:
    """What the properties of a command mean for the table. Raises KustoError."""
    for name in given:
        if name not in _KNOWN:
            raise KustoError(
                "BadRequest_IngestionPropertyNotSupportedInThisContext",
                f"ingestion property '{name}' is unknown, or not supported by this emulator",
            )
    form = given.get("format", "csv").lower()
    if form not in SUPPORTED:
        raise KustoError("BadRequest_FormatNotSupported", f"format '{form}' isn't supported")
    if "ingestionmappingreference" in given:
        raise KustoError(
            "BadRequest_MappingReferenceWasNotFound",
            f"mapping reference '{given['ingestionmappingreference']}' was not found "
            "(this emulator takes mappings in the command only)",
        )
    kind = "csv" if form in BY_ORDINAL else form.removeprefix("multi")
    if given.get("ingestionmappingtype", kind).lower().removeprefix("multi") != kind:
        raise KustoError(
            "BadRequest_InconsistentMapping",
            f"a mapping of type '{given['ingestionmappingtype']}' can't be used with '{form}'",
        )
    mapping = given.get("ingestionmapping") or given.get(f"{kind}mapping")
    columns_from = map_sources(table.columns, mapping, form in BY_ORDINAL)
    ignore = given.get("ignorefirstrecord", "false").lower() == "true"
    return Plan(
        Reading(form, columns_from, ignore),
        _strings("tags", given.get("tags")),
        _strings("ingestIfNotExists", given.get("ingestifnotexists")),
        _moment(given.get("creationtime")),
    )


def _strings(name: str, text: str | None) -> tuple[str, ...]:
    if not text:
        return ()
    try:
        # The documentation writes both "['a']" and '["a"]'.
        parsed = json.loads(text if '"' in text else text.replace("'", '"'))
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, list) or not all(isinstance(v, str) for v in parsed):
        raise KustoError(
            "BadRequest_MalformedIngestionProperty",
            f"ingestion property '{name}' must be a JSON array of strings",
        )
    return tuple(parsed)


def _moment(text: str | None) -> dt.datetime | None:
    if not text:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise KustoError(
            "BadRequest_MalformedIngestionProperty",
            f"ingestion property 'creationTime' is no ISO 8601 time: '{text}'",
        ) from error
    return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment
