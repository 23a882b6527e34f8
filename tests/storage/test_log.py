"""The ledger's log: numbers are taken once, gaps are damage, other files are nobody's."""

from __future__ import annotations

import pytest

from exactly_once_kusto.errors import DecodeError, OptionError
from exactly_once_kusto.storage.log import Log


@pytest.fixture
def log(store) -> Log:
    return Log(store, "payments")


def fill(log: Log, count: int) -> list[tuple[int, bytes]]:
    entries = [(number, f"entry {number}".encode()) for number in range(1, count + 1)]
    for number, data in entries:
        assert log.append(number, data)
    return entries


def test_entries_come_in_order_from_a_number_on(log, store):
    assert log.read(0) == []
    entries = fill(log, 12)
    assert log.read(0) == entries
    assert log.read(7) == entries[7:]
    assert log.read(12) == []
    assert log.address == f"{store.address}/payments/ledger"
    assert store.read("payments/ledger/00000000000000000012.json") == b"entry 12"


def test_a_taken_number_is_another_s_unless_the_bytes_are_the_same(log):
    assert log.append(1, b"mine")
    assert log.append(1, b"mine")
    assert not log.append(1, b"other")
    assert log.read(0) == [(1, b"mine")]


def test_logs_of_two_names_are_apart(log, store):
    fill(log, 1)
    assert Log(store, "payments-2").read(0) == []


def test_one_look_is_enough_when_nothing_is_new(log, store):
    fill(log, 3)

    class Counting:
        reads = 0

        def read(self, name):
            self.reads += 1
            return store.read(name)

    counting = Counting()
    assert Log(counting, "payments").read(3) == []
    assert counting.reads == 1


@pytest.mark.parametrize("missing", [1, 2])
def test_a_missing_entry_is_damage_and_not_an_end(log, store, missing):
    fill(log, 4)
    store.delete(f"payments/ledger/{missing:020}.json")
    with pytest.raises(DecodeError, match=f"entry {missing} is missing, though .*{missing + 1}"):
        log.read(0)


def test_an_entry_that_comes_in_between_is_no_gap(log, store):
    fill(log, 1)

    class Late:
        def list(self, prefix, after=None):
            log.append(2, b"entry 2")
            return store.list(prefix, after)

        def __getattr__(self, name):
            return getattr(store, name)

    assert Log(Late(), "payments").read(0) == [(1, b"entry 1"), (2, b"entry 2")]


def test_other_files_beside_the_entries_confuse_nothing(log, store):
    fill(log, 2)
    for name in ("00000000000000000009.json.bak", "notes.txt", "9.json", "x/1"):
        store.create(f"payments/ledger/{name}", b"?")
    assert [number for number, _ in log.read(0)] == [1, 2]


def test_a_name_that_leads_elsewhere_is_refused(store):
    with pytest.raises(OptionError, match="can't name a sink"):
        Log(store, "../other")
