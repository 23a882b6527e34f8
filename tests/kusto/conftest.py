from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pytest
from azure.kusto.data import KustoClient

from exactly_once_kusto import KustoSink
from exactly_once_kusto.emulator import KustoEmulator
from exactly_once_kusto.protocol.identity import transaction_id
from exactly_once_kusto.protocol.outcome import Transaction
from exactly_once_kusto.protocol.ports import Column
from exactly_once_kusto.protocol.slices import Part, Slice

COLUMNS = (Column("id", "BIGINT"), Column("note", "STRING"))
SCHEMA = pa.schema([("id", pa.int64()), ("note", pa.string())])
TABLE = "id:long, note:string"


@dataclass
class Kusto:
    """A local Kusto for a module's tests, spoken to by Microsoft's client."""

    emulator: KustoEmulator
    client: KustoClient
    _numbers: Iterator[int]

    def command(self, text: str) -> list[dict]:
        rows = self.client.execute_mgmt("Demo", text).primary_results[0]
        return [row.to_dict() for row in rows]

    def query(self, text: str) -> list[dict]:
        return [r.to_dict() for r in self.client.execute_query("Demo", text).primary_results[0]]

    def table(self, columns: str = TABLE) -> str:
        """Make a table that no other test knows."""
        name = f"T{next(self._numbers)}"
        self.command(f".create table {name} ({columns})")
        return name

    def sink(self, table: str, **given) -> KustoSink:
        options = {
            "name": table.lower(),
            "cluster": self.emulator.cluster,
            "database": "Demo",
            "table": table,
            "staging": self.emulator.staging,
            "auth": "none",
        }
        return KustoSink(**{**options, **given})

    def target(self, sink: KustoSink, columns=COLUMNS):
        target = sink.target(columns)
        self.targets.append(target)
        return target

    def __post_init__(self):
        self.targets = []


@pytest.fixture(scope="module")
def started(tmp_path_factory) -> Iterator[Kusto]:
    folder = tmp_path_factory.mktemp("kusto")
    with (
        KustoEmulator(data=folder, databases=["Demo"]) as emulator,
        KustoClient(emulator.cluster) as client,
    ):
        yield Kusto(emulator, client, itertools.count(1))


@pytest.fixture
def kusto(started) -> Iterator[Kusto]:
    yield started
    started.emulator.faults.clear()
    for target in started.targets:
        target.close()
    started.targets.clear()


def rows(*values: tuple[int, str | None]) -> pa.RecordBatch:
    ids, notes = [v[0] for v in values], [v[1] for v in values]
    return pa.record_batch([pa.array(ids, pa.int64()), pa.array(notes, pa.string())], schema=SCHEMA)


def stage(sink: KustoSink, *batches: pa.RecordBatch) -> list[Part]:
    """Seal one part of each batch."""
    writer = sink.writer(COLUMNS, SCHEMA)
    parts: list[Part] = []
    for batch in batches:
        writer.write(batch)
        parts += writer.seal()
    writer.close()
    return parts


def transaction(parts: list[Part]) -> Transaction:
    nonce = secrets.token_hex(16)
    piece = Slice(f"slice-{nonce}", 1, parts[0].destination, tuple(parts))
    return Transaction(transaction_id("t", nonce), (piece,))
