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
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from exactly_once_kusto.errors import TypeRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exactly_once_kusto.protocol.ports import Column

CARRIED = re.compile(
    r"(BOOLEAN|TINYINT|SMALLINT|INT|BIGINT|FLOAT|DOUBLE|DATE|STRING"
    r"|(DECIMAL|CHAR|VARCHAR|TIME|TIMESTAMP|TIMESTAMP_LTZ)\([0-9, ]+\)"
    r"|TIMESTAMP\([0-9]\) WITH(OUT| LOCAL) TIME ZONE)"
)


def check_types(columns: Sequence[Column]) -> None:
    """Refuse columns whose type is not carried from Flink to Python.

    Raises:
        TypeRefusedError: names all such columns and their types.
    """
    refused = [column for column in columns if not CARRIED.fullmatch(column.type)]
    if refused:
        listed = ", ".join(f"'{column.name}' {column.type}" for column in refused)
        raise TypeRefusedError(
            f"columns of a type that is not carried: {listed}; leave them out, or CAST them "
            "(nested values to a STRING with JSON, binary values to a STRING with hex or base64)"
        )
