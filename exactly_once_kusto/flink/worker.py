"""The process that a Flink task starts: `python -u -m exactly_once_kusto.flink.worker`.

Frames go through the descriptors that it was started with; they are moved away at once, so that
whatever is printed goes to standard error, which the task puts into the TaskManager's log.
It ends by itself as soon as the task's process is gone, whatever it is doing.
"""

from __future__ import annotations

import logging
import os
import platform
import select
import signal
import sys
import threading
import traceback
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from exactly_once_kusto.errors import ExactlyOnceError
from exactly_once_kusto.flink.column_types import check_types
from exactly_once_kusto.flink.frames import (
    BadFrame,
    Channel,
    Hello,
    Kind,
    ParentGone,
    pack_json,
    parse_hello,
)
from exactly_once_kusto.flink.heartbeat import Pulse
from exactly_once_kusto.flink.spec import load_sink

PARENT_POLL_MS = 1000
ERROR_CHARS_MAX = 100_000

log = logging.getLogger("exactly_once_kusto.flink.worker")  # not "__main__"


class _OneRecord(logging.Formatter):
    """`LEVEL logger message`; further lines begin with a tab, so the relay keeps them together."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", "\n\t")


def main() -> NoReturn:
    """Serve one task, then end the process: no thread of a sink can keep it alive."""
    parent = os.getppid()
    incoming, outgoing = os.dup(0), os.dup(1)
    _keep_descriptors_apart()
    _log_to_stderr()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the job's client
    threading.Thread(target=_watch_parent, args=(incoming, parent), daemon=True).start()
    channel = Channel(incoming, outgoing)
    pulse = Pulse(channel)
    pulse.start()
    code = 0
    try:
        _serve(channel, pulse)
    except ParentGone:
        log.debug("the task closed the pipe")
    except BaseException as error:  # whatever it is, the task must hear of it
        code = 1
        _report(channel, error)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


def _keep_descriptors_apart() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneRecord("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for chatty in ("azure.core.pipeline.policies.http_logging_policy", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_thread_death


def _log_thread_death(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        log.error("thread %s died", args.thread and args.thread.name, exc_info=args.exc_value)


def _watch_parent(incoming: int, parent: int) -> None:
    """End the process once the task's is gone.

    Not PDEATHSIG: that follows the thread that forked, and a JVM's threads come and go.
    """
    poll = select.poll()
    poll.register(incoming, 0)  # hang-ups are reported even where nothing is asked for
    while os.getppid() == parent and not poll.poll(PARENT_POLL_MS):
        pass
    os._exit(0)


def _serve(channel: Channel, pulse: Pulse) -> None:
    first = channel.receive()
    assert first is not None
    kind, payload = first
    if kind is not Kind.HELLO:
        raise BadFrame(f"bad frame: the first was {kind.name}, not HELLO")
    hello = parse_hello(payload)
    pulse.keep(hello.heartbeat_timeout_s)
    if hello.role != "check":
        # Before the sink is loaded: rows may be on their way while Python imports. What is wrong
        # with the sink reaches the task as an ERROR all the same.
        _ready(channel, hello)
    check_types(hello.columns)
    with pulse.call(f"loading {hello.factory!r}"):
        sink = load_sink(hello.factory, hello.options)
    if hello.role == "check":
        sink.check(hello.columns)
        channel.send(Kind.CHECKED)
        channel.receive()  # until the task closes the pipe
        return
    # Loaded by name: only the role that runs pays for its imports.
    pulse.limit(sink.settings.log_wait_s)
    loop = import_module(f"exactly_once_kusto.flink.{hello.role}_loop")
    getattr(loop, f"run_{hello.role}")(channel, hello, sink, pulse)


def _ready(channel: Channel, hello: Hello) -> None:
    channel.send(
        Kind.READY,
        pack_json({"pid": os.getpid(), "python": platform.python_version(), "version": _version()}),
    )
    log.info("%s %d/%d is ready", hello.role, hello.subtask + 1, hello.parallelism)


def _version() -> str:
    try:
        return version("exactly-once-kusto")
    except PackageNotFoundError:
        return "unpacked sources"


def _report(channel: Channel, error: BaseException) -> None:
    text = "".join(traceback.format_exception(error))
    restart = error.restartable if isinstance(error, ExactlyOnceError) else True
    message = str(error) if isinstance(error, ExactlyOnceError) else repr(error)
    body = {
        "message": (message or type(error).__name__)[:ERROR_CHARS_MAX],
        "traceback": text[-ERROR_CHARS_MAX:],
        "restart": restart,
    }
    try:
        channel.send(Kind.ERROR, pack_json(body))
    except (ParentGone, OSError):
        log.exception("the task could not be told", exc_info=error)


if __name__ == "__main__":
    main()
