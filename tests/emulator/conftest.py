"""Fixtures of the emulator's own tests: everything goes through Microsoft's SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.kusto.data import KustoClient, KustoConnectionStringBuilder

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.emulator import KustoEmulator
from exactly_once_kusto.emulator.fixtures import kusto_emulator  # noqa: F401
from exactly_once_kusto.emulator.process import EmulatorProcess

WAIT_S = 20.0


class Kusto:
    """The SDK's client on database Demo, with rows as lists."""

    def __init__(self, cluster: str) -> None:
        self.client = KustoClient(KustoConnectionStringBuilder(cluster))

    def table(self, text: str, database: str = "Demo"):
        return self.client.execute(database, text).primary_results[0]

    def rows(self, text: str, database: str = "Demo") -> list[list]:
        return [row.to_list() for row in self.table(text, database)]

    def one(self, text: str):
        rows = self.rows(text)
        assert len(rows) == 1, rows
        assert len(rows[0]) == 1, rows
        return rows[0][0]

    def ended(self, operation: str) -> dict:
        """The operation's latest row, once it isn't InProgress any more."""

        def ended() -> dict | None:
            rows = list(self.table(f".show operations {operation}"))
            return rows[0].to_dict() if rows and rows[0]["State"] != "InProgress" else None

        return wait_until(ended, WAIT_S, f"the end of operation {operation}", poll_s=0.01)


@pytest.fixture
def kusto(kusto_emulator: KustoEmulator) -> Iterator[Kusto]:  # noqa: F811
    connected = Kusto(kusto_emulator.cluster)
    yield connected
    connected.client.close()


@pytest.fixture(scope="module")
def module_kusto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kusto]:
    """For tests that leave nothing behind: one emulator for a whole file."""
    with KustoEmulator(tmp_path_factory.mktemp("shared") / "kusto", databases=["Demo"]) as running:
        connected = Kusto(running.cluster)
        yield connected
        connected.client.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[EmulatorProcess]:
    running = EmulatorProcess(tmp_path / "kusto", databases=["Demo"])
    try:
        yield running
    finally:
        running.kill()


@pytest.fixture
def numbers(tmp_path: Path) -> Callable[..., str]:
    """Writes a Parquet file with one column ``n`` of type long; its path."""

    def write(count: int, name: str = "numbers.parquet") -> str:
        path = tmp_path / name
        pq.write_table(pa.table({"n": pa.array(range(count), pa.int64())}), path)
        return str(path)

    return write


# At the end: it needs what is above.
from .queue_fixtures import csv, queue, shared_queue  # noqa: E402, F401
