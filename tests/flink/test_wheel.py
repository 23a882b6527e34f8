"""A wheel brings the shim with it: who installs one needs no JDK."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JAR = "exactly_once_kusto/flink/jvm/exactly-once-kusto-flink.jar"
SOURCES = ("pyproject.toml", "README.md", "LICENSE", ".gitignore")  # the jar is in .gitignore

pytestmark = [pytest.mark.flink]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a copy of the sources, without the jar that a build here may have left."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        shutil.copy(ROOT / name, folder)
    left_out = shutil.ignore_patterns("*.jar", "*.tmp", "__pycache__")
    shutil.copytree(ROOT / "exactly_once_kusto", folder / "exactly_once_kusto", ignore=left_out)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    _run(build, folder, dict(os.environ))
    (made,) = (folder / "dist").glob("*.whl")
    return made


@pytest.fixture
def without_java() -> dict[str, str]:
    """An environment in which nobody finds a Java compiler."""
    path = str(Path(sys.executable).parent)
    if shutil.which("javac", path=path):
        pytest.skip(f"{path} has a javac beside the interpreter")
    unwanted = ("JAVA_HOME", "PYTHONPATH")
    return {**{k: v for k, v in os.environ.items() if k not in unwanted}, "PATH": path}


def test_a_wheel_holds_the_jar_and_nothing_to_build_it_from(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert JAR in names
    assert "exactly_once_kusto/py.typed" in names
    assert [n for n in names if n.endswith((".java", "build_jar.py", ".class"))] == []


def test_an_installed_wheel_has_its_jar_on_a_machine_without_a_jdk(wheel, without_java, tmp_path):
    place = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-index"]
    _run([*pip, "--no-deps", "--target", str(place), str(wheel)], tmp_path, without_java)
    program = "from exactly_once_kusto.flink import jar_path; print(jar_path())"
    said = _run([sys.executable, "-c", program], place, without_java)
    assert Path(said.strip()) == (place / JAR).resolve()
    with zipfile.ZipFile(place / JAR) as jar:
        assert "exactlyonce/flink/PythonSink.class" in jar.namelist()


def _run(command: list[str], folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout
