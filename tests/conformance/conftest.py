"""One cluster for all cases: a real one where KUSTO_CLUSTER names it, else an emulator.

    KUSTO_CLUSTER=https://x.westeurope.kusto.windows.net KUSTO_DATABASE=Scratch \\
        python -m pytest tests/conformance

Credentials are azure-identity's defaults (environment, managed identity, `az login`). The principal
must be database admin. Cases that read files need KUSTO_STAGING, the address of a container with a
SAS that may create and read blobs; without it they are skipped on a real cluster. Every case works
on tables of its own, with random names, and drops them.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.identity import DefaultAzureCredential
from azure.kusto.data import KustoClient, KustoConnectionStringBuilder
from azure.storage.blob import ContainerClient

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.emulator import KustoEmulator

WAIT_S = 120.0


class Cluster:
    """The SDK's client on one database; nothing here knows which kind of cluster answers."""

    def __init__(self, builder: KustoConnectionStringBuilder, database: str) -> None:
        self.client = KustoClient(builder)
        self.database = database

    def table(self, text: str, properties: Any = None) -> Any:
        """The first result table of a query or command."""
        return self.client.execute(self.database, text, properties).primary_results[0]

    def rows(self, text: str) -> list[list[Any]]:
        return [row.to_list() for row in self.table(text)]

    def one(self, text: str) -> Any:
        rows = self.rows(text)
        assert len(rows) == 1, rows
        assert len(rows[0]) == 1, rows
        return rows[0][0]

    def ended(self, operation: str) -> dict[str, Any]:
        """The operation's latest record, once it isn't running any more."""
        running = ("InProgress", "Scheduled")

        def ended() -> dict[str, Any] | None:
            records = [row.to_dict() for row in self.table(f".show operations {operation}")]
            latest = max(records, key=lambda r: r["LastUpdatedOn"], default=None)
            return latest if latest and latest["State"] not in running else None

        return wait_until(ended, WAIT_S, f"the end of operation {operation}", poll_s=0.05)


@pytest.fixture(scope="session")
def kusto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    address = os.environ.get("KUSTO_CLUSTER")
    if address:
        builder = KustoConnectionStringBuilder.with_azure_token_credential(
            address, DefaultAzureCredential()
        )
        cluster = Cluster(builder, os.environ["KUSTO_DATABASE"])
        yield cluster
        cluster.client.close()
        return
    with KustoEmulator(tmp_path_factory.mktemp("conformance"), databases=["Demo"]) as emulator:
        cluster = Cluster(KustoConnectionStringBuilder(emulator.cluster), "Demo")
        yield cluster
        cluster.client.close()


@pytest.fixture
def make(kusto: Cluster) -> Iterator[Callable[[str], str]]:
    """Makes a table of the given schema, merges switched off; its name."""
    made: list[str] = []

    def make(schema: str) -> str:
        name = f"Case_{uuid.uuid4().hex[:12]}"
        kusto.rows(f".create table {name} ({schema})")
        made.append(name)
        kusto.rows(
            f".alter table {name} policy merge "
            """'{"AllowMerge": false, "AllowRebuild": false}'"""
        )
        return name

    yield make
    for name in made:
        kusto.rows(f".drop table {name} ifexists")


@pytest.fixture
def stage(tmp_path: Path) -> Callable[[str, bytes], str]:
    """Puts bytes where the cluster can read them; the literal that names the place."""

    def stage(name: str, content: bytes) -> str:
        if not os.environ.get("KUSTO_CLUSTER"):
            (tmp_path / name).write_bytes(content)
            return f"h'{(tmp_path / name).as_uri()}'"
        container = os.environ.get("KUSTO_STAGING")
        if not container:
            pytest.skip("KUSTO_STAGING isn't set")
        blob = f"conformance/{uuid.uuid4().hex}/{name}"
        with ContainerClient.from_container_url(container) as client:
            address = client.upload_blob(blob, content).url
        return f"h'{address}'"

    return stage
