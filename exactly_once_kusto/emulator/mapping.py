"""Ingestion mappings: which part of a record goes into which column.

Sources: https://learn.microsoft.com/kusto/management/mappings and the pages of each format.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from .errors import KustoError
from .types import Column

_STEP = re.compile(
    r"\.(\w+)|\[\s*'((?:[^'\\]|\\.)*)'\s*\]|\[\s*\"((?:[^\"\\]|\\.)*)\"\s*\]|\[(\d+)\]|(\.)"
)

ORDINAL_MAX = 100_000
# https://learn.microsoft.com/kusto/management/mappings#mapping-transformations, but BytesAsBase64:
# it is for Avro alone.
UNIX_TIMES = tuple(
    f"datetimefromunix{unit}" for unit in ("seconds", "milliseconds", "microseconds", "nanoseconds")
)
TRANSFORMS = (
    *("sourcelocation", "sourcelinenumber", *UNIX_TIMES),
    *("propertybagarraytodictionary", "dropmappedfields"),
)


@dataclass(frozen=True)
class Source:
    """Where a column's value comes from: a path of names, an ordinal, a constant, or nowhere.

    ``transform`` is one of TRANSFORMS, or None.
    """

    path: tuple[str | int, ...] | None = None
    ordinal: int | None = None
    constant: str | None = None
    transform: str | None = None


def sources(
    columns: tuple[Column, ...], mapping: str | None, by_ordinal: bool
) -> tuple[Source, ...]:
    """One source a column, in the table's order; the identity mapping where none is given.

    Raises KustoError (BadRequest_InvalidMapping, BadRequest_InconsistentMapping).
    """
    if mapping is None:
        if by_ordinal:
            return tuple(Source(ordinal=i) for i in range(len(columns)))
        return tuple(Source(path=(column.name,)) for column in columns)
    found: dict[str, Source] = {}
    for element in elements(mapping):
        name = element.get("column") or element["name"]
        if all(column.name != name for column in columns):
            raise KustoError(
                "BadRequest_InconsistentMapping",
                f"Ingestion mapping names column '{name}', which the table doesn't have",
            )
        given = element.get("properties") or element
        if not isinstance(given, dict):
            raise _invalid(f"Properties of column '{name}' must be an object")
        properties = {str(k).lower(): v for k, v in given.items()}
        found[name] = _source(properties, by_ordinal)
    return tuple(found.get(column.name, Source()) for column in columns)


def path(text: str) -> tuple[str | int, ...]:
    """The steps of a JSON path such as ``$.a['b c'][0]``; ``$`` alone has none."""
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise _invalid(f"path '{text}' is not understood")
        name, single, double, index, dot = match.groups()
        at = match.end()
        if dot is not None and text[at : at + 1] != "[":
            raise _invalid(f"path '{text}' is not understood")
        if name is not None:
            steps.append(name)
        elif index is not None:
            steps.append(int(index))
        elif dot is None:
            quoted = single if single is not None else double
            steps.append(re.sub(r"\\(.)", r"\1", quoted))
    return tuple(steps)


def elements(mapping: str) -> list[dict[str, Any]]:
    """The elements of a mapping, keys in lower case. Raises KustoError where it is none."""
    try:
        parsed = json.loads(mapping)
    except (ValueError, RecursionError) as error:
        raise _invalid(str(error)) from error
    if not isinstance(parsed, list) or not all(isinstance(e, dict) for e in parsed):
        raise _invalid("it must be a JSON array of objects")
    found = [{str(k).lower(): v for k, v in element.items()} for element in parsed]
    for element in found:
        if not isinstance(element.get("column") or element.get("name"), str):
            raise _invalid("an element has no Column")
    return found


def _source(properties: dict[str, Any], by_ordinal: bool) -> Source:
    transform = _transform(properties.get("transform"))
    if properties.get("constvalue") is not None:
        return Source(constant=str(properties["constvalue"]))
    if by_ordinal:
        if properties.get("ordinal") is None:
            return Source(transform=transform)
        try:
            ordinal = int(properties["ordinal"])
            if not 0 <= ordinal < ORDINAL_MAX:
                raise ValueError
            return Source(ordinal=ordinal, transform=transform)
        except (TypeError, ValueError) as error:
            raise _invalid(f"ordinal '{properties['ordinal']}' is no number") from error
    if properties.get("field") is not None:
        return Source(path=(str(properties["field"]),), transform=transform)
    text = properties.get("path")
    if text is None:
        return Source(transform=transform)
    if not str(text).startswith("$"):
        return Source(constant=str(text))
    return Source(path=path(str(text)), transform=transform)


def _transform(given: object) -> str | None:
    if given in (None, "", "None"):
        return None
    if not isinstance(given, str) or given.lower() not in TRANSFORMS:
        raise _invalid(f"transform '{given}' is unknown, or not for this format")
    return given.lower()


def _invalid(why: str) -> KustoError:
    return KustoError("BadRequest_InvalidMapping", f"Failed to parse ingestion mapping: {why}")
