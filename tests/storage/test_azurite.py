"""Azurite as a process: what it keeps, whom it follows, and what is said where it can't be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.emulator.azurite import KEY
from exactly_once_kusto.storage.azure_container import AzureContainer
from tests.process_state import is_gone

ROOT = str(Path(__file__).parents[2])


def run(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": ROOT}
    return subprocess.run(
        [sys.executable, *args, "-c", code], env=env, capture_output=True, text=True, timeout=60
    )


def test_what_was_acknowledged_is_there_after_a_pause_and_a_restart(azurite):
    address = azurite.container("kept")
    store = AzureContainer(address, "", KEY)
    assert store.create("a", b"before")
    azurite.pause()
    azurite.restart()
    assert azurite.container("kept") == address
    assert store.read("a") == b"before"


def test_it_ends_with_the_process_that_has_started_it(tmp_path):
    killed = run(
        "import os, signal\n"
        "from exactly_once_kusto.emulator.azurite import Azurite\n"
        f"print(Azurite({str(tmp_path)!r}).pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert killed.returncode == -9, killed.stderr
    wait_until(lambda: is_gone(int(killed.stdout)), 10, "Azurite's end after its owner's", 0.05)


def test_without_node_it_says_what_to_install(tmp_path):
    code = (
        "import sys\n"
        f"sys.prefix = {str(tmp_path)!r}\n"
        "from exactly_once_kusto.emulator import azurite\n"
        "azurite.install()\n"
    )
    refused = run(code, "-S")  # no site-packages
    assert "RuntimeError: Azurite needs Node: pip install" in refused.stderr
    assert not list(tmp_path.glob("share/azurite-*/"))


def test_without_a_registry_it_says_so_and_leaves_no_half(tmp_path):
    env_code = (
        "import os, sys\n"
        "os.environ['npm_config_registry'] = 'http://127.0.0.1:1/'\n"
        "os.environ['npm_config_fetch_retries'] = '0'\n"
        f"os.environ['npm_config_cache'] = {str(tmp_path / 'cache')!r}\n"
        f"sys.prefix = {str(tmp_path)!r}\n"
        "from exactly_once_kusto.emulator import azurite\n"
        "azurite.install()\n"
    )
    refused = run(env_code)
    assert "RuntimeError: npm can't install Azurite" in refused.stderr
    assert "ECONNREFUSED" in refused.stderr
    assert not [each for each in (tmp_path / "share").iterdir() if each.is_dir()]


@pytest.mark.parametrize("name", ["kept", "kept-2"])
def test_an_address_of_a_container_holds_no_key(azurite, name):
    assert KEY not in azurite.container(name)
