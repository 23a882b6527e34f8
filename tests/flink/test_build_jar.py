from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import pytest

from exactly_once_kusto.kusto.config import OPTIONS

HOOK = Path(__file__).parents[2] / "exactly_once_kusto" / "flink" / "jvm" / "build_jar.py"


@pytest.fixture
def hook(tmp_path, monkeypatch):
    """The build hook, with its jar elsewhere."""
    spec = importlib.util.spec_from_file_location("build_jar", HOOK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "JAR", tmp_path / "shim.jar")
    return module


@pytest.mark.slow
@pytest.mark.flink
def test_two_builds_give_the_same_bytes_and_the_second_compiles_nothing(hook, monkeypatch):
    first = hook.build().read_bytes()
    hook.JAR.unlink()
    assert hook.build().read_bytes() == first
    monkeypatch.setattr(hook, "_compile", lambda *_: pytest.fail("compiled again"))
    hook.build()


@pytest.mark.flink
def test_the_jar_lists_the_options_of_the_kusto_sink(hook):
    with zipfile.ZipFile(hook.build()) as jar:
        lines = jar.read("exactlyonce/flink/kusto-options.txt").decode().splitlines()
    assert set(lines) == {f"{'required' if o.required else 'optional'} {o.key}" for o in OPTIONS}


def test_a_missing_compiler_is_named_with_the_next_step(hook, monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SystemExit, match=r"no javac in JAVA_HOME .*JDK of version 11.*apt-get"):
        hook.build()


def test_missing_flink_jars_are_named_with_the_next_step(hook, monkeypatch):
    monkeypatch.setattr(hook, "FLINK_JARS", ("lib/no-such-*.jar",))
    monkeypatch.setattr(hook, "_javac", lambda: "javac")
    with pytest.raises(SystemExit, match=r"pip install apache-flink-libraries==2\.3\.0"):
        hook.build()
