"""Makes the connectors known to a table environment."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from exactly_once_kusto.flink.jar import jar_path

if TYPE_CHECKING:
    from pyflink.table import TableEnvironment

CLIENT_PYTHON = "python.client.executable"
SHIM_CLASS = "exactlyonce.flink.PythonSink"


def register(table_env: TableEnvironment) -> None:
    """Make `'connector' = 'exactly-once-kusto'` and `'two-phase-python'` known to SQL.

    It is `ADD JAR` with the shim's jar: the jar travels with every job of this environment.
    Calling it twice is harmless; where the JVM has the shim in Flink's `lib/`, nothing is added.
    Options are checked by this interpreter; workers run under `python.executable`, or under the
    table's option `python`. In a local run PyFlink sets the former to this interpreter.

    Raises:
        ConfigurationError: the package holds no jar; the message names the next step.
    """
    config = table_env.get_config()
    if not config.get(CLIENT_PYTHON, ""):
        config.set(CLIENT_PYTHON, sys.executable)
    if not shim_in_lib():
        path = str(jar_path()).replace("'", "''")
        table_env.execute_sql(f"ADD JAR '{path}'")


def shim_in_lib() -> bool:
    """Say whether the client's JVM has the shim on its own class path."""
    from pyflink.java_gateway import get_gateway

    system = get_gateway().jvm.java.lang.ClassLoader.getSystemClassLoader()
    return system.getResource(SHIM_CLASS.replace(".", "/") + ".class") is not None
