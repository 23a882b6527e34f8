"""Which Flink types a column may have, and what pyarrow sees of each.

Rows cross to Python in Arrow's buffers (batches.py), in the types that Flink itself gives to Arrow
(`ArrowUtils.toArrowSchema`, Flink 2.3):

    BOOLEAN                     bool
    TINYINT SMALLINT INT BIGINT int8 int16 int32 int64
    FLOAT DOUBLE                float32 float64
    DECIMAL(p, s)               decimal128(p, s)
    CHAR VARCHAR STRING         string
    DATE                        date32
    TIME(0), TIME(1..3)         time32[s], time32[ms]
    TIME(4..6), TIME(7..9)      time64[us], time64[ns], with milliseconds only: Flink keeps no more
    TIMESTAMP(p)                timestamp[s] (0), [ms] (1..3), [us] (4..6), [ns] (7..9)
    TIMESTAMP_LTZ(p)            the same, also without a zone: the values are instants in UTC
    BINARY VARBINARY BYTES      binary
    ARRAY MAP ROW               string: JSON text

Nested values cross as JSON (`NestedJson.java`), at any depth: integers exact; decimals, dates and
times (ISO 8601, timestamps with `Z`) and binary values (base64) as texts; keys of a MAP are texts.
In Arrow's own layout they would be made into Python objects first, one by one, to become JSON.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from exactly_once_kusto.errors import TypeRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exactly_once_kusto.protocol.ports import Column

FLAT = (
    r"(?:BOOLEAN|TINYINT|SMALLINT|INT|BIGINT|FLOAT|DOUBLE|DATE|STRING|BYTES"
    r"|TIMESTAMP\([0-9]\) WITH(?:OUT| LOCAL) TIME ZONE"
    r"|(?:DECIMAL|CHAR|VARCHAR|BINARY|VARBINARY|TIME|TIMESTAMP|TIMESTAMP_LTZ)\([0-9, ]+\))"
)
CARRIED = re.compile(FLAT)
NESTED = re.compile(r"(ARRAY|MAP|ROW)<.*>")
QUOTED = re.compile(r"`(?:[^`]|``)*`|'(?:[^']|'')*'")
"""Names of fields and their comments, in which anything may stand."""

PEELED = re.compile(
    # From the inside out: an array, a map with texts for keys, or a row of what is carried.
    rf"ARRAY<{FLAT}(?: NOT NULL)?>"
    rf"|MAP<(?:STRING|(?:CHAR|VARCHAR)\([0-9]+\))(?: NOT NULL)?, {FLAT}(?: NOT NULL)?>"
    rf"|ROW<N {FLAT}(?: NOT NULL)?(?: N)?(?:, N {FLAT}(?: NOT NULL)?(?: N)?)*>"
)


def check_types(columns: Sequence[Column]) -> None:
    """Refuse columns whose type is not carried from Flink to Python.

    Raises:
        TypeRefusedError: names all such columns and their types.
    """
    refused = [column for column in columns if not is_carried(column.type)]
    if refused:
        listed = ", ".join(f"'{column.name}' {column.type}" for column in refused)
        raise TypeRefusedError(
            f"columns of a type that is not carried: {listed}; leave them out, or CAST them to a "
            "STRING (a MAP is carried if its keys are texts)"
        )


def is_carried(flink_type: str) -> bool:
    """Whether values of a type can cross; what is nested, at any depth."""
    if not NESTED.fullmatch(flink_type):
        return CARRIED.fullmatch(flink_type) is not None
    bare = QUOTED.sub("N", flink_type)
    while (peeled := PEELED.sub("INT", bare)) != bare:
        bare = peeled
    return bare == "INT"
