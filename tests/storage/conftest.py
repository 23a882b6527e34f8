from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from exactly_once_kusto.emulator.azurite import KEY, Azurite
from exactly_once_kusto.storage import local_directory
from exactly_once_kusto.storage.azure_container import AzureContainer
from exactly_once_kusto.storage.local_directory import LocalDirectory
from exactly_once_kusto.storage.objects import ObjectStore

KINDS = ["local", "local-named-drafts", "azurite"]


@pytest.fixture
def container(azurite: Azurite) -> AzureContainer:
    """A new container, small blocks: a few kilobytes make several of them."""
    address = azurite.container(f"c{secrets.token_hex(8)}")
    return AzureContainer(address, "staging", KEY, block_bytes_max=4096)


@pytest.fixture(params=KINDS)
def store(request, tmp_path, monkeypatch) -> Iterator[ObjectStore]:
    """A store of every kind that the contract holds for."""
    if request.param == "azurite":
        yield request.getfixturevalue("container")
        return
    if request.param == "local-named-drafts":
        monkeypatch.setattr(local_directory, "O_TMPFILE", 0)
        local_directory._can_be_unnamed.cache_clear()
    yield LocalDirectory(tmp_path / "staging")
    local_directory._can_be_unnamed.cache_clear()
