"""The emulator as a process of its own, to be killed and started again."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from .azurite import install
from .control import RemoteClock, RemoteUpkeep, send
from .ending import end

START_WAIT_S = 30.0


class RemoteFaults:
    """``Faults`` of an emulator in another process, over ``/emulator/faults``."""

    def __init__(self, cluster: str) -> None:
        self._url = f"{cluster}/emulator/faults"

    def set(self, *rules: Mapping[str, Any]) -> None:
        """Replaces all rules. Raises ValueError for what is no rule."""
        self._send("PUT", list(rules))

    def add(self, *rules: Mapping[str, Any]) -> None:
        """Adds rules. Raises ValueError for what is no rule."""
        self._send("POST", list(rules))

    def clear(self) -> None:
        """Removes all rules."""
        self._send("DELETE")

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, with ``seen`` and ``fired``."""
        rules: list[dict[str, Any]] = self._send("GET")["rules"]
        return rules

    def fired(self) -> int:
        """How often the rules in force have fired together."""
        return int(self._send("GET")["fired"])

    def wait_fired(self, count: int = 1, timeout_s: float = 10.0) -> None:
        """Waits until the rules in force have fired ``count`` times. Raises TimeoutError."""
        until = time.monotonic() + timeout_s
        while self.fired() < count:
            if time.monotonic() > until:
                raise TimeoutError(f"faults did not fire {count} times in {timeout_s:g} s")
            time.sleep(0.02)

    def _send(self, method: str, body: object = None) -> dict[str, Any]:
        return send(self._url, method, body)


class EmulatorProcess:
    """An emulator in a session of its own; ``restart`` comes back on the same port and data.

    Attributes:
        cluster: ``http://127.0.0.1:PORT``.
        staging: ``file://DATA/staging``; with ``azurite`` a container in an Azurite that starts
            and ends with it; or what was given, if staging is to outlive a kill.
        pid: of the running process.
        faults: the same as ``KustoEmulator.faults``, over HTTP; empty again after a restart.
            Only here they may ``crash`` it.
        clock, upkeep: the same as of ``KustoEmulator``, over HTTP. A turn survives a restart.
    """

    def __init__(
        self,
        data: str | os.PathLike[str],
        databases: Sequence[str] = ("Demo",),
        port: int = 0,
        *,
        azurite: bool = False,
        staging: str | None = None,
        principals: str | os.PathLike[str] | None = None,
    ) -> None:
        self.data = Path(data).absolute()
        self.databases = tuple(databases)
        self.first_line: dict[str, Any] = {}
        self._azurite = azurite
        self._staging = staging
        self._principals = None if principals is None else Path(principals).absolute()
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def cluster(self) -> str:
        """The address for a connection string."""
        return str(self.first_line["cluster"])

    @property
    def staging(self) -> str:
        """Where blobs may be staged, as a URI."""
        return self._staging or str(self.first_line["staging"])

    @property
    def pid(self) -> int:
        """The process that serves."""
        return int(self.first_line["pid"])

    @property
    def faults(self) -> RemoteFaults:
        """What is to go wrong."""
        return RemoteFaults(self.cluster)

    @property
    def clock(self) -> RemoteClock:
        """Its time, which can be turned."""
        return RemoteClock(self.cluster)

    @property
    def upkeep(self) -> RemoteUpkeep:
        """Retention and merges."""
        return RemoteUpkeep(self.cluster)

    def wait_dead(self, timeout_s: float = 10.0) -> None:
        """Waits until a fault has killed it. Raises TimeoutError."""
        if self._process is not None:
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired as error:
                raise TimeoutError(f"the emulator lived on for {timeout_s:g} s") from error

    def start(self) -> None:
        """Starts and waits until it answers. Raises RuntimeError with what it wrote to stderr."""
        self.data.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "exactly_once_kusto.emulator"]
        command += ["--port", str(self._port), "--data", str(self.data)]
        if self._azurite:
            install()  # a first time takes longer than a start is waited for
            command.append("--azurite")
        if self._principals is not None:
            command += ["--principals", str(self._principals)]
        for name in self.databases:
            command += ["--database", name]
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        log = self.data / "emulator.log"
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,
            )
        line = _first_line(self._process, START_WAIT_S)
        if not line:
            self.kill()
            tail = log.read_text("utf-8", "replace")[-2000:]
            raise RuntimeError(f"the emulator didn't start; its log ends: {tail}")
        self.first_line = json.loads(line)
        self._port = int(self.cluster.rpartition(":")[2])

    def kill(self) -> None:
        """SIGKILL: what it acknowledged must survive, nothing else may. Returns once it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> int | None:
        """SIGTERM; its exit code (0 when it ended cleanly, None when nothing ran)."""
        return self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kills it if it runs, and starts it again on the same port and data."""
        self.kill()
        self.start()

    def __enter__(self) -> EmulatorProcess:
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

    def _end(self, number: signal.Signals) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        code = end(process, number)
        if process.stdout is not None:
            process.stdout.close()
        return code


def _first_line(process: subprocess.Popen[str], timeout_s: float) -> str:
    # A pipe can't be read with a limit in time, so a thread reads it.
    lines: queue.Queue[str] = queue.Queue()
    stdout = process.stdout
    assert stdout is not None
    threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
    try:
        return lines.get(timeout=timeout_s)
    except queue.Empty:
        return ""
