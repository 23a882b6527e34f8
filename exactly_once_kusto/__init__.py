"""Exactly-once writes from Apache Flink to Azure Data Explorer (Kusto), in Python.

The front door: names are loaded when they are first used (PEP 562), so that importing the
emulator or the cluster loads nothing of the sink.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exactly_once_kusto.errors import ExactlyOnceError as ExactlyOnceError
    from exactly_once_kusto.kusto.sink import KustoSink as KustoSink

__all__ = ["ExactlyOnceError", "KustoSink", "__version__"]

__version__ = "0.1.0"

_HOMES = {
    "ExactlyOnceError": "exactly_once_kusto.errors",
    "KustoSink": "exactly_once_kusto.kusto.sink",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
