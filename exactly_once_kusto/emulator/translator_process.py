"""``python -m exactly_once_kusto.emulator.translator_process``: translates until its input ends.

A process of its own, with a limit on its memory, so that a query that blows up takes nothing else
with it. Frames on stdin and stdout are pickles after their length in four bytes: both ends are this
package, and nobody else holds the pipes. Nothing but frames is ever written to stdout.
"""

from __future__ import annotations

import os
import pickle
import resource
import struct
import sys
import threading
import time
from typing import IO, Any

MEMORY_BYTES_MAX = 2 * 1024**3  # of address space; DuckDB and ANTLR alone map 0.7 GB
RECURSION_MAX = 5000
ORPHAN_LOOK_S = 1.0
LENGTH = struct.Struct(">I")

Value = Any
"""What a frame holds."""


def write_frame(stream: IO[bytes], value: Value) -> None:
    """Writes one value."""
    data = pickle.dumps(value)
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def read_frame(stream: IO[bytes]) -> Value:
    """The next value. Raises EOFError at the end of the stream."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (length,) = LENGTH.unpack(head)
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)


def main() -> None:
    """Serves one frame after another: a catalog to use, or a job to translate."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    sys.setrecursionlimit(RECURSION_MAX)
    # What any library prints goes to stderr: the descriptor of the frames is kept apart.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()

    from .errors import KustoError
    from .translate import Translator

    translator = Translator()
    while True:
        try:
            kind, value = read_frame(sys.stdin.buffer)
        except EOFError:
            return
        if kind == "use":
            translator.use(value)
            continue
        reply: tuple[str, Value]
        try:
            reply = ("translation", translator.translate(value))
        except KustoError as error:
            reply = ("error", vars(error))
        write_frame(output, reply)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_LOOK_S)
    os._exit(1)


if __name__ == "__main__":
    main()
