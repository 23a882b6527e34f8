"""What the commit of a slice needs, frozen when it is sealed: canonical JSON in every part.

Options that change between a savepoint and its restore apply to new slices only. The protocol
compares these texts: slices of two schemas are never committed together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exactly_once_kusto.errors import DecodeError
from exactly_once_kusto.kusto.columns import PlannedColumn
from exactly_once_kusto.protocol.codec import canonical

if TYPE_CHECKING:
    from exactly_once_kusto.kusto.sink import KustoSink

FIELDS = ("cluster", "database", "table", "mode", "format", "schema", "columns")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a slice goes and how. `columns` are the table's, in the order of the parts'.

    `schema` is a digest of the columns and their Flink types.
    """

    cluster: str
    database: str
    table: str
    mode: str
    format: str
    schema: str
    columns: tuple[str, ...]

    @classmethod
    def of(cls, sink: KustoSink, plan: Sequence[PlannedColumn]) -> Destination:
        """Return where the slices of a sink go from now on."""
        return cls(
            sink.cluster,
            sink.database,
            sink.table,
            sink.commit,
            sink.format,
            schema_digest(plan),
            tuple(column.target for column in plan),
        )

    def text(self) -> str:
        """Return the one text of this destination."""
        return canonical({field: getattr(self, field) for field in FIELDS})


def parse_destination(text: str) -> Destination:
    """Return the destination that `Destination.text` wrote, in this version or an earlier one.

    Raises:
        DecodeError: another form.
    """
    try:
        body = json.loads(text)
        cluster, database, table, mode, data_format, schema, columns = (body[f] for f in FIELDS)
        names = tuple(str(name) for name in columns)
        return Destination(cluster, database, table, mode, data_format, schema, names)
    except (ValueError, KeyError, TypeError) as error:
        raise DecodeError(
            f"a slice's destination is not of this sink: {error!r}; check that the operator's uid "
            "has not been given to another sink"
        ) from error


def schema_digest(plan: Sequence[PlannedColumn]) -> str:
    """Return a digest of what the parts hold: names, types, order."""
    described = canonical([[c.target, c.type] for c in plan])
    return hashlib.sha256(described.encode()).hexdigest()[:32]
