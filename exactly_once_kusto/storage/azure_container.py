"""Objects as block blobs of a container in Azure Blob Storage, or in Azurite.

A blob comes into being with its block list (or with one small put) and `If-None-Match: *`: complete
or absent, and never changed. Blocks that were uploaded without a list are seen by nobody, and the
service forgets them after a week (REST: Put Block, Put Block List). The SDK's own retries are off:
what may be tried again is known here, and for how long is said by a `Patience`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.blob import ContainerClient

from exactly_once_kusto.storage.azure_errors import code_of, is_taken, refuse
from exactly_once_kusto.storage.block_upload import BlockUpload
from exactly_once_kusto.storage.objects import Stored, check_name
from exactly_once_kusto.storage.patience import Patience

CONNECT_S, READ_S = 5.0, 10.0
"""One try of a small call takes no longer than both, also where the service does not answer."""

BLOCK_BYTES_MAX = 8 << 20
UPLOADS_MAX = 2


@dataclass(frozen=True)
class AzureContainer:
    """An `ObjectStore` in a container, below a folder of it ('' for none).

    `container` is its address without secrets, `key` the account's key.
    """

    container: str
    folder: str
    key: str = field(repr=False)
    patience: Patience = field(default_factory=Patience)
    block_bytes_max: int = BLOCK_BYTES_MAX
    uploads_max: int = UPLOADS_MAX

    @property
    def address(self) -> str:
        """Where the store lies, without secrets."""
        return f"{self.container}/{self.folder}" if self.folder else self.container

    def create(self, name: str, data: bytes) -> bool:
        """Create an object, atomically and durably. False: the name is taken, nothing changed."""
        blob = self._blob(name)

        def put() -> bool:
            try:
                blob.upload_blob(data, overwrite=False, validate_content=True)
            except AzureError as error:
                if is_taken(error):
                    return False
                refuse("write", self._at(name), error)
            return True

        return self.patience.run(put)

    def read(self, name: str) -> bytes | None:
        """Return the content of an object; None if there is none."""
        blob = self._blob(name)

        def get() -> bytes | None:
            try:
                return bytes(blob.download_blob(max_concurrency=1).readall())
            except ResourceNotFoundError as error:
                self._check_container(name, error)
                return None
            except AzureError as error:
                refuse("read", self._at(name), error)

        return self.patience.run(get)

    def stat(self, name: str) -> Stored | None:
        """Return length and mark of an object without reading it; None if there is none."""
        blob = self._blob(name)

        def head() -> Stored | None:
            try:
                found = blob.get_blob_properties()
            except ResourceNotFoundError as error:
                self._check_container(name, error)
                return None
            except AzureError as error:
                refuse("read", self._at(name), error)
            return Stored(self._at(name), int(found.size), str(found.etag))

        return self.patience.run(head)

    def list(self, prefix: str, after: str | None = None) -> Iterator[str]:
        """Return the names that begin with `prefix` and sort behind `after`, in order."""
        cut = len(self._full(""))
        try:
            # The service lists in the order of the names (REST: List Blobs).
            for found in self._client.list_blob_names(name_starts_with=self._full(prefix)):
                name = str(found)[cut:]
                if not after or name > after:
                    yield name
        except AzureError as error:
            refuse("list", self.address, error)

    def delete(self, name: str) -> None:
        """Delete an object; one that is gone is fine. Tried once: nothing waits for tidying up."""
        try:
            self._blob(name).delete_blob()
        except ResourceNotFoundError as error:
            self._check_container(name, error)
        except AzureError as error:
            refuse("delete", self._at(name), error)

    def upload(self, name: str) -> BlockUpload:
        """Begin to write an object of any size; nothing is sent yet."""
        return BlockUpload(
            blob=self._blob(name),
            address=self._at(name),
            nonce=secrets.token_hex(16),
            patience=self.patience,
            block_bytes_max=self.block_bytes_max,
            uploads_max=self.uploads_max,
        )

    def _check_container(self, name: str, error: AzureError) -> None:
        """No such object; but a container that is not there is another matter."""
        if code_of(error) == "ContainerNotFound":
            refuse("reach", self._at(name), error)

    @property
    def _account(self) -> str:
        # The SDK finds the account in some forms of address only.
        parts = urlsplit(self.container)
        if parts.scheme == "http":
            return parts.path.split("/")[1]
        return (parts.hostname or "").partition(".")[0]

    @cached_property
    def _client(self) -> ContainerClient:
        return ContainerClient.from_container_url(
            self.container,
            credential={"account_name": self._account, "account_key": self.key},
            retry_total=0,
            connection_timeout=CONNECT_S,
            read_timeout=READ_S,
            max_single_put_size=self.block_bytes_max,
            max_single_get_size=self.block_bytes_max,
        )

    def _blob(self, name: str) -> Any:  # noqa: ANN401 - azure.storage.blob.BlobClient
        return self._client.get_blob_client(self._full(check_name(name)))

    def _full(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def _at(self, name: str) -> str:
        return f"{self.address}/{name}"
