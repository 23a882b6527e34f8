"""The Kusto sink up to staging: its own writer and ledger, and a target that is done at once.

So the benchmark measures what the sink costs a job, not how fast the emulator reads Parquet on the
same two cores. The target still counts: it reads the row counts of the Parquet files it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from exactly_once_kusto import KustoSink
from exactly_once_kusto.kusto.sink import from_options as kusto_from_options
from exactly_once_kusto.protocol.outcome import (
    Accepted,
    Access,
    Completed,
    Extent,
    OperationStatus,
    Sighting,
    Submission,
    Transaction,
)
from exactly_once_kusto.protocol.ports import Brake, Column, LedgerStore, Settings, Writer
from exactly_once_kusto.protocol.slices import Part

FACTORY = "benchmarks.staging_sink:from_options"


@dataclass(frozen=True)
class StagingSink:
    """A `Sink` that stops at staging."""

    kusto: KustoSink

    @property
    def name(self) -> str:
        return self.kusto.name

    @property
    def settings(self) -> Settings:
        return self.kusto.settings

    def check(self, columns: Sequence[Column]) -> None:
        self.kusto.check(columns)

    def writer(self, columns: Sequence[Column], schema: pa.Schema) -> Writer:
        return self.kusto.writer(columns, schema)

    def ledger(self) -> LedgerStore:
        return self.kusto.ledger()

    def brake(self) -> Brake:
        return self.kusto.brake()

    def target(self, columns: Sequence[Column]) -> InstantTarget:
        return InstantTarget()


class InstantTarget:
    """Holds a transaction's rows as soon as it is submitted, as the Parquet files count them."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}

    def preflight(self) -> None:
        return

    def mint(self, transaction: Transaction, attempt: int) -> Access:
        return Access("benchmark")

    def submit(self, transaction: Transaction, attempt: int) -> Submission:
        paths = [unquote(urlsplit(part.address).path) for part in transaction.parts]
        self.rows[transaction.id] = sum(pq.read_metadata(path).num_rows for path in paths)
        return Accepted(transaction.id)

    def poll(self, transaction: Transaction, operation: str) -> OperationStatus:
        return Completed()

    def look(
        self, transaction: Transaction, operations: Sequence[str], since: float, until: float
    ) -> Sighting:
        rows = self.rows.get(transaction.id)
        extents = () if rows is None else (Extent(transaction.id, rows, (transaction.id,)),)
        return Sighting(extents, busy=False)

    def delete(self, parts: Sequence[Part]) -> None:
        return


def from_options(options: Mapping[str, str]) -> StagingSink:
    """Return the sink for `'connector' = 'two-phase-python'`."""
    return StagingSink(kusto_from_options(options))
