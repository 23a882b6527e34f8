"""What Azure Blob Storage may answer, and how slowly: no byte lost, no wait without an end."""

from __future__ import annotations

import os
import threading
import time
import traceback
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.emulator.azurite import KEY
from exactly_once_kusto.errors import OptionError, StagingError, StorageUnavailableError
from exactly_once_kusto.storage import azure_container
from exactly_once_kusto.storage.access import readable
from exactly_once_kusto.storage.address import open_store
from exactly_once_kusto.storage.azure_container import AzureContainer
from exactly_once_kusto.storage.log import Log
from exactly_once_kusto.storage.patience import Patience

from .proxy import Proxy

NAME = "payments/parts/0a.parquet"
MB = 1 << 20


class Refusing(BaseHTTPRequestHandler):
    """Answers with the status and the code of the server what has its text `only`, 201 the rest."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked += 1
        self.send_response(self.server.status if self.server.only in self.path else 201)
        self.send_header("x-ms-error-code", self.server.code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_GET = do_HEAD = do_DELETE = _answer  # noqa: N815 - names of http.server

    def log_message(self, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def refusing() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.status, server.code, server.only, server.asked = 503, "ServerBusy", "", 0
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def at(server: ThreadingHTTPServer, patience: Patience | None = None) -> AzureContainer:
    address = f"http://127.0.0.1:{server.server_port}/devstoreaccount1/staging"
    return AzureContainer(address, "", KEY, patience or Patience())


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (503, "ServerBusy", StorageUnavailableError),
        (500, "OperationTimedOut", StorageUnavailableError),
        (429, "", StorageUnavailableError),
        (409, "ContainerBeingDeleted", StorageUnavailableError),
        (403, "AuthenticationFailed", StagingError),
        (403, "AuthorizationPermissionMismatch", StagingError),
        (404, "ContainerNotFound", StagingError),
        (400, "FeatureVersionMismatch", StagingError),
    ],
)
def test_an_answer_says_whether_waiting_helps(refusing, status, code, kind):
    refusing.status, refusing.code = status, code
    store = at(refusing)
    for act in (
        lambda: store.create(NAME, b"x"),
        lambda: store.read(NAME),
        lambda: store.stat(NAME),
        lambda: store.delete(NAME),
        lambda: list(store.list("")),
    ):
        refusing.asked = 0
        with pytest.raises(kind, match=rf"can't \w+ {store.address}.*: HTTP {status} ?{code}; \w"):
            act()
        assert refusing.asked == 1, "the SDK tries again on its own"
    with store.upload(NAME) as upload:
        upload.write(b"x")
        with pytest.raises(kind):
            upload.seal()


def test_a_busy_service_is_asked_again_until_it_answers(refusing):
    store = at(refusing, Patience(wait_s=20.0))

    def relent() -> None:
        wait_until(lambda: refusing.asked >= 3, 10, "three requests", 0.01)
        refusing.status = 201

    thread = threading.Thread(target=relent, daemon=True)
    thread.start()
    assert store.create(NAME, b"x")
    thread.join(10)


def test_a_refused_signature_is_in_no_traceback(refusing):
    refusing.status, refusing.code = 403, "AuthenticationFailed"
    with pytest.raises(StagingError) as caught:
        at(refusing).create(NAME, b"x")
    text = "".join(traceback.format_exception(caught.value))
    assert "the workers' key" in text
    assert "direct cause" not in text


@pytest.mark.parametrize("key", ["s3cr3t!", "DefaultEndpointsProtocol=https;AccountName=a"])
def test_what_is_no_key_is_said_before_anything_is_sent_and_not_shown(monkeypatch, key):
    monkeypatch.setenv("AZURE_STORAGE_KEY", key)
    address = "https://acct.blob.core.windows.net/staging"
    for act in (lambda: open_store(address), lambda: readable(f"{address}/{NAME}", time.time())):
        with pytest.raises(OptionError, match=r"AZURE_STORAGE_KEY holds is no key") as caught:
            act()
        assert key not in "".join(traceback.format_exception(caught.value))


def test_access_to_an_account_is_by_https_only(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_KEY", "a2V5")
    url = readable(f"https://acct.blob.core.windows.net/staging/{NAME}", time.time() + 60)
    assert "spr=https&" in url
    assert "sp=r&" in url


@pytest.mark.parametrize("host", ["acct.blob.core.windows.net", "acct.z21.blob.storage.azure.net"])
def test_every_form_of_host_has_its_account(monkeypatch, host):
    monkeypatch.setenv("AZURE_STORAGE_KEY", "a2V5")
    store = open_store(f"https://{host}/staging")
    assert store._client.account_name == "acct"


def through(store: AzureContainer, proxy: Proxy, wait_s: float) -> AzureContainer:
    _, _, rest = store.container.partition("://")[2].partition("/")
    address = f"http://127.0.0.1:{proxy.port}/{rest}"
    return replace(store, container=address, patience=Patience(wait_s))


@pytest.mark.parametrize("wait_s", [0.0, 20.0], ids=["ledger", "patient"])
def test_an_entry_whose_answer_was_lost_is_found_to_be_its_own(azurite, container, wait_s):
    with Proxy(int(azurite.address.split(":")[2].split("/")[0])) as proxy:
        log = Log(through(container, proxy, wait_s), "payments")
        proxy.swallow = b"PUT "
        if not wait_s:
            with pytest.raises(StorageUnavailableError):
                log.append(1, b"mine")
        assert log.append(1, b"mine")
        assert not log.append(1, b"another's")
        assert proxy.swallowed == 1, "no answer was lost: the test shows nothing"
    assert Log(container, "payments").read(0) == [(1, b"mine")]


def test_blocks_that_the_service_has_forgotten_are_not_waited_for(refusing):
    refusing.status, refusing.code, refusing.only = 400, "InvalidBlockList", "comp=blocklist"
    store = replace(at(refusing, Patience(wait_s=60.0)), block_bytes_max=4096)
    with store.upload(NAME) as upload:
        upload.write(bytes(4096 * 3))
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError, match="start again from the last checkpoint"):
            upload.seal()
        assert time.monotonic() - began < 10.0
    assert refusing.asked == 4, "three blocks, one list"


def test_a_link_that_stalls_longer_than_a_connection_may_take_sends_its_block(
    azurite, container, monkeypatch
):
    monkeypatch.setattr(azure_container, "CONNECT_S", 0.2)
    store = replace(container, block_bytes_max=8 * MB)
    data = os.urandom(8 * MB)
    azurite.pause()
    timer = threading.Timer(1.0, azurite.resume)
    timer.start()
    try:
        with store.upload(NAME) as upload:
            upload.write(data)
            upload.seal()
    finally:
        timer.join()
    assert container.read(NAME) == data


def test_an_abort_waits_for_no_block_that_is_under_way(azurite, container):
    azurite.pause()
    try:
        upload = container.upload(NAME)
        upload.write(bytes(4096 * 2))
        began = time.monotonic()
        upload.abort()
        assert time.monotonic() - began < 2.0
    finally:
        azurite.resume()
    threads = threading.enumerate
    wait_until(lambda: not any(t.name.startswith("upload") for t in threads()), 20, "uploads' end")
    assert container.stat(NAME) is None


def test_a_writer_has_no_more_than_its_blocks_in_memory(container):
    store = replace(container, block_bytes_max=MB)
    data = bytes(3 * MB + 7)
    with store.upload(NAME) as upload:
        upload.write(data)  # connections and imports are no part of it
        tracemalloc.start()
        try:
            for _ in range(10):
                upload.write(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        sealed = upload.seal()
    assert sealed.length == 11 * len(data)
    assert peak < (store.uploads_max + 1.5) * MB
