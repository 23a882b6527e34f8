"""The cluster's own directory: what is written there before a process starts."""

from __future__ import annotations

import os
import random
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exactly_once_kusto.cluster.configuration import HOST, read_flat, render
from exactly_once_kusto.cluster.errors import ClusterError
from exactly_once_kusto.cluster.installation import Java, link_jars

# Below the range that Linux gives to outgoing connections: a restarted JobManager finds its
# ports free.
_PORTS = range(16_000, 32_000)
_PORTS_TRIED_MAX = 200
_SHIPPED_LOGGING = ("log4j-console.properties", "log4j-cli.properties")


@dataclass(frozen=True)
class Layout:
    """Where a cluster's files are.

    `conf/`, `lib/` and `tmp/` are of one start; `checkpoints/`, `savepoints/` and `log/` stay.
    """

    directory: Path
    flink_home: Path

    @property
    def conf(self) -> Path:
        """FLINK_CONF_DIR of every process."""
        return self.directory / "conf"

    @property
    def lib(self) -> Path:
        """FLINK_LIB_DIR of every process: links to jars."""
        return self.directory / "lib"

    @property
    def log(self) -> Path:
        """Where every process writes its log."""
        return self.directory / "log"

    def shipped_configuration(self) -> dict[str, str]:
        """The pairs of the distribution's own conf/config.yaml."""
        return read_flat((self.flink_home / "conf" / "config.yaml").read_text())

    def write(self, config: Mapping[str, str], extra_jars: Sequence[Path]) -> None:
        """Makes all directories, the configuration, and the links of the class path."""
        for name in ("log", "tmp", "checkpoints", "savepoints"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        self.write_conf(self.conf, config)
        shipped = sorted((self.flink_home / "lib").glob("*.jar"))
        link_jars(self.lib, [*shipped, *extra_jars])

    def write_conf(self, directory: Path, config: Mapping[str, str]) -> None:
        """Makes `directory` a FLINK_CONF_DIR of this configuration."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.yaml").write_text(render(config))
        for name in _SHIPPED_LOGGING:
            shutil.copyfile(self.flink_home / "conf" / name, directory / name)

    def remove_temporary(self) -> None:
        """Removes what the processes left in `tmp/`."""
        shutil.rmtree(self.directory / "tmp", ignore_errors=True)

    def environment(self, java: Java, added: Mapping[str, str]) -> dict[str, str]:
        """What bin/config.sh exports. FLINK_ variables of the caller would bend it: left out."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("FLINK_")}
        env.pop("JVM_ARGS", None)
        return env | {
            "JAVA_HOME": str(java.executable.resolve().parent.parent),
            "FLINK_HOME": str(self.flink_home),
            "FLINK_BIN_DIR": str(self.flink_home / "bin"),
            "FLINK_CONF_DIR": str(self.conf),
            "FLINK_LIB_DIR": str(self.lib),
            "FLINK_OPT_DIR": str(self.flink_home / "opt"),
            "FLINK_PLUGINS_DIR": str(self.flink_home / "plugins"),
            "FLINK_LOG_DIR": str(self.log),
            "FLINK_PID_DIR": str(self.directory / "tmp"),
            "FLINK_IDENT_STRING": "local",
            "MAX_LOG_FILE_NUMBER": "3",
            **added,
        }


def free_ports(count: int) -> list[int]:
    """Returns `count` ports of 127.0.0.1 that nobody listened on a moment ago.

    Raises:
        ClusterError: There are not that many.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, _PORTS_TRIED_MAX):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise ClusterError(f"no {count} free ports on {HOST} in {_PORTS}. Next: end what holds them")
