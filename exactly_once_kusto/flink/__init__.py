"""The binding to Apache Flink: attach to a DataStream, register for SQL, the worker process.

Names are loaded when they are first used: a worker must not import PyFlink.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exactly_once_kusto.flink.datastream import attach as attach
    from exactly_once_kusto.flink.jar import jar_path as jar_path
    from exactly_once_kusto.flink.sql import register as register

__all__ = ["attach", "jar_path", "register"]

_HOMES = {
    "attach": "exactly_once_kusto.flink.datastream",
    "jar_path": "exactly_once_kusto.flink.jar",
    "register": "exactly_once_kusto.flink.sql",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
