"""An emulator with its Azurite for all tests of queues, and Microsoft's ingest clients on it."""

from __future__ import annotations

import functools
import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.kusto.data import KustoConnectionStringBuilder
from azure.kusto.ingest import IngestionProperties, QueuedIngestClient
from azure.kusto.ingest.ingestion_properties import ReportLevel
from azure.kusto.ingest.status import KustoIngestStatusQueues
from azure.storage.queue import QueueServiceClient, TextBase64EncodePolicy

from exactly_once_kusto.cluster import waiting
from exactly_once_kusto.emulator import KustoEmulator

from .conftest import WAIT_S, Kusto

numbers_of_tables = itertools.count()
wait_until = functools.partial(waiting.wait_until, poll_s=0.02)


class Queue:
    """The emulator, a client for queries and one for queued ingestion; a table for each test."""

    def __init__(self, emulator: KustoEmulator) -> None:
        self.emulator = emulator
        self.kusto = Kusto(emulator.cluster)
        self.client = QueuedIngestClient(KustoConnectionStringBuilder(emulator.cluster))
        self.status = KustoIngestStatusQueues(self.client)

    def table(self, **policy: object) -> str:
        name = f"T{next(numbers_of_tables)}"
        self.kusto.rows(f".create table {name} (n:long)")
        if policy:
            self.kusto.rows(f".alter table {name} policy ingestionbatching '{json.dumps(policy)}'")
        return name

    def properties(self, table: str, **more: object) -> IngestionProperties:
        more.setdefault("flush_immediately", True)
        more.setdefault("report_level", ReportLevel.FailuresAndSuccesses)
        return IngestionProperties(database="Demo", table=table, **more)

    def count(self, table: str) -> int:
        return self.kusto.one(f"{table} | count")

    def reaches(self, table: str, count: int) -> None:
        wait_until(lambda: self.count(table) == count, WAIT_S, f"{count} rows in {table}")

    def reported(self, kind: str, source: object) -> dict:
        """The report about a source, taken off the queue of successes or failures."""

        def look() -> dict | None:
            for message in getattr(self.status, kind).pop(31, raw=True):
                told = json.loads(message.content)
                self.told[told["IngestionSourceId"]] = told
            return self.told.get(str(source))

        return wait_until(look, WAIT_S, f"a report of {source} in {kind}")

    told: dict = {}  # noqa: RUF012 - reports read so far, of all tests

    def send(self, document: object, queue: int = 0, *, encoded: bool = True) -> None:
        """Puts a message of one's own into a queue of the service."""
        root = self.resource("SecuredReadyForAggregationQueue")[queue]
        address, _, sas = root.partition("?")
        account, _, name = address.rpartition("/")
        policy = TextBase64EncodePolicy() if encoded else None
        with (
            QueueServiceClient(f"{account}?{sas}") as service,
            service.get_queue_client(name, message_encode_policy=policy) as client,
        ):
            client.send_message(document if isinstance(document, str) else json.dumps(document))

    def resource(self, kind: str) -> list[str]:
        rows = self.kusto.rows(".get ingestion resources", database="NetDefaultDB")
        return [root for name, root in rows if name == kind]

    def message(self, table: str, path: str, **more: object) -> dict:
        """A message as the documentation shows it, with a token of the emulator's."""
        additional = {
            "authorizationContext": self.kusto.one(".get kusto identity token"),
            "format": "csv",
            **more.pop("AdditionalProperties", {}),
        }
        return {
            "Id": str(uuid.uuid4()),
            "BlobPath": path,
            "RawDataSize": 10,
            "DatabaseName": "Demo",
            "TableName": table,
            "RetainBlobOnSuccess": True,
            "FlushImmediately": True,
            "ReportLevel": 2,
            "ReportMethod": 0,
            "AdditionalProperties": additional,
            **more,
        }

    def close(self) -> None:
        self.client.close()
        self.kusto.client.close()


@pytest.fixture(scope="session")
def shared_queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    data = tmp_path_factory.mktemp("queued") / "kusto"
    with KustoEmulator(data, databases=["Demo"], azurite=True) as running:
        connected = Queue(running)
        yield connected
        connected.close()


@pytest.fixture
def queue(shared_queue: Queue) -> Iterator[Queue]:
    yield shared_queue
    shared_queue.emulator.faults.clear()


@pytest.fixture
def csv(tmp_path: Path) -> Callable[..., str]:
    """Writes a file with the numbers from 0 on, one a line; its path."""

    def write(count: int, name: str = "numbers.csv") -> str:
        path = tmp_path / name
        path.write_text("".join(f"{i}\n" for i in range(count)))
        return str(path)

    return write
