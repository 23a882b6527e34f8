"""A DataStream of nested rows into the sink; PyFlink itself cuts datetimes to milliseconds."""

from __future__ import annotations

import sys
from datetime import datetime
from decimal import Decimal

from pyflink.common import Row, Types, WatermarkStrategy
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from pyflink.table import DataTypes

from exactly_once_kusto import KustoSink
from exactly_once_kusto.flink import attach

ITEM = Types.ROW_NAMED(["price", "at"], [Types.BIG_DEC(), Types.SQL_TIMESTAMP()])
DECLARED = DataTypes.ROW(
    [
        DataTypes.FIELD("n", DataTypes.BIGINT()),
        DataTypes.FIELD(
            "items",
            DataTypes.ARRAY(
                DataTypes.ROW(
                    [
                        DataTypes.FIELD("price", DataTypes.DECIMAL(38, 3)),
                        DataTypes.FIELD("at", DataTypes.TIMESTAMP(3)),
                    ]
                )
            ),
        ),
        DataTypes.FIELD("tags", DataTypes.MAP(DataTypes.STRING(), DataTypes.STRING())),
    ]
)


def main() -> None:
    cluster, staging, rows = sys.argv[1:]
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    env.enable_checkpointing(1000)
    numbers = env.from_source(
        NumberSequenceSource(0, int(rows) - 1), WatermarkStrategy.no_watermarks(), "numbers"
    )
    at = datetime(2024, 3, 31, 2, 30, 0, 1000)  # noqa: DTZ001 - a time without a zone
    digits = "1234567890123456789012345678901234"

    def row(n: int) -> Row:
        price = Decimal(f"{digits}{n % 10}.678")
        items = [None, [], [Row(price, at), None, Row(None, None)]][n % 3]
        return Row(n, items, [None, {}, {"a b": None, "ü": str(n)}][n % 3])

    stream = numbers.map(
        row,
        output_type=Types.ROW_NAMED(
            ["n", "items", "tags"],
            [Types.LONG(), Types.OBJECT_ARRAY(ITEM), Types.MAP(Types.STRING(), Types.STRING())],
        ),
    )
    sink = KustoSink(
        name="road", cluster=cluster, database="Demo", table="Nested", staging=staging, auth="none"
    )
    stream.sink_to(attach(sink, env, DECLARED))
    env.execute("nested")


if __name__ == "__main__":
    main()
