"""The translator's process, seen from the service: started, asked, ended in time, replaced."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import select
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import IO

from .catalog import Catalog
from .errors import KustoError, bad_request, internal_error, timed_out
from .translate_job import TOO_COMPLEX, Job, Translation
from .translator_process import Value, read_frame, write_frame

log = logging.getLogger(__name__)

TRANSLATE_MAX_S = 20.0
CACHED_MAX = 1000
CACHED_CHARACTERS_MAX = 16 * 1024 * 1024
STOP_WAIT_S = 5.0

_idle: list[TranslatorProcess] = []
_idle_lock = threading.Lock()


def borrow() -> TranslatorProcess:
    """A translator for one emulator, which gives it back.

    One that is given back is kept for the next emulator of this process: a start takes a second,
    and tests start many.
    """
    with _idle_lock:
        return _idle.pop() if _idle else TranslatorProcess()


def give_back(translator: TranslatorProcess) -> None:
    """Ends the use of a borrowed translator."""
    translator.forget()
    with _idle_lock:
        if not _idle:
            _idle.append(translator)
            return
    translator.close()


@atexit.register
def _end_idle() -> None:
    with _idle_lock:
        while _idle:
            _idle.pop().close()


class TranslatorProcess:
    """Translates from any thread, one query at a time; remembers what it translated.

    The process starts with the first query. One that dies or doesn't answer in time is replaced.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cache: OrderedDict[Job, Translation] = OrderedDict()
        self._cached_characters = 0
        self._cached_for: Catalog | None = None
        self._told: Catalog | None = None
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None

    def translate(self, job: Job, catalog: Catalog, deadline_s: float) -> Translation:
        """The translation of a job against a catalog.

        Raises:
            KustoError: the query is refused, takes too long, or took all the memory it may have.
        """
        wait_s = min(deadline_s, TRANSLATE_MAX_S)
        until = time.monotonic() + wait_s
        if not self._lock.acquire(timeout=deadline_s):
            raise timed_out(deadline_s)
        try:
            found = self._cached(job, catalog)
            if found is None:
                found = self._ask(job, catalog, until, wait_s)
                self._remember(job, found)
            return found
        finally:
            self._lock.release()

    @property
    def pid(self) -> int | None:
        """The process that translates at present; None before the first and after one ended."""
        process = self._process
        return None if process is None else process.pid

    def forget(self) -> None:
        """Drops what was translated, and the catalog that it was for."""
        if self._lock.acquire(timeout=STOP_WAIT_S):
            self._drop(None)
            self._lock.release()

    def close(self) -> None:
        """Ends the process, waiting (bounded) for a translation that runs."""
        acquired = self._lock.acquire(timeout=STOP_WAIT_S)
        try:
            self._closed = True
            self._end()
        finally:
            if acquired:
                self._lock.release()

    def _ask(self, job: Job, catalog: Catalog, until: float, wait_s: float) -> Translation:
        # Once more where the process is lost: it may have been killed by another's doing.
        for left in (1, 0):
            try:
                kind, value = self._exchange(job, catalog, until, wait_s)
                break
            except (OSError, EOFError) as error:
                log.warning("the translator's process ended in the middle of a query")
                self._end()
                if not left:
                    raise bad_request(TOO_COMPLEX) from error
        if kind == "error":
            raise _error(value)
        assert isinstance(value, Translation)
        return value

    def _exchange(
        self, job: Job, catalog: Catalog, until: float, wait_s: float
    ) -> tuple[str, Value]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        if self._told is not catalog:
            write_frame(process.stdin, ("use", catalog))
            self._told = catalog
        write_frame(process.stdin, ("job", job))
        if not _readable(process.stdout, until):
            self._end()
            raise timed_out(wait_s)
        kind, value = read_frame(process.stdout)
        return kind, value

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise internal_error("the emulator is stopping")
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            self._process = self._start()
        return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        self._told = None
        home = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
        return subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.translator_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        process.wait(STOP_WAIT_S)

    def _cached(self, job: Job, catalog: Catalog) -> Translation | None:
        if self._cached_for is not catalog:
            self._drop(catalog)
        try:
            found = self._cache.get(job)
        except TypeError:  # a parameter that is a list or a bag
            return None
        if found is not None:
            self._cache.move_to_end(job)
        return found

    def _drop(self, catalog: Catalog | None) -> None:
        self._cache.clear()
        self._cached_characters = 0
        self._cached_for = catalog

    def _remember(self, job: Job, translation: Translation) -> None:
        with contextlib.suppress(TypeError):
            self._cache[job] = translation
            self._cached_characters += len(job.text) + len(translation.sql)
        while len(self._cache) > CACHED_MAX or self._cached_characters > CACHED_CHARACTERS_MAX:
            old, gone = self._cache.popitem(last=False)
            self._cached_characters -= len(old.text) + len(gone.sql)


def _readable(stream: IO[bytes], until: float) -> bool:
    """Whether a reply began before the deadline; its frame is written in one piece."""
    ready, _, _ = select.select([stream], [], [], max(0.0, until - time.monotonic()))
    return bool(ready)


def _error(fields: dict[str, object]) -> KustoError:
    error = KustoError("", str(fields["message"]))
    vars(error).update(fields)
    return error
