"""The sign by which the coordinator holds the writers back: an object that is there or not.

Writers and coordinator are processes on several machines and share nothing but the staging. Nothing
of the guarantee rests on the sign: a writer waits for a limited time only (docs/architecture.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from exactly_once_kusto.protocol.identity import check_name
from exactly_once_kusto.storage.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class StoredBrake:
    """A `protocol.ports.Brake`: the object `<name>/brake`, whose content says why it is there.

    Every method may raise StorageUnavailableError.
    """

    store: ObjectStore
    name: str

    def __post_init__(self) -> None:
        check_name(self.name)

    def put_on(self, reason: str) -> None:
        """Hold the writers back."""
        self.store.create(self._sign, f"{reason}\n".encode())

    def take_off(self) -> None:
        """Let the writers go on; harmless where nothing holds them."""
        self.store.delete(self._sign)

    def is_on(self) -> bool:
        """Whether the writers are held back."""
        return self.store.stat(self._sign) is not None

    @property
    def _sign(self) -> str:
        return f"{self.name}/brake"
