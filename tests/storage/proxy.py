"""A TCP proxy in front of Azurite that can swallow an answer after the request was carried out."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class Proxy:
    """Forwards whole connections. While `swallow` is set, an answer to a request that has its text
    is read and not passed on; the connection ends, as when a network breaks."""

    def __init__(self, port: int) -> None:
        self.behind = port
        self.swallow: bytes | None = None
        self.swallowed = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                front, _ = self._listener.accept()
                try:
                    back = socket.create_connection(("127.0.0.1", self.behind), 10)
                except OSError:
                    front.close()
                    continue
                armed = threading.Event()
                for source, sink, up in ((front, back, True), (back, front, False)):
                    pump = (source, sink, up, armed)
                    threading.Thread(target=self._pump, args=pump, daemon=True).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, up: bool, armed: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if up and self.swallow is not None and self.swallow in data:
                    self.swallow = None
                    armed.set()
                if not up and armed.is_set():
                    self.swallowed += 1
                    break
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
