"""Finds Flink and Java on this machine, without importing pyflink (which would start a gateway)."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from exactly_once_kusto.cluster.errors import InstallationError

JAVA_MAJOR_MIN = 11
_JAVA_ASK_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Java:
    """A Java virtual machine that Flink can run on."""

    executable: Path
    major: int


def find_flink_home(flink_home: str | Path | None = None) -> Path:
    """Returns a directory that has `bin/flink`, `lib/`, `opt/` and `conf/config.yaml`.

    Looked for in this order: the argument, the installed `pyflink` package (PyPI: apache-flink).

    Raises:
        InstallationError: There is none, or it lacks one of these.
    """
    if flink_home is None:
        spec = importlib.util.find_spec("pyflink")
        if spec is None or not spec.submodule_search_locations:
            raise InstallationError(
                "Flink is not installed: no package 'pyflink' in this interpreter. Next: "
                "pip install 'apache-flink>=2.3,<2.4', or pass flink_home=DIRECTORY"
            )
        flink_home = next(iter(spec.submodule_search_locations))
    home = Path(flink_home).resolve()
    needed = [home / "bin" / "flink", home / "lib", home / "conf" / "config.yaml"]
    missing = [str(path) for path in needed if not path.exists()]
    if missing:
        raise InstallationError(
            f"{home} is not a Flink distribution: {', '.join(missing)} missing. Next: "
            "pip install --force-reinstall apache-flink apache-flink-libraries, "
            "or pass another flink_home"
        )
    return home


def find_java(java_home: str | Path | None = None) -> Java:
    """Returns the `java` of `java_home`, of JAVA_HOME, or of PATH, in this order.

    Raises:
        InstallationError: There is none, it doesn't run, or it is older than Java 11.
    """
    home = java_home or os.environ.get("JAVA_HOME")
    source = "java_home" if java_home else "JAVA_HOME" if home else "PATH"
    next_step = (
        f"Next: install a Java runtime of version {JAVA_MAJOR_MIN} or newer (17 is well tried; "
        "on Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME to one"
    )
    if home:
        executable = Path(home) / "bin" / "java"
        if not executable.is_file():
            raise InstallationError(f"no Java: {source} is {home}, without bin/java. {next_step}")
    else:
        found = shutil.which("java")
        if found is None:
            raise InstallationError(
                f"no Java: JAVA_HOME is not set and PATH has no 'java'. {next_step}"
            )
        executable = Path(found)
    try:
        answer = subprocess.run(
            [executable, "-version"],
            capture_output=True,
            text=True,
            timeout=_JAVA_ASK_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InstallationError(f"{executable} -version failed: {error}. {next_step}") from error
    major = java_major(answer.stderr + answer.stdout)
    if major is None or major < JAVA_MAJOR_MIN:
        shown = "an unknown version" if major is None else f"Java {major}"
        raise InstallationError(f"{executable} (from {source}) is {shown}. {next_step}")
    return Java(executable, major)


def java_major(version_text: str) -> int | None:
    """Reads the feature release out of what `java -version` prints; None if there is none.

    `1.8.0_392` is 8, `17.0.15` is 17, `21-ea` is 21.
    """
    match = re.search(r'version "(?:1\.)?(\d+)', version_text)
    return int(match.group(1)) if match else None


def link_jars(directory: Path, jars: list[Path]) -> Path:
    """Makes `directory` hold one link per jar, so that it can serve as FLINK_LIB_DIR.

    Raises:
        InstallationError: A jar does not exist, or two have the same name.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.jar"):
        old.unlink()
    for jar in jars:
        if not jar.is_file():
            raise InstallationError(f"jar {jar} does not exist. Next: build it or mend the path")
        link = directory / jar.name
        if link.is_symlink():
            raise InstallationError(f"two jars are called {jar.name}. Next: give only one of them")
        link.symlink_to(jar.resolve())
    return directory


def class_path(lib: Path) -> str:
    """The class path that `constructFlinkClassPath` in Flink's bin/config.sh builds.

    All jars of `lib`, sorted, with flink-dist last.
    """
    jars = sorted(str(jar) for jar in lib.glob("*.jar"))
    is_dist = [Path(jar).name.startswith("flink-dist") for jar in jars]
    ordered = [jar for jar, dist in zip(jars, is_dist, strict=True) if not dist]
    ordered += [jar for jar, dist in zip(jars, is_dist, strict=True) if dist]
    return os.pathsep.join(ordered)
