"""Where the JVM shim lies."""

from __future__ import annotations

from pathlib import Path

from exactly_once_kusto.errors import ConfigurationError


def jar_path() -> Path:
    """Return the shim's jar, for a cluster that has it in `lib/`. It needs nothing beside it.

    Raises:
        ConfigurationError: the package was not built; the message names the next step.
    """
    folder = Path(__file__).resolve().parent / "jvm"
    jar = folder / "exactly-once-kusto-flink.jar"
    if not jar.is_file():
        raise ConfigurationError(
            f"{jar} is missing: install a wheel of exactly-once-kusto, or run "
            f"`python {folder / 'build_jar.py'}` (it needs a JDK)"
        )
    return jar
