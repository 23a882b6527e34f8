"""Compiles the JVM shim into one jar: the hatch build hook, and a script.

    python exactly_once_kusto/flink/jvm/build_jar.py

It is compiled against Flink's own jars from `apache-flink-libraries` (or an installed PyFlink),
with the release flag of the oldest Java that Flink supports. The same sources give the same bytes.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script
    BuildHookInterface = object  # type: ignore[assignment, misc, unused-ignore]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
JAR = HERE / "exactly-once-kusto-flink.jar"
PACKAGE = "exactlyonce/flink"
RELEASE = "11"
FACTORIES = ("exactlyonce.flink.KustoSinkFactory", "exactlyonce.flink.TwoPhasePythonSinkFactory")
FLINK_JARS = (
    "lib/flink-dist-*.jar",
    "lib/flink-table-api-java-uber-*.jar",
    "lib/flink-table-runtime-*.jar",
)
DIGEST_ENTRY = "META-INF/sources.sha256"
EPOCH = (1980, 1, 1, 0, 0, 0)


class JarBuildHook(BuildHookInterface):  # type: ignore[type-arg, unused-ignore]
    """Puts the jar into wheels and editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before a wheel is put together; an sdist holds the sources only."""
        if self.target_name == "wheel":
            build()
            build_data["artifacts"].append(str(JAR.relative_to(ROOT)))


def build() -> Path:
    """Return the jar; compiles only if its sources or its options changed.

    Raises:
        SystemExit: no Flink jars or no Java compiler; the message names the next step.
    """
    sources = sorted(HERE.glob(f"{PACKAGE}/*.java"))
    resources = {
        "META-INF/services/org.apache.flink.table.factories.Factory": "\n".join(FACTORIES) + "\n",
        f"{PACKAGE}/kusto-options.txt": kusto_options(),
    }
    digest = _digest([Path(__file__), *sources], resources)
    if _digest_inside() == digest:
        return JAR
    with tempfile.TemporaryDirectory() as folder:
        _compile(sources, Path(folder))
        classes = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in Path(folder).rglob("*.class")
        }
    entries = {name: text.encode() for name, text in resources.items()}
    _write(entries | classes | {DIGEST_ENTRY: digest.encode()})
    return JAR


def kusto_options() -> str:
    """Return the DDL keys of the Kusto sink, a line each: `required KEY` or `optional KEY`."""
    sys.path.insert(0, str(ROOT))
    try:
        config = importlib.import_module("exactly_once_kusto.kusto.config")
    finally:
        sys.path.remove(str(ROOT))
    lines = [f"{'required' if o.required else 'optional'} {o.key}" for o in config.OPTIONS]
    return "\n".join(sorted(lines)) + "\n"


def _digest(files: list[Path], resources: dict[str, str]) -> str:
    digest = hashlib.sha256()
    for name, data in [(p.name, p.read_bytes()) for p in files] + [
        (name, text.encode()) for name, text in sorted(resources.items())
    ]:
        digest.update(f"{name} {len(data)}\n".encode() + data)
    return digest.hexdigest()


def _digest_inside() -> str | None:
    try:
        with zipfile.ZipFile(JAR) as jar:
            return jar.read(DIGEST_ENTRY).decode()
    except (OSError, KeyError, zipfile.BadZipFile):
        return None


def _compile(sources: list[Path], target: Path) -> None:
    command = [_javac(), "--release", RELEASE, "-Xlint:all", "-Werror", "-proc:none", "-encoding"]
    command += ["UTF-8", "-cp", os.pathsep.join(_class_path()), "-d", str(target)]
    done = subprocess.run(
        [*command, *map(str, sources)], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"the JVM shim does not compile:\n{done.stdout}{done.stderr}")


def _javac() -> str:
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("javac", path=os.path.join(home, "bin") if home else None)
    if found is None:
        where = f"JAVA_HOME ({home})" if home else "PATH"
        raise SystemExit(
            f"no javac in {where}: building exactly-once-kusto from its sources needs a JDK of "
            f"version {RELEASE} or later (Debian: apt-get install openjdk-17-jdk-headless); a "
            "built wheel needs none"
        )
    return found


def _class_path() -> list[str]:
    spec = importlib.util.find_spec("pyflink")
    places = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    for place in places:
        jars = [sorted(place.glob(pattern)) for pattern in FLINK_JARS]
        if all(jars):
            return [str(group[-1]) for group in jars]
    raise SystemExit(
        "Flink's jars were not found; pip install apache-flink-libraries==2.3.0 into "
        f"{sys.executable} (a build with isolation brings it by itself)"
    )


def _write(entries: dict[str, bytes]) -> None:
    """Write the jar in one step: sorted, without the time of day, manifest first."""
    ordered = [("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\n\r\n"), *sorted(entries.items())]
    draft = JAR.with_suffix(f".{os.getpid()}.tmp")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as jar:
        for name, data in ordered:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            jar.writestr(entry, data)
    draft.replace(JAR)


if __name__ == "__main__":
    print(build())
