"""The cluster's configuration, as plain key-value pairs: no file is opened here.

Keys and meanings: Flink's documentation, 'Deployment > Configuration'. Sizes are whole mebibytes
(`384m`), because the JVM's own flags are derived from them here, as
`org.apache.flink.runtime.util.bash.BashJavaUtils` does for Flink's shell scripts (about a second
and another JVM for each process).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

HOST = "127.0.0.1"

# What BashJavaUtils computes from a total size; here the parts are given and nothing is derived.
_DERIVED_SIZES = (
    "jobmanager.memory.process.size",
    "jobmanager.memory.flink.size",
    "taskmanager.memory.process.size",
    "taskmanager.memory.flink.size",
)
_MEMORY = {
    "jobmanager.memory.heap.size": "384m",
    "jobmanager.memory.off-heap.size": "128m",
    "jobmanager.memory.jvm-metaspace.size": "256m",
    "jobmanager.memory.jvm-overhead.min": "192m",
    "jobmanager.memory.jvm-overhead.max": "192m",
    "taskmanager.memory.framework.heap.size": "96m",
    "taskmanager.memory.task.heap.size": "288m",
    "taskmanager.memory.framework.off-heap.size": "64m",
    # Arrow's buffers are direct memory of the task.
    "taskmanager.memory.task.off-heap.size": "256m",
    "taskmanager.memory.network.min": "64m",
    "taskmanager.memory.network.max": "64m",
    # Sorts of batch jobs and Python functions need some; only what is touched becomes resident.
    "taskmanager.memory.managed.size": "96m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "128m",
    "taskmanager.memory.jvm-overhead.max": "128m",
}
_BEHAVIOUR = {
    # A dead TaskManager refuses connections: two heartbeats that can't be sent are enough. A
    # paused one is only silent, and is given up after the timeout.
    "heartbeat.interval": "1000",
    "heartbeat.timeout": "8000",
    "heartbeat.rpc-failure-threshold": "2",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "20",
    "restart-strategy.fixed-delay.delay": "500 ms",
    # After its start-up time (five minutes) a standalone cluster fails requests for slots at once:
    # where all TaskManagers were killed, the restarts would be used up before the next has come.
    "resourcemanager.standalone.start-up-time": "1 d",
    "taskmanager.load-balance.mode": "SLOTS",
    "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    "state.backend.type": "hashmap",
    # The REST API shows a graph that may be this old; the default of three seconds would tell a
    # test that a killed TaskManager still runs its task.
    "web.refresh-interval": "200",
    # The default of ten seconds makes every test that reads a metric wait as long.
    "metrics.fetcher.update-interval": "1000",
    "env.java.opts.jobmanager": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
    "env.java.opts.taskmanager": "-XX:+UseSerialGC",
    "env.java.opts.client": "-Xmx768m -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
}


def cluster_configuration(
    shipped: Mapping[str, str],
    directory: Path,
    *,
    rpc_port: int,
    rest_port: int,
    slots: int,
    overrides: Mapping[str, object],
) -> dict[str, str]:
    """Returns the whole configuration of a cluster that lives under `directory`.

    The shipped configuration comes first (its `env.java.opts.all` opens the packages without which
    Flink doesn't start on Java 17), then what makes a small local cluster, then `overrides`.

    Raises:
        ValueError: `overrides` gives a total memory size; the parts have to be given.
    """
    totals = [key for key in _DERIVED_SIZES if key in overrides]
    if totals:
        raise ValueError(
            f"{', '.join(totals)}: this cluster derives no parts from a total. Next: set the "
            f"parts, of which the defaults are {_MEMORY}"
        )
    configuration = {key: value for key, value in shipped.items() if key not in _DERIVED_SIZES}
    configuration |= _MEMORY | _BEHAVIOUR | _places(directory) | _addresses(rpc_port, rest_port)
    configuration |= {
        "taskmanager.numberOfTaskSlots": str(slots),
        # TaskExecutorResourceUtils wants it said; it limits nothing.
        "taskmanager.cpu.cores": f"{slots}.0",
    }
    for key, value in overrides.items():
        configuration[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return configuration


def _places(directory: Path) -> dict[str, str]:
    return {
        "io.tmp.dirs": str(directory / "tmp"),
        "execution.checkpointing.dir": (directory / "checkpoints").as_uri(),
        "execution.checkpointing.savepoint-dir": (directory / "savepoints").as_uri(),
    }


def _addresses(rpc_port: int, rest_port: int) -> dict[str, str]:
    return {
        "jobmanager.rpc.address": HOST,
        "jobmanager.rpc.port": str(rpc_port),
        "jobmanager.bind-host": HOST,
        "taskmanager.host": HOST,
        "taskmanager.bind-host": HOST,
        "rest.address": HOST,
        "rest.bind-address": HOST,
        "rest.port": str(rest_port),
        "rest.bind-port": str(rest_port),
        # A plain `python job.py` with this configuration submits here, and doesn't stay.
        "execution.target": "remote",
        "execution.attached": "false",
    }


def read_flat(text: str) -> dict[str, str]:
    """Reads the subset of YAML that Flink's shipped `conf/config.yaml` is written in.

    Nested maps of scalars become dotted keys; comments and empty maps are left out.

    Raises:
        ValueError: A line is neither `key:` nor `key: value` (a list, say).
    """
    flat: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(r"( *)([\w.-]+):(?: +(.*))?", line.rstrip())
        if match is None:
            raise ValueError(
                f"line {number} of the shipped configuration is not understood: {line}"
            )
        indent, key, value = len(match[1]), match[2], match[3]
        path = [(depth, name) for depth, name in path if depth < indent] + [(indent, key)]
        if value:
            flat[".".join(name for _, name in path)] = _scalar(value)
    return flat


def _scalar(value: str) -> str:
    if value[0] in "'\"" and value[-1] == value[0] and len(value) > 1:
        return value[1:-1]
    return re.sub(r"\s+#.*", "", value)


def render(configuration: Mapping[str, str]) -> str:
    """Writes the pairs as YAML that both Flink and PyFlink read: one quoted scalar a line."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in sorted(configuration.items()))


def job_manager_flags(configuration: Mapping[str, str]) -> list[str]:
    """The JVM's memory flags, as BashJavaUtils GET_JM_RESOURCE_PARAMS gives them.

    Heap starts small here: a local cluster should take no more than it needs.
    """
    part = "jobmanager.memory."
    return [
        f"-Xmx{_mebibytes(configuration, part + 'heap.size')}m",
        f"-XX:MaxMetaspaceSize={_mebibytes(configuration, part + 'jvm-metaspace.size')}m",
    ]


def task_manager_flags(configuration: Mapping[str, str]) -> list[str]:
    """The JVM's memory flags, as BashJavaUtils GET_TM_RESOURCE_PARAMS gives them."""
    part = "taskmanager.memory."
    heap = _mebibytes(configuration, part + "framework.heap.size", part + "task.heap.size")
    direct = _mebibytes(
        configuration,
        part + "framework.off-heap.size",
        part + "task.off-heap.size",
        part + "network.max",
    )
    return [
        f"-Xmx{heap}m",
        f"-XX:MaxDirectMemorySize={direct}m",
        f"-XX:MaxMetaspaceSize={_mebibytes(configuration, part + 'jvm-metaspace.size')}m",
    ]


def _mebibytes(configuration: Mapping[str, str], *keys: str) -> int:
    total = 0
    for key in keys:
        match = re.fullmatch(r"(\d+)\s*(m|mb|g|gb)", configuration[key].strip().lower())
        if match is None:
            raise ValueError(f"{key}: {configuration[key]!r} is not a size in m or g, like '256m'")
        total += int(match[1]) * (1024 if match[2].startswith("g") else 1)
    return total


def java_options(configuration: Mapping[str, str], role: str, java_major: int) -> list[str]:
    """The options that bin/config.sh puts in FLINK_ENV_JAVA_OPTS, then the role's own.

    Args:
        configuration: The cluster's.
        role: `jobmanager`, `taskmanager` or `client`.
        java_major: Above 17 the security manager has to be allowed, as in config.sh.
    """
    keys = ["env.java.default-opts.all", "env.java.opts.all"]
    keys += [f"env.java.default-opts.{role}", f"env.java.opts.{role}"]
    words = ["-XX:+IgnoreUnrecognizedVMOptions"]
    for key in keys:
        words += configuration.get(key, "").strip('"').split()
    return words + (["-Djava.security.manager=allow"] if java_major > 17 else [])
