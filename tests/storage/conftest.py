from __future__ import annotations

from collections.abc import Iterator

import pytest

from exactly_once_kusto.storage import local_directory
from exactly_once_kusto.storage.local_directory import LocalDirectory
from exactly_once_kusto.storage.objects import ObjectStore

KINDS = ["local", "local-named-drafts"]


@pytest.fixture(params=KINDS)
def store(request, tmp_path, monkeypatch) -> Iterator[ObjectStore]:
    """A store of every kind that the contract holds for; Azure Blob Storage is to join here."""
    if request.param == "local-named-drafts":
        monkeypatch.setattr(local_directory, "O_TMPFILE", 0)
        local_directory._can_be_unnamed.cache_clear()
    yield LocalDirectory(tmp_path / "staging")
    local_directory._can_be_unnamed.cache_clear()
