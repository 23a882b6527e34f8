"""The ledger's log: numbered entries, each an object `<name>/ledger/<20 digits>.json`.

As with Delta Lake's log, order comes from names that can be created only once: who finds a number
taken reads on and thinks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exactly_once_kusto.errors import DecodeError
from exactly_once_kusto.protocol.identity import check_name
from exactly_once_kusto.storage.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Log:
    """A `LedgerStore` for the sink `name` over a store.

    Every method may raise StorageUnavailableError.
    """

    store: ObjectStore
    name: str

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def address(self) -> str:
        """Return where the log lies, without secrets; the same text for the same log."""
        return f"{self.store.address}/{self._folder}"

    def read(self, after: int) -> Sequence[tuple[int, bytes]]:
        """Return all entries with a number above `after`, in order and without a gap.

        One look when there is nothing new. Numbers are tried one after the other: a list of names
        would save nothing, each entry has to be read. Only from the beginning (`after` 0) names
        are listed too, because a log without its first entries must not be taken for a new one.

        Raises:
            DecodeError: an entry is missing though later ones are there.
        """
        found = self._probe(after)
        if after == 0:
            # An entry that came in between is listed too: look once more before complaining.
            if self._later(len(found)):
                found += self._probe(len(found))
            later = self._later(len(found))
            if later is not None and self.store.read(self._entry(len(found) + 1)) is None:
                raise DecodeError(
                    f"ledger {self.address}: entry {len(found) + 1} is missing, though {later} is "
                    "there; entries are never deleted by the sink: put it back from a copy, or "
                    "choose another 'name'"
                )
        return found

    def append(self, number: int, data: bytes) -> bool:
        """Create entry `number`, durably. True: the entry is `data`; False: it is another's."""
        entry = self._entry(number)
        return self.store.create(entry, data) or self.store.read(entry) == data

    @property
    def _folder(self) -> str:
        return f"{self.name}/ledger"

    def _entry(self, number: int) -> str:
        if not 1 <= number < 10**20:
            raise ValueError(f"{number} can't number an entry")
        return f"{self._folder}/{number:020}.json"

    def _probe(self, after: int) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        number = after + 1
        while (data := self.store.read(self._entry(number))) is not None:
            found.append((number, data))
            number += 1
        return found

    def _later(self, last: int) -> str | None:
        """Return the first listed entry behind number `last`; other files there are nobody's."""
        after = self._entry(last) if last else None
        for name in self.store.list(f"{self._folder}/", after):
            digits, dot, kind = name.rpartition("/")[2].partition(".")
            if len(digits) == 20 and digits.isdecimal() and (dot, kind) == (".", "json"):
                return name
        return None
