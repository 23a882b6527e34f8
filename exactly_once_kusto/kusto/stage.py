"""Phase one: batches become parts, under random names that are created only if absent.

A name never recurs, so a writer that wakes up late can't touch what another has sealed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from exactly_once_kusto.errors import StorageUnavailableError
from exactly_once_kusto.protocol.slices import Part
from exactly_once_kusto.storage.objects import ObjectStore, Stored, Upload


class OpenPart(Protocol):
    """A part that is being written."""

    @property
    def rows(self) -> int:
        """Rows so far."""

    @property
    def raw_bytes(self) -> int:
        """Uncompressed bytes so far."""

    def write(self, batch: Any) -> None:  # noqa: ANN401
        """Take a converted batch."""

    def seal(self) -> Stored:
        """Make the part durable."""

    def abort(self) -> None:
        """Forget the part. Harmless after `seal`, and twice."""


class Encoding(Protocol):
    """How rows become bytes (encode.py: Parquet); the simulator has a cheaper one."""

    def convert(self, batch: Any) -> Any:  # noqa: ANN401
        """Return the batch as it is written; refuse values that Kusto would change."""

    def open(self, upload: Upload) -> OpenPart:
        """Return a part that is written into `upload`."""


class Stage:
    """A `protocol.ports.Writer` of Parquet parts `<name>/parts/<32 hex>.parquet`.

    A part is sealed at the barrier, or earlier when it has `part_bytes_max` uncompressed bytes.
    Once a call failed nothing goes on: what it took is not known to be whole.
    """

    def __init__(
        self,
        store: ObjectStore,
        name: str,
        encoding: Encoding,
        destination: str,
        part_bytes_max: int,
        nonce: Callable[[], str],
    ) -> None:
        self._store = store
        self._name = name
        self._encoding = encoding
        self._destination = destination
        self._part_bytes_max = part_bytes_max
        self._nonce = nonce
        self._open: OpenPart | None = None
        self._part = ""
        self._sealed: list[tuple[str, Part]] = []
        self._broken = False

    def write(self, batch: Any) -> None:  # noqa: ANN401
        """Take a batch; it must not change until `seal` has returned.

        Raises:
            ValueRefusedError: a value that Kusto would cut in silence.
            StorageUnavailableError: the part can't be written; replay from the last checkpoint.
        """
        with self._whole():
            if batch.num_rows:
                self._take(self._encoding.convert(batch))

    def seal(self) -> Sequence[Part]:
        """Make all rows since the last seal durable, and return their parts. No rows, no part.

        Raises:
            StorageUnavailableError: a part can't be written; replay from the last checkpoint.
        """
        with self._whole():
            if self._open is not None:
                self._finish(self._open)
            parts = [part for _, part in self._sealed]
            self._sealed = []
        return parts

    def close(self) -> None:
        """Remove what no `seal` has returned."""
        self._broken = True
        self._abort()
        for name, _ in self._sealed:
            self._store.delete(name)
        self._sealed = []

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """A call that is done in full, or after which nothing goes on."""
        if self._broken:
            raise StorageUnavailableError(
                f"the writer of sink '{self._name}' is closed or has failed before; start again "
                "from the last checkpoint"
            )
        try:
            yield
        except BaseException:
            self._broken = True
            self._abort()
            raise

    def _take(self, batch: Any) -> None:  # noqa: ANN401
        if self._open is None:
            self._part = f"{self._name}/parts/{self._nonce()}.parquet"
            upload = self._store.upload(self._part)
            try:
                self._open = self._encoding.open(upload)
            except BaseException:
                upload.abort()
                raise
        self._open.write(batch)
        if self._open.raw_bytes >= self._part_bytes_max:
            self._finish(self._open)

    def _abort(self) -> None:
        part, self._open = self._open, None
        if part is not None:
            part.abort()

    def _finish(self, part: OpenPart) -> None:
        stored = part.seal()
        self._open = None
        made = Part(
            stored.address,
            stored.length,
            stored.etag,
            part.rows,
            part.raw_bytes,
            self._destination,
        )
        self._sealed.append((self._part, made))
