"""What commands print: JSON as one line, progress as plain lines with the time since the start."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field


def print_json(value: object) -> None:
    """Print one JSON value on one line of standard output."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


@dataclass(slots=True)
class Progress:
    """Lines of progress: on standard output, or on standard error where that carries JSON."""

    to_stderr: bool = False
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Print a line with the seconds since the start."""
        stream = sys.stderr if self.to_stderr else sys.stdout
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", file=stream, flush=True)
