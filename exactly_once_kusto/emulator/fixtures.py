"""pytest fixtures: ``pytest_plugins = ["exactly_once_kusto.emulator.fixtures"]``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from . import KustoEmulator


@pytest.fixture
def kusto_emulator(tmp_path: Path) -> Iterator[KustoEmulator]:
    """An emulator with an empty database ``Demo``, on a port of its own, for one test."""
    # As a plugin this file is loaded by every pytest run, DuckDB only by a test that asks.
    from . import KustoEmulator

    with KustoEmulator(tmp_path / "kusto", databases=["Demo"]) as emulator:
        yield emulator
