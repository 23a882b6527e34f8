"""A local Kusto made of DuckDB: what the sink needs of the service, durable, for tests and demos.

It imports nothing of the rest of the package: it judges the sink, so it must not share its
mistakes. `KustoEmulator` runs it in this process, `process.EmulatorProcess` as a process to be
killed, and `fixtures` offers pytest the fixture `kusto_emulator`. Names are loaded when they are
first used: the fixture's module is imported by every pytest run of whoever installs this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .embedded import KustoEmulator as KustoEmulator
    from .embedded import run as run
    from .faults import Faults as Faults
    from .faults import Rule as Rule

__all__ = ["Faults", "KustoEmulator", "Rule", "run"]

_HOMES = {"Faults": "faults", "KustoEmulator": "embedded", "Rule": "faults", "run": "embedded"}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
