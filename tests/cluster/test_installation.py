from __future__ import annotations

from pathlib import Path

import pytest

from exactly_once_kusto.cluster import installation
from exactly_once_kusto.cluster.errors import InstallationError


def java(home: Path, prints: str) -> Path:
    (home / "bin").mkdir(parents=True)
    program = home / "bin" / "java"
    program.write_text(f"#!/bin/sh\necho '{prints}' >&2\n")
    program.chmod(0o755)
    return home


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "21-ea" 2023-09-19', 21),
        ("no such thing", None),
    ],
)
def test_java_version_is_misread(text: str, major: int | None) -> None:
    assert installation.java_major(text) == major


def test_missing_java_does_not_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallationError) as caught:
        installation.find_java()
    assert str(caught.value) == (
        "no Java: JAVA_HOME is not set and PATH has no 'java'. Next: install a Java runtime of "
        "version 11 or newer (17 is well tried; on Debian: apt-get install "
        "openjdk-17-jre-headless), or set JAVA_HOME to one"
    )


def test_wrong_java_home_falls_back_to_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(InstallationError, match=f"JAVA_HOME is {tmp_path}, without bin/java"):
        installation.find_java()


def test_old_java_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match=r"is Java 8\. Next: install a Java runtime"):
        installation.find_java(java(tmp_path, 'java version "1.8.0_392"'))


def test_java_home_is_not_taken(tmp_path: Path) -> None:
    found = installation.find_java(java(tmp_path, 'openjdk version "11.0.2"'))
    assert found == installation.Java(tmp_path / "bin" / "java", 11)


def test_missing_flink_does_not_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(installation.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InstallationError, match="pip install 'apache-flink"):
        installation.find_flink_home()
    with pytest.raises(InstallationError, match=r"not a Flink distribution: .*config\.yaml"):
        installation.find_flink_home(tmp_path)


def test_missing_or_doubled_jar_is_seen_by_flink_only(tmp_path: Path) -> None:
    for name in ("b.jar", "flink-dist-2.jar", "z.jar", "x/b.jar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    jars = [tmp_path / name for name in ("b.jar", "flink-dist-2.jar", "z.jar")]
    lib = installation.link_jars(tmp_path / "lib", jars)
    names = [Path(jar).name for jar in installation.class_path(lib).split(":")]
    assert names == ["b.jar", "z.jar", "flink-dist-2.jar"]
    with pytest.raises(InstallationError, match=r"two jars are called b\.jar"):
        installation.link_jars(tmp_path / "lib", [jars[0], tmp_path / "x" / "b.jar"])
    with pytest.raises(InstallationError, match=r"gone\.jar does not exist"):
        installation.link_jars(tmp_path / "lib", [tmp_path / "gone.jar"])
