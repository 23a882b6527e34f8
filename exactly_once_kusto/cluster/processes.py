"""Starts processes that never outlive their owner, and ends them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from exactly_once_kusto.cluster.errors import ProcessError
from exactly_once_kusto.cluster.waiting import wait_until

LOG_CHARS_MAX = 20_000
_END_TIMEOUT_S = 10.0
# Writes its own number to the guard, then becomes the program: there is no moment in which a
# process runs that the guard has not been told of, and the number is the program's own.
_LAUNCH = 'echo "+$$" >&0 && exec </dev/null && exec "$@"'


class FlinkProcess:
    """One process of the cluster, the leader of its own session and process group.

    Attributes:
        name: Unique in the cluster; the names of its log files begin with it.
        log_path: Its log4j log (a client's: what it wrote to stdout and stderr).
        output_path: Its stdout and stderr.
    """

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], log_path: Path, output_path: Path
    ) -> None:
        self.name = name
        self.log_path = log_path
        self.output_path = output_path
        self._process = process
        self._group_ended = False

    @property
    def pid(self) -> int:
        """The program's own process id, which is its process group's too."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs; a paused process is alive."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number if a signal ended it."""
        return self._process.poll()

    def children(self) -> list[int]:
        """The ids of the processes it started that still run (the Python workers), from /proc."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    # `pid (name) state parent ...`; the name may hold spaces and brackets.
                    after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(after_name[1]) == self.pid and after_name[0] != "Z":
                        found.append(int(entry.name))
        return sorted(found)

    def resident_bytes(self) -> int:
        """The memory it occupies now (RSS), in bytes; 0 when it has ended."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except OSError:
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def log_text(self, chars_max: int = LOG_CHARS_MAX) -> str:
        """The end of its output and of its log, at most `chars_max` characters of each."""
        paths = dict.fromkeys([self.output_path, self.log_path])
        return "\n".join(text for path in paths if (text := tail(path, chars_max)))

    def send(self, number: int, group: bool = False) -> None:
        """Sends a signal to the program, or to all of its group; none if that has ended."""
        with contextlib.suppress(ProcessLookupError):
            if group and not self.group_ended():
                os.killpg(self.pid, number)
            elif not group and self.alive:
                os.kill(self.pid, number)

    def group_ended(self) -> bool:
        """Whether the program and all that it started have ended. Once true, always true.

        The answer is kept, because the number may be given to others afterwards.
        """
        if not self._group_ended and not self.alive:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                self._group_ended = True
            except PermissionError:
                pass
        return self._group_ended

    def wait_ended(self, timeout_s: float = _END_TIMEOUT_S) -> None:
        """Returns when the program has ended; raises TimeoutError otherwise."""
        wait_until(lambda: not self.alive, timeout_s, f"the end of {self.name}", 0.02)


def tail(path: Path, chars_max: int = LOG_CHARS_MAX) -> str:
    """The last characters of a text file; empty if there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - chars_max))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


class Launcher:
    """Starts processes under one guard; when the owner dies, of whatever, all of them end."""

    def __init__(self) -> None:
        self._started: list[FlinkProcess] = []
        # Those that the guard still holds to be running.
        self._named: list[FlinkProcess] = []
        read, self._pipe = os.pipe()
        guard = Path(__file__).with_name("guard.py")
        try:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", guard, str(os.getpid())],
                stdin=read,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(read)

    @property
    def guard_pid(self) -> int:
        """The guard's process id."""
        return self._guard.pid

    def start(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        output_path: Path,
        log_path: Path | None = None,
        directory: Path,
        kind: type[FlinkProcess] = FlinkProcess,
    ) -> FlinkProcess:
        """Starts `command` with exactly `env`, in `directory`, its output in `output_path`.

        Raises:
            ProcessError: The guard is gone: nothing would end the process.
        """
        if self._guard.poll() is not None:
            raise ProcessError(
                f"the guard (process {self._guard.pid}) was ended by somebody; {name} is not "
                "started without it. Next: stop the cluster and start another"
            )
        self._forget_ended()
        output_path.parent.mkdir(parents=True, exist_ok=True)
        with output_path.open("ab") as output:
            popen = subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCH, "sh", *command],
                stdin=self._pipe,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=directory,
                start_new_session=True,
            )
        process = kind(name, popen, log_path or output_path, output_path)
        self._started.append(process)
        self._named.append(process)
        return process

    @property
    def started(self) -> list[FlinkProcess]:
        """Everything that was ever started here, dead or alive, oldest first."""
        return list(self._started)

    def end(self, process: FlinkProcess) -> None:
        """Kills the process and all that it started, and waits until it has ended."""
        process.send(signal.SIGKILL, group=True)
        wait_until(process.group_ended, _END_TIMEOUT_S, f"the end of {process.name}", 0.02)
        self._forget_ended()

    def _forget_ended(self) -> None:
        for process in [process for process in self._named if process.group_ended()]:
            with contextlib.suppress(OSError):
                os.write(self._pipe, b"-%d\n" % process.pid)
            self._named.remove(process)

    def close(self) -> None:
        """Ends every process and the guard. May be called again."""
        for process in self._started:
            process.send(signal.SIGKILL, group=True)
        for process in self._started:
            process.wait_ended()
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        try:
            self._guard.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait(_END_TIMEOUT_S)
