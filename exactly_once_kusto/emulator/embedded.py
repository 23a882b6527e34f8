"""The emulator in this process, on a thread of its own; `run` is the body of the command."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import uvicorn
from starlette.types import ASGIApp

from .access import BearerTokens
from .azurite import Azurite
from .clock import Clock
from .faults import Faults
from .principals import parse_principals
from .retention import Upkeep
from .server import Endpoints, PromptServer, Protocol, wait_until
from .service import Service

LOOPBACK = "127.0.0.1"
START_WAIT_S = 15.0
STOP_WAIT_S = 15.0


class KustoEmulator:
    """An emulator in this process, on a thread of its own.

    Between ``start`` and ``stop`` (or within ``with``) ``cluster`` answers Microsoft's SDK, and
    everything acknowledged is on disk under ``data``. It listens on 127.0.0.1 unless ``host`` says
    otherwise (an IPv4 address of this machine, or 0.0.0.0 for all of them). With ``principals``
    (token -> ``"aadapp=<id>;<tenant>"``, or an object with ``principal`` and ``roles``, some of
    AllDatabasesAdmin, AllDatabasesViewer, AllDatabasesMonitor) every request needs one of the
    tokens and the role that its command needs; without, everybody may do everything.

    Attributes:
        cluster: ``http://127.0.0.1:PORT``.
        staging: ``file://DATA/staging``, a directory that exists and that the emulator can read;
            with ``azurite`` the address of a container in an Azurite that starts and ends with it.
        faults: what is to go wrong; see ``Faults``.
        clock: the emulator's time, which can be turned; see ``Clock``.
    """

    def __init__(
        self,
        data: str | os.PathLike[str],
        databases: Sequence[str] = ("Demo",),
        port: int = 0,
        *,
        azurite: bool = False,
        host: str = LOOPBACK,
        principals: Mapping[str, object] | None = None,
    ) -> None:
        if not databases:
            raise ValueError("the emulator needs at least one database name")
        self._host = host
        self._principals = parse_principals((principals or {}).items())
        self.data = Path(data).absolute()
        self.databases = tuple(databases)
        self.faults = Faults()
        self.clock = Clock()
        self._port = port
        self._with_azurite = azurite
        self._azurite: Azurite | None = None
        self._staging = (self.data / "staging").as_uri()
        self._service: Service | None = None
        self._server: PromptServer | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None

    @property
    def cluster(self) -> str:
        """The address for a connection string."""
        # Where it listens on every address, this one can be reached from here.
        host = LOOPBACK if self._host in ("0.0.0.0", "") else self._host
        return f"http://{host}:{self._port}"

    @property
    def staging(self) -> str:
        """Where blobs may be staged, as a URI."""
        return self._staging

    @property
    def upkeep(self) -> Upkeep:
        """Retention and merges, while it runs. Raises RuntimeError when it doesn't."""
        if self._service is None:
            raise RuntimeError("the emulator doesn't run: start it first")
        return self._service.upkeep

    def start(self) -> KustoEmulator:
        """Opens the data and serves; returns when requests are answered. Raises RuntimeError."""
        try:
            if self._with_azurite:
                self._azurite = Azurite(self.data / "azurite")
                self._staging = self._azurite.container("staging")
            else:
                (self.data / "staging").mkdir(parents=True, exist_ok=True)
            self._service = Service(self.data, self.databases, self.faults, self.clock)
            if self._azurite is not None:
                # The storage clients take longer to load than all the rest.
                from .queue_resources import QueueResources

                self._service.queued.reports.connect(QueueResources(self._azurite))
            self._service.queued.start()
            self._socket = _listen(self._host, self._port)
            self._port = self._socket.getsockname()[1]
            application: ASGIApp = Endpoints(self._service).application()
            if self._principals:
                application = BearerTokens(application, self._principals)
            config = uvicorn.Config(
                application,
                http=Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_keep_alive=60,
                timeout_graceful_shutdown=5,
            )
            self._server = PromptServer(config)
            self._thread = threading.Thread(
                target=self._server.run, args=([self._socket],), name="kusto-emulator", daemon=True
            )
            self._thread.start()
            wait_until(lambda: self._server and self._server.started, START_WAIT_S, "no start")
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stops serving, lets running operations end (bounded) and closes the data. Idempotent."""
        if self._service is not None:
            self._service.queued.stop()
            self._service.stop()
        if self._server is not None and self._thread is not None:
            self._server.end()
            self._thread.join(STOP_WAIT_S)
        if self._socket is not None:
            self._socket.close()
        if self._service is not None:
            self._service.queued.close()
            self._service.close()
        if self._azurite is not None:
            self._azurite.stop()
            self._azurite = None
        self._service = self._server = self._thread = self._socket = None

    def __enter__(self) -> KustoEmulator:
        """Starts."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops."""
        self.stop()


def run(
    port: int = 0,
    data: str | os.PathLike[str] = "kusto-emulator",
    databases: Sequence[str] = ("Demo",),
    *,
    azurite: bool = False,
    host: str = LOOPBACK,
    principals: Mapping[str, object] | None = None,
) -> int:
    """Serves until SIGTERM or SIGINT; the exit code.

    The first line on stdout is one JSON object ``{"cluster", "databases", "staging", "pid"}``,
    written once requests are answered. Logs go to stderr.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # Microsoft's storage clients tell every request, and the queues are asked five times a second.
    logging.getLogger("azure").setLevel(logging.WARNING)
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    made = KustoEmulator(data, databases, port, azurite=azurite, host=host, principals=principals)
    made.faults = Faults(crashes=True)  # nothing but the emulator dies with this process
    with made as emulator:
        line = {
            "cluster": emulator.cluster,
            "databases": list(emulator.databases),
            "staging": emulator.staging,
            "pid": os.getpid(),
        }
        print(json.dumps(line), flush=True)
        # A wait without a limit would not let Python run the signal's handler everywhere.
        while not done.wait(0.5):
            pass
    return 0


def _listen(host: str, port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only where the protocol is named; without it every reply waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise RuntimeError(
            f"port {port} can't be had on {host}: {error.strerror}; choose another"
        ) from error
    return listener
