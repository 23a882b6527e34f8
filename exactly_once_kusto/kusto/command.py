"""Every text that the sink sends to Kusto is made here, from quoted names and escaped literals.

Pure. Sources: query/schema-entities/entity-names.md (names), query/scalar-data-types/string.md
(literals), management/data-ingestion/ingest-into-command.md, management/extent-tags.md.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
PLAIN_STEP = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TAG_PREFIX = "ingest-by:"

_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_QUOTING = str.maketrans(_ESCAPES)


def string_literal(text: str) -> str:
    r"""Return a string literal for any text: `'...'`, with `\` before what would end or change it.

    What is not printable is written as `\u` and four hex digits, so a command is always one line.
    """
    if text.isprintable():
        return f"'{text.translate(_QUOTING)}'"
    return f"'{''.join(_escaped(char) for char in text)}'"


def obfuscated_literal(text: str) -> str:
    """Return a literal that Kusto keeps out of its own logs and errors: `h'...'`."""
    return f"h{string_literal(text)}"


def quote_name(name: str) -> str:
    """Return any name as it may stand in a command: `['...']`, so keywords are no matter."""
    return f"[{string_literal(name)}]"


def ingest_command(
    table: str, columns: Sequence[str], sources: Sequence[str], transaction: str, data_format: str
) -> str:
    """Return the one command that puts all `sources` into `table` under the transaction's tag.

    Kusto skips it if an extent of the table bears the tag already. `columns` are those of the
    table that are filled; the parts' columns have the same names.
    """
    located = ", ".join(obfuscated_literal(source) for source in sources)
    properties = {
        "format": data_format,
        "tags": json.dumps([f"{TAG_PREFIX}{transaction}"]),
        "ingestIfNotExists": json.dumps([transaction]),
        "ingestionMapping": ingestion_mapping(columns),
    }
    given = ", ".join(f"{name}={string_literal(value)}" for name, value in properties.items())
    return f".ingest async into table {quote_name(table)} ({located}) with ({given})"


def ingestion_mapping(columns: Iterable[str]) -> str:
    """Return the mapping by name as JSON (management/parquet-mapping.md, query/jsonpath.md)."""
    elements = [{"Column": name, "Properties": {"Path": _path(name)}} for name in columns]
    return json.dumps(elements, ensure_ascii=False, separators=(",", ":"))


def show_operation(operation: str) -> str:
    """Return the command that shows how an operation stands."""
    return f".show operations {check_guid(operation)}"


def show_failures(operation: str) -> str:
    """Return the command that shows why an operation failed."""
    return f".show ingestion failures with (OperationId={string_literal(check_guid(operation))})"


def show_details(operation: str) -> str:
    """Return the command that shows the extents which an operation made."""
    return f".show operation {check_guid(operation)} details"


def show_tagged_extents(table: str, transaction: str) -> str:
    """Return the command that shows the extents which bear a transaction's tag."""
    tag = string_literal(f"{TAG_PREFIX}{transaction}")
    return f".show table {quote_name(table)} extents where tags has {tag}{_EXTENT_FIELDS}"


def show_extents(table: str, extents: Sequence[str]) -> str:
    """Return the command that shows those of some extents that are still there."""
    listed = ", ".join(check_guid(extent) for extent in extents)
    return f".show table {quote_name(table)} extents ({listed}){_EXTENT_FIELDS}"


def count_running_ingestions(since: float, until: float = math.inf) -> str:
    """Return the command that counts the principal's ingestions of that time without an end.

    The log has several records for one operation; any record of an end is its end.
    """
    before = f"and StartedOn <= {_datetime(until)} " if math.isfinite(until) else ""
    return (
        ".show operations "
        f"| where StartedOn >= {_datetime(since)} {before}"
        "and Operation contains 'Ingest' "
        "| summarize Ended = countif(State != 'InProgress' and State != 'Scheduled') "
        "by OperationId "
        "| where Ended == 0 | summarize Running = count()"
    )


def _datetime(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return f"datetime({text.removesuffix('+00:00')}Z)"


def show_policy(entity: str, name: str, policy: str) -> str:
    """Return the command that shows a policy of a `table` or `database`."""
    return f".show {entity} {quote_name(name)} policy {policy} | project Policy"


def show_schema(table: str) -> str:
    """Return the command that shows a table's columns as JSON."""
    return f".show table {quote_name(table)} schema as json | project Schema"


def count_tables(table: str) -> str:
    """Return the command that counts the tables of a name: 1 or 0."""
    return f".show tables | where TableName == {string_literal(table)} | summarize Found = count()"


def check_guid(text: str) -> str:
    """Return `text` if it has the form of a GUID; anything else is not put into a command."""
    if not GUID.fullmatch(text):
        raise ValueError(f"{text!r} is no GUID")
    return text


_EXTENT_FIELDS = " | project ExtentId, RowCount, Tags, MinCreatedOn, MaxCreatedOn"


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _path(name: str) -> str:
    if PLAIN_STEP.fullmatch(name):
        return f"$.{name}"
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"$['{escaped}']"
