"""A blob that is being written: blocks go up in the background while rows come in.

At most `uploads_max` blocks are under way and one is being filled, so memory depends on the size of
a block alone (I9). Nobody sees the blob before its block list is put.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from azure.core.exceptions import AzureError
from azure.storage.blob import BlobBlock

from exactly_once_kusto.storage.azure_errors import is_taken, is_without_blocks, refuse
from exactly_once_kusto.storage.objects import BytesLike, Stored
from exactly_once_kusto.storage.patience import Patience

BLOCK_SEND_S, BLOCK_READ_S = 60.0, 60.0
"""What one try of a block may take to be sent, and to be answered.

The transport counts the sending of a whole body against its limit to connect: with that of a small
call, a link of less than 13 Mbit/s could never send 8 MiB.
"""
LIMITS = {"connection_timeout": BLOCK_SEND_S, "read_timeout": BLOCK_READ_S}
BLOCKS_MAX = 50_000  # REST: Put Block List
NONCE = "nonce"


@dataclass
class BlockUpload:
    """An `Upload` of blocks. One thread writes; `uploads_max` threads send.

    `nonce` is put into the blob's metadata, so that a block list whose answer was lost is known to
    be our own.
    """

    blob: Any
    address: str
    nonce: str
    patience: Patience
    block_bytes_max: int
    uploads_max: int
    _filling: bytearray = field(default_factory=bytearray)
    _blocks: list[str] = field(default_factory=list)
    _under_way: set[Future[None]] = field(default_factory=set)
    _length: int = 0
    _give_up: threading.Event = field(default_factory=threading.Event)
    _senders: ThreadPoolExecutor | None = None
    _open: bool = True

    def write(self, data: BytesLike) -> int:
        """Take `data`, return its length; waits while all uploads are under way.

        Raises:
            StorageUnavailableError: a block could not be uploaded.
            StagingError: no right, or no container.
        """
        if not self._open:
            raise ValueError(f"{self.address} is sealed or aborted")
        view, taken = memoryview(data).cast("B"), 0
        while taken < len(view):
            room = self.block_bytes_max - len(self._filling)
            self._filling += view[taken : taken + room]
            taken += min(room, len(view) - taken)
            if len(self._filling) == self.block_bytes_max:
                self._send()
        self._length += taken
        return taken

    def seal(self) -> Stored:
        """Make all that was written durable under the name, if that is free.

        Raises:
            FileExistsError: the name is taken; the object there is unchanged.
            StorageUnavailableError: a block or the list could not be uploaded.
            StagingError: no right, or no container.
        """
        try:
            if not self._blocks:
                return self.patience.run(self._put_whole, self._give_up)
            if self._filling:
                self._send()
            self._settle(0)
            return self.patience.run(self._put_list, self._give_up)
        finally:
            self.abort()

    def abort(self) -> None:
        """Forget what was written. Harmless after `seal`, and twice.

        A block that is under way is not waited for: it is in no list, so nobody will see it.
        """
        self._open = False
        self._give_up.set()
        senders, self._senders = self._senders, None
        if senders is not None:
            senders.shutdown(wait=False, cancel_futures=True)
        self._under_way.clear()
        self._filling = bytearray()

    def __enter__(self) -> BlockUpload:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Abort unless sealed."""
        self.abort()

    # ---- within

    def _send(self) -> None:
        if len(self._blocks) >= BLOCKS_MAX:
            raise ValueError(f"{self.address} would have more than {BLOCKS_MAX} blocks")
        # First of all, so that there is no copy of this block while others are waited for.
        self._settle(self.uploads_max - 1)
        block, self._filling = bytes(self._filling), bytearray()
        if self._senders is None:
            self._senders = ThreadPoolExecutor(self.uploads_max, "upload")
        # All ids of a blob must be of one length; they name places, so a second upload replaces.
        identity = base64.b64encode(f"{len(self._blocks):08}".encode()).decode()
        self._blocks.append(identity)
        sent = self._senders.submit(
            self.patience.run, lambda: self._stage(identity, block), self._give_up
        )
        self._under_way.add(sent)

    def _settle(self, most: int) -> None:
        """Wait until at most so many blocks are under way; raise what one of them has raised."""
        while True:
            done = {each for each in self._under_way if each.done()}
            self._under_way -= done
            for each in done:
                each.result()
            if len(self._under_way) <= most:
                return
            wait(self._under_way, return_when="FIRST_COMPLETED")

    def _stage(self, identity: str, block: bytes) -> None:
        try:
            self.blob.stage_block(identity, block, validate_content=True, **LIMITS)
        except AzureError as error:
            refuse("write", self.address, error)

    def _put_whole(self) -> Stored:
        return self._make(
            lambda: self.blob.upload_blob(
                bytes(self._filling),
                overwrite=False,
                metadata={NONCE: self.nonce},
                validate_content=True,
                **LIMITS,
            )
        )

    def _put_list(self) -> Stored:
        blocks = [BlobBlock(identity) for identity in self._blocks]
        return self._make(
            lambda: self.blob.commit_block_list(
                blocks, metadata={NONCE: self.nonce}, if_none_match="*", **LIMITS
            )
        )

    def _make(self, put: Callable[[], dict[str, Any]]) -> Stored:
        try:
            return Stored(self.address, self._length, str(put()["etag"]))
        except AzureError as error:
            if is_taken(error):
                return self._own(error)
            if is_without_blocks(error):
                self._give_up.set()  # the same list can't succeed later
            refuse("write", self.address, error)

    def _own(self, taken: AzureError) -> Stored:
        """The name is taken: by ourselves, in a try whose answer was lost, or by another."""
        try:
            found = self.blob.get_blob_properties()
        except AzureError as error:
            refuse("read", self.address, error)
        if (found.metadata or {}).get(NONCE) != self.nonce:
            raise FileExistsError(f"{self.address} is there already") from taken
        return Stored(self.address, int(found.size), str(found.etag))
