"""One request, one answer: what each way of failing proves, tried on real sockets."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from exactly_once_kusto.errors import TargetError, TargetUnavailableError
from exactly_once_kusto.kusto import client as module
from exactly_once_kusto.kusto.client import Client, redact
from exactly_once_kusto.protocol.outcome import Lost, NotSent, Refused

SUBMIT = ".ingest async into table ['T'] (h'https://a/b?sig=SECRET') with (format='parquet')"


class Peer:
    """A socket that says what it is told to, and counts the requests."""

    def __init__(self, reply: bytes | None) -> None:
        self.reply = reply
        self.requests = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536)
        self.requests += 1
        if self.reply is not None:
            connection.sendall(self.reply)

    def close(self) -> None:
        # A connection to itself ends accept() for sure.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@contextmanager
def peer(reply: bytes | None) -> Iterator[tuple[Peer, Client]]:
    made = Peer(reply)
    client = Client(made.address)
    try:
        yield made, client
    finally:
        client.close()
        made.close()


def http(status: int, body: object, kind: str = "application/json") -> bytes:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + data


def kusto_error(permanent: bool | None, text: str = "no such thing") -> dict:
    error = {"code": "BadRequest_X", "message": "Bad", "@type": "Kusto.X", "@message": text}
    return {"error": error if permanent is None else {**error, "@permanent": permanent}}


def submit(reply: bytes | None):
    with peer(reply) as (made, client):
        answer = client.submit("Demo", SUBMIT)
        assert made.requests == 1, "an attempt is one request"
    assert "SECRET" not in repr(answer)
    return answer


def read(reply: bytes | None):
    with peer(reply) as (_, client):
        return client.read("Demo", ".show table ['T'] schema as json")


def test_a_refused_connection_was_never_sent():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, but it does not listen
        client = Client(f"http://127.0.0.1:{bound.getsockname()[1]}")
        assert isinstance(client.submit("Demo", SUBMIT), NotSent)
        with pytest.raises(TargetUnavailableError, match=r"did not answer '\.show operations'"):
            client.read("Demo", ".show operations")
        client.close()


def test_an_unknown_host_was_never_sent():
    client = Client("http://no-such-host.invalid:8080")
    answer = client.submit("Demo", SUBMIT)
    client.close()
    assert isinstance(answer, NotSent)
    assert "no-such-host.invalid" in answer.message


def test_a_connection_that_is_not_taken_in_time_was_never_sent():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # A backlog of none takes one connection; the next waits for ever.
        others = [socket.socket() for _ in range(4)]
        for other in others:
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        address = f"http://127.0.0.1:{full.getsockname()[1]}"
        client = Client(address, connect_timeout_s=0.2)
        answer = client.submit("Demo", SUBMIT)
        client.close()
        for other in others:
            other.close()
    assert isinstance(answer, NotSent), answer


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{",
        b"not http at all\r\n\r\n",
        http(200, {"Tables": []}),
        http(200, "<html>", "text/html"),
        http(200, ""),
        http(302, ""),
        http(500, kusto_error(False)),
        http(503, "Service Unavailable", "text/plain"),
        http(502, ""),
        http(504, kusto_error(True)),
        http(404, "not found", "text/plain"),
        http(400, "<html>a gateway</html>", "text/html"),
        http(400, {"error": "what"}),
    ],
    ids=[
        *("closed", "cut", "garbage", "no table", "html", "empty", "redirect", "500", "503"),
        *("502", "504", "404", "400 html", "400 other"),
    ],
)
def test_an_answer_that_proves_nothing_is_lost_and_not_asked_twice(reply):
    assert isinstance(submit(reply), Lost)
    with pytest.raises(TargetUnavailableError, match=r"did not answer '.show table'"):
        read(reply)


def test_an_answer_that_never_comes_is_lost():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = Client(address, answer_timeout_s=0.2)
        answer = client.submit("Demo", SUBMIT)
        client.close()
    assert isinstance(answer, Lost)


@pytest.mark.parametrize(
    ("reply", "permanent"),
    [
        (http(400, kusto_error(True)), True),
        (http(400, kusto_error(False)), False),
        (http(400, kusto_error(None)), False),
        (http(403, kusto_error(True)), True),
        (http(429, kusto_error(False)), False),
        (http(429, "slow down", "text/plain"), False),
        (http(401, ""), True),
    ],
    ids=["permanent", "transient", "unsaid", "forbidden", "429", "429 gateway", "401"],
)
def test_an_answer_of_kusto_says_that_nothing_was_started(reply, permanent):
    answer = submit(reply)
    assert isinstance(answer, Refused)
    assert answer.permanent is permanent
    with pytest.raises(TargetError if permanent else TargetUnavailableError):
        read(reply)


def test_kusto_s_own_text_comes_through_without_a_token():
    error = kusto_error(True, "Blob 'https://a.blob.core.windows.net/c/x?sig=SECRET' is gone")
    answer = submit(http(400, error))
    assert answer.message == (
        "BadRequest_X: Blob 'https://a.blob.core.windows.net/c/x?...' is gone"
    )
    with pytest.raises(TargetError, match=r"refuses '.show table': BadRequest_X: Blob"):
        read(http(400, error))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "at https://a/b;SECRET' and file:///x?SECRET z",
            "at https://a/b?...' and file:///x?... z",
        ),
        ("source h'https://a/b?sig=SECRET', line 1", "source h'***', line 1"),
        (r"""h"SEC\"RET" and h'it\'s SECRET'""", "h'***' and h'***'"),
        ("h'https://a/b?sig=SECRET cut", "h'https://a/b?... cut"),
        ("token sv=2024&sig=SECRET&sp=r, AccountKey=SECRET;", "token sv=2024&sig=***&sp=r, "),
        ("a path with 'quotes' in it", "a path with 'quotes' in it"),
    ],
)
def test_a_text_that_is_shown_has_no_secret(text, told):
    assert redact(text).startswith(told)
    assert "SECRET" not in redact(text)


def test_a_long_text_is_cut():
    assert len(redact("x" * 10_000)) == module.TEXT_LENGTH_MAX + 3
