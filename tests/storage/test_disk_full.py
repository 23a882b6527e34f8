"""A disk that is really full: a small file system of its own, where mounting is permitted."""

from __future__ import annotations

import threading

import pytest

from exactly_once_kusto.errors import StorageUnavailableError
from exactly_once_kusto.storage import local_directory
from exactly_once_kusto.storage.local_directory import LocalDirectory
from exactly_once_kusto.storage.patience import Patience
from tests.small_disk import small_disk

NAME = "payments/parts/0a.parquet"
MB = 1 << 20


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "small", "2m") as place:
        yield place


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_full_disk_is_named_and_leaves_nothing(disk, unnamed, monkeypatch):
    if not unnamed:
        monkeypatch.setattr(local_directory, "O_TMPFILE", 0)
        local_directory._can_be_unnamed.cache_clear()
    store = LocalDirectory(disk)
    full = pytest.raises(StorageUnavailableError, match="No space left on device; free some")
    with store.upload(NAME) as upload, full:
        upload.write(bytes(3 * MB))
    assert store.stat(NAME) is None
    assert store.create(NAME, bytes(MB)), "what was not sealed still takes up the disk"
    local_directory._can_be_unnamed.cache_clear()


def test_a_write_goes_on_where_it_stopped_once_there_is_room(disk, caplog):
    store = LocalDirectory(disk, Patience(wait_s=30.0))
    filler = disk / "filler"
    filler.write_bytes(bytes(MB))
    data = bytes(range(256)) * (3 * MB // 2 // 256)
    timer = threading.Timer(0.7, filler.unlink)
    with store.upload(NAME) as upload:
        timer.start()
        assert upload.write(data) == len(data)  # half of it fits at first
        sealed = upload.seal()
    timer.join()
    assert store.read(NAME) == data
    assert sealed.length == len(data)
    assert "No space left on device" in caplog.text
    assert "rows and checkpoints wait" in caplog.text


def test_a_disk_that_stays_full_is_given_up_in_the_end(disk):
    store = LocalDirectory(disk, Patience(wait_s=0.5))
    full = pytest.raises(StorageUnavailableError, match="No space left")
    with store.upload(NAME) as upload, full:
        upload.write(bytes(3 * MB))
