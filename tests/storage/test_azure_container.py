"""What a container does that a directory can't: lost answers, hangs, keys; on Azurite."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient

from exactly_once_kusto.emulator.azurite import KEY
from exactly_once_kusto.errors import StagingError, StorageUnavailableError
from exactly_once_kusto.storage import azure_container
from exactly_once_kusto.storage.access import readable
from exactly_once_kusto.storage.azure_container import AzureContainer
from exactly_once_kusto.storage.patience import Patience

from .proxy import Proxy

NAME = "payments/parts/0a.parquet"
OTHER_KEY = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
RETRYING = Patience(wait_s=20.0)


def uncommitted(store: AzureContainer) -> int:
    """How many blocks of the object have gone up without being listed."""
    with ContainerClient.from_container_url(store.container, credential=KEY) as client:
        blob = client.get_blob_client(f"{store.folder}/{NAME}")
        return len(blob.get_block_list("uncommitted")[1])


def through(store: AzureContainer, proxy: Proxy) -> AzureContainer:
    _, _, rest = store.container.partition("://")[2].partition("/")
    return replace(store, container=f"http://127.0.0.1:{proxy.port}/{rest}", patience=RETRYING)


@pytest.fixture
def proxy(azurite):
    with Proxy(int(azurite.address.split(":")[2].split("/")[0])) as proxy:
        yield proxy


def test_blocks_go_up_while_rows_come_in(container):
    with container.upload(NAME) as upload:
        upload.write(bytes(4096 * 5))
        deadline = time.monotonic() + 10
        while uncommitted(container) < 4:  # at most one is still under way
            assert time.monotonic() < deadline, "no block is uploaded before the seal"
        upload.write(b"end")
        sealed = upload.seal()
    assert sealed == container.stat(NAME)
    assert container.read(NAME) == bytes(4096 * 5) + b"end"


def test_memory_is_that_of_the_blocks_under_way(container, azurite, monkeypatch):
    """While nothing goes up, a writer is held up after the blocks that it may have in memory."""
    azurite.pause()
    try:
        upload = container.upload(NAME)
        taken = []

        def write() -> None:
            for _ in range(100):
                upload.write(bytes(4096))
                taken.append(4096)

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        thread.join(1.0)
        assert thread.is_alive(), "100 blocks were taken while none was uploaded"
        assert len(taken) <= container.uploads_max + 1
    finally:
        azurite.resume()
    thread.join(30)
    assert upload.seal().length == 100 * 4096


def test_a_writer_killed_at_any_block_leaves_nothing_to_be_seen(container):
    code = (
        "import os, signal, sys\n"
        "from exactly_once_kusto.storage.azure_container import AzureContainer\n"
        f"store = AzureContainer({container.container!r}, {container.folder!r}, {KEY!r},"
        " block_bytes_max=4096)\n"
        f"upload = store.upload({NAME!r})\n"
        "upload.write(bytes(4096 * 3 + 10))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = str(Path(__file__).parents[2])
    killed = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}, timeout=60
    )
    assert killed.returncode == -9
    assert container.stat(NAME) is None
    assert container.read(NAME) is None
    assert list(container.list("")) == []


@pytest.mark.parametrize(
    ("size", "request_text"),
    [(100, b"PUT "), (4096 * 3, b"comp=blocklist"), (4096 * 3, b"comp=block&")],
    ids=["whole", "list", "block"],
)
def test_an_upload_whose_answer_was_lost_is_found_to_be_its_own(
    container, proxy, size, request_text
):
    store = through(container, proxy)
    with store.upload(NAME) as upload:
        proxy.swallow = request_text
        upload.write(bytes(size))
        sealed = upload.seal()
    assert proxy.swallowed == 1, "no answer was lost: the test shows nothing"
    found = container.stat(NAME)
    assert (sealed.length, sealed.etag) == (found.length, found.etag)
    assert container.read(NAME) == bytes(size)


def test_another_upload_under_the_name_is_not_taken_for_its_own(container, proxy):
    store = through(container, proxy)
    with store.upload(NAME) as upload:
        upload.write(b"mine")
        container.create(NAME, b"theirs")
        with pytest.raises(FileExistsError):
            upload.seal()
    assert container.read(NAME) == b"theirs"


def test_storage_that_hangs_is_given_up_and_said(container, azurite, monkeypatch):
    monkeypatch.setattr(azure_container, "READ_S", 0.5)
    store = replace(container)
    azurite.pause()
    try:
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError, match="does not answer") as caught:
            store.stat(NAME)
        assert time.monotonic() - began < 5.0
    finally:
        azurite.resume()
    assert container.container in str(caught.value)


def test_an_upload_goes_on_when_storage_is_back(container, azurite, monkeypatch, caplog):
    store = replace(container, patience=Patience(wait_s=30.0))
    with store.upload(NAME) as upload:
        upload.write(bytes(4096))
        azurite.stop()
        timer = threading.Timer(1.0, azurite.start)
        timer.start()
        upload.write(bytes(4096 * 3))
        assert upload.seal().length == 4096 * 4
        timer.join()
    assert "rows and checkpoints wait" in caplog.text
    assert container.read(NAME) == bytes(4096 * 4)


def test_storage_that_stays_away_is_given_up_in_the_end(container, proxy):
    store = replace(through(container, proxy), patience=Patience(wait_s=1.0))
    proxy.behind = 1  # nobody listens there
    began = time.monotonic()
    with store.upload(NAME) as upload:
        upload.write(b"x")
        with pytest.raises(StorageUnavailableError):
            upload.seal()
    assert 0.9 < time.monotonic() - began < 10.0


def test_a_wrong_key_is_said_at_once_and_not_shown(container, caplog):
    caplog.set_level(logging.DEBUG)
    store = replace(container, key=OTHER_KEY, patience=RETRYING)
    for act in (
        lambda: store.create(NAME, b"x"),
        lambda: store.read(NAME),
        lambda: store.stat(NAME),
        lambda: store.delete(NAME),
        lambda: list(store.list("")),
    ):
        with pytest.raises(StagingError, match=r"HTTP 403 \w+; the workers' key") as caught:
            act()
        assert OTHER_KEY not in str(caught.value)
    with store.upload(NAME) as upload:
        upload.write(b"x")
        with pytest.raises(StagingError):
            upload.seal()
    assert OTHER_KEY not in caplog.text
    assert OTHER_KEY not in repr(store)


def test_a_container_that_is_not_there_is_said_and_not_made(container, azurite):
    store = replace(container, container=f"{azurite.address}/not-there")
    for act in (lambda: store.read(NAME), lambda: store.create(NAME, b"x")):
        with pytest.raises(StagingError, match="create the container, it is never made"):
            act()


def test_access_reads_one_object_until_it_expires_and_nothing_else(container):
    import urllib.error
    import urllib.request

    container.create(NAME, b"x")
    container.create("payments/parts/0b.parquet", b"y")
    url = readable(f"{container.address}/{NAME}", time.time() + 60.0)
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"x"
    late = readable(f"{container.address}/{NAME}", time.time() - 5.0)
    for refused in (url.replace("0a.parquet", "0b.parquet"), late):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(refused, timeout=10)
    delete = urllib.request.Request(url, method="DELETE")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(delete, timeout=10)
