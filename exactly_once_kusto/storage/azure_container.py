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
from typing import Any, NoReturn

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import ContainerClient

from exactly_once_kusto.errors import StagingError, StorageUnavailableError
from exactly_once_kusto.storage.block_upload import BlockUpload
from exactly_once_kusto.storage.objects import Stored, check_name
from exactly_once_kusto.storage.patience import Patience

CONNECT_S, READ_S = 5.0, 10.0
"""One try of a small call takes no longer than both, also where the service does not answer."""

BLOCK_BYTES_MAX = 8 << 20
UPLOADS_MAX = 2
TAKEN = (ResourceExistsError, ResourceModifiedError)
"""The answers to `If-None-Match: *` where the name is taken: 409 BlobAlreadyExists, or 412."""

AWAY = (408, 429, 500, 502, 503, 504)
PASSING_CODES = ("ContainerBeingDeleted", "AccountBeingCreated", "ServerBusy")


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
            except TAKEN:
                return False
            except AzureError as error:
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
        """Delete an object; one that is gone is fine."""
        blob = self._blob(name)

        def remove() -> None:
            try:
                blob.delete_blob()
            except ResourceNotFoundError as error:
                self._check_container(name, error)
            except AzureError as error:
                refuse("delete", self._at(name), error)

        self.patience.run(remove)

    def upload(self, name: str) -> BlockUpload:
        """Begin to write an object of any size; nothing is sent yet."""
        return BlockUpload(
            blob=self._blob(name),
            address=self._at(name),
            nonce=secrets.token_hex(16),
            patience=self.patience,
            block_bytes_max=self.block_bytes_max,
            uploads_max=self.uploads_max,
            refuse=refuse,
        )

    def _check_container(self, name: str, error: HttpResponseError) -> None:
        """No such object; but a container that is not there is another matter."""
        if _code(error) == "ContainerNotFound":
            refuse("reach", self._at(name), error)

    @cached_property
    def _client(self) -> ContainerClient:
        return ContainerClient.from_container_url(
            self.container,
            credential=self.key,
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


def _code(error: HttpResponseError) -> str:
    """The service's own word for what is wrong (REST: Status and Error Codes)."""
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))


def refuse(verb: str, address: str, error: AzureError) -> NoReturn:
    """Raise an error of the SDK with what it was about and what to do; no secret is in it.

    Raises:
        StagingError: it can't go until a person has changed something.
        StorageUnavailableError: any other; the same call may succeed later.
    """
    if not isinstance(error, HttpResponseError) or error.status_code is None:
        raise StorageUnavailableError(
            f"can't {verb} {address}: {type(error).__name__}, the storage does not answer; look "
            "whether the account can be reached from here"
        ) from error
    code = _code(error)
    said = f"can't {verb} {address}: HTTP {error.status_code} {code}".rstrip()
    if code == "ContainerNotFound":
        raise StagingError(f"{said}; create the container, it is never made by the sink") from error
    if isinstance(error, ClientAuthenticationError) or error.status_code in (401, 403):
        raise StagingError(
            f"{said}; the workers' key (AZURE_STORAGE_KEY) is not the account's, or a firewall "
            "keeps them out"
        ) from error
    if error.status_code in AWAY or code in PASSING_CODES:
        raise StorageUnavailableError(f"{said}; the service is busy or has a fault") from error
    raise StagingError(f"{said}; check the address and the account's kind") from error
