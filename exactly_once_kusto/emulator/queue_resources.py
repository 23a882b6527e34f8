"""The storage through which clients queue their ingestions: containers, queues, a status table.

They lie in the emulator's Azurite, and clients get them with a SAS, as
https://learn.microsoft.com/kusto/api/netfx/kusto-ingest-client-rest says.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.data.tables import AccountSasPermissions as TablePermissions
from azure.data.tables import ResourceTypes as TableResources
from azure.data.tables import TableServiceClient, UpdateMode
from azure.data.tables import generate_account_sas as table_sas
from azure.storage.blob import AccountSasPermissions, BlobClient, ResourceTypes
from azure.storage.blob import generate_account_sas as blob_sas
from azure.storage.queue import AccountSasPermissions as QueuePermissions
from azure.storage.queue import (
    QueueClient,
    QueueMessage,
    QueueServiceClient,
    TextBase64EncodePolicy,
)
from azure.storage.queue import ResourceTypes as QueueKinds
from azure.storage.queue import generate_account_sas as queue_sas

from .azurite import ACCOUNT, KEY, Azurite
from .queue_reports import RefusedError, SilentError

# Several, as in the service: its clients turn to another one after any failure, so that a message
# whose reply was lost is in two queues.
READY = ("readyforaggregation-0", "readyforaggregation-1")
FAILURES = "failedingestions"
SUCCESSES = "successfulingestions"
CONTAINERS = ("ingestdata-0", "ingestdata-1")
STATUS_TABLE = "ingestionsstatus"

ACCESS = dt.timedelta(hours=49)
"""How long a SAS holds: blobs must be readable longer than the service's retries go on."""
VISIBILITY_S = 5
MESSAGES_MAX = 32
_COMES_RIGHT = (408, 429)
# Not tried again by the client, which would wait 15 s; the service's own loop does.
_PATIENCE: dict[str, Any] = {"retry_total": 0, "connection_timeout": 3, "read_timeout": 5}


@dataclass(frozen=True)
class Received:
    """A message as it lies in its queue."""

    queue: str
    content: str
    message: QueueMessage


class QueueResources:
    """Makes what is missing, hands it out, and reads and writes it for the service.

    Methods raise SilentError where Azurite does not answer as it should.
    """

    def __init__(self, azurite: Azurite) -> None:
        self._azurite = azurite
        key = {"account_name": ACCOUNT, "account_key": KEY}
        self._queues = QueueServiceClient(azurite.queues, credential=key, **_PATIENCE)
        self._ready = {name: self._queue(name) for name in READY}
        self._reports = {name: self._queue(name, encoded=True) for name in (FAILURES, SUCCESSES)}
        named = AzureNamedKeyCredential(ACCOUNT, KEY)
        tables = TableServiceClient(azurite.tables, credential=named, **_PATIENCE)
        self._statuses = tables.create_table_if_not_exists(STATUS_TABLE)
        for queue in (*self._ready.values(), *self._reports.values()):
            with contextlib.suppress(ResourceExistsError):
                queue.create_queue()
        for container in CONTAINERS:
            azurite.container(container)

    def rows(self) -> list[tuple[str, str]]:
        """What ``.get ingestion resources`` shows: kinds, and URIs with access."""
        until = dt.datetime.now(dt.UTC) + ACCESS  # Azurite looks at the machine's clock
        everything = {"service": True, "container": True, "object": True}
        allowed: dict[str, bool] = dict.fromkeys(
            ("read", "write", "delete", "list", "add", "create", "update"), True
        )
        queues = queue_sas(
            ACCOUNT,
            KEY,
            QueueKinds(**everything),
            QueuePermissions(**allowed, process=True),
            until,
        )
        tables = table_sas(
            AzureNamedKeyCredential(ACCOUNT, KEY),
            TableResources(**everything),
            TablePermissions(**allowed),
            until,
        )
        rows = [
            ("SecuredReadyForAggregationQueue", f"{self._azurite.queues}/{name}?{queues}")
            for name in READY
        ]
        rows += [
            ("FailedIngestionsQueue", f"{self._azurite.queues}/{FAILURES}?{queues}"),
            ("SuccessfulIngestionsQueue", f"{self._azurite.queues}/{SUCCESSES}?{queues}"),
        ]
        rows += [("TempStorage", address) for address in self.containers()]
        rows.append(("IngestionsStatusTable", f"{self._azurite.tables}/{STATUS_TABLE}?{tables}"))
        return rows

    def containers(self) -> list[str]:
        """Addresses of the containers for what is to be ingested, with access."""
        until = dt.datetime.now(dt.UTC) + ACCESS
        kinds = ResourceTypes(service=True, container=True, object=True)
        allowed = AccountSasPermissions(
            read=True, write=True, delete=True, list=True, add=True, create=True
        )
        sas = blob_sas(ACCOUNT, KEY, kinds, allowed, until)
        return [f"{self._azurite.address}/{name}?{sas}" for name in CONTAINERS]

    def receive(self) -> list[Received]:
        """The next messages of all queues; not seen by others for ``VISIBILITY_S``."""
        found = []
        with _answering():
            for name, queue in self._ready.items():
                page = queue.receive_messages(
                    messages_per_page=MESSAGES_MAX,
                    max_messages=MESSAGES_MAX,
                    visibility_timeout=VISIBILITY_S,
                )
                found += [Received(name, str(message.content), message) for message in page]
        return found

    def done(self, received: Received) -> None:
        """Takes a message off its queue."""
        with _answering():
            self._ready[received.queue].delete_message(received.message)

    def succeeded(self, document: dict[str, Any]) -> None:
        """Reports to the queue of successes."""
        with _answering():
            self._reports[SUCCESSES].send_message(json.dumps(document))

    def failed(self, document: dict[str, Any]) -> None:
        """Reports to the queue of failures."""
        with _answering():
            self._reports[FAILURES].send_message(json.dumps(document))

    def show_status(self, place: tuple[str, str], shown: dict[str, Any]) -> None:
        """Writes into a row of the status table, which is made where it is not there."""
        entity = {"PartitionKey": place[0], "RowKey": place[1], **shown}
        with _answering():
            self._statuses.upsert_entity(entity, mode=UpdateMode.MERGE)

    def delete_blob(self, url: str) -> None:
        """Deletes a blob of this Azurite; leaves any other alone."""
        if urlsplit(url).netloc != urlsplit(self._azurite.address).netloc:
            return
        with (
            _answering(),
            BlobClient.from_blob_url(url.partition("?")[0], KEY) as client,
            contextlib.suppress(ResourceNotFoundError),  # it was delivered twice
        ):
            client.delete_blob(**_PATIENCE)

    def close(self) -> None:
        """Closes the connections."""
        for queue in (*self._ready.values(), *self._reports.values()):
            queue.close()
        self._queues.close()
        self._statuses.close()

    def _queue(self, name: str, encoded: bool = False) -> QueueClient:
        policy = TextBase64EncodePolicy() if encoded else None
        return self._queues.get_queue_client(name, message_encode_policy=policy)


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except AzureError as error:
        # Without its text, which may hold an address with its access.
        told = type(error).__name__
        status = error.status_code if isinstance(error, HttpResponseError) else None
        if status is not None:
            final = 400 <= status < 500 and status not in _COMES_RIGHT
            raise RefusedError(f"{told}, HTTP {status}", final) from None
        raise SilentError(told) from None
