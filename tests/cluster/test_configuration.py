from __future__ import annotations

import json
from pathlib import Path

import pytest

from exactly_once_kusto.cluster import configuration as settings

SHIPPED = """
# a comment
env:
  java:
    opts:
      all: --add-opens=java.base/java.lang=ALL-UNNAMED --add-exports=java.rmi/sun.rmi=ALL-UNNAMED
jobmanager:
  rpc:
    address: localhost   # where
    port: 6123
  memory:
    process:
      size: 1600m
  execution:
    failover-strategy: region
rest:
  address: 'localhost'
  # port: 8081
"""


def built(**overrides: object) -> dict[str, str]:
    return settings.cluster_configuration(
        settings.read_flat(SHIPPED),
        Path("/c"),
        rpc_port=1,
        rest_port=2,
        slots=3,
        overrides={key.replace("__", "."): value for key, value in overrides.items()},
    )


def test_nested_shipped_file_loses_a_key() -> None:
    assert settings.read_flat(SHIPPED) == {
        "env.java.opts.all": "--add-opens=java.base/java.lang=ALL-UNNAMED "
        "--add-exports=java.rmi/sun.rmi=ALL-UNNAMED",
        "jobmanager.rpc.address": "localhost",
        "jobmanager.rpc.port": "6123",
        "jobmanager.memory.process.size": "1600m",
        "jobmanager.execution.failover-strategy": "region",
        "rest.address": "localhost",
    }


def test_a_list_in_the_shipped_file_is_skipped_in_silence() -> None:
    with pytest.raises(ValueError, match="line 2"):
        settings.read_flat("a:\n  - b\n")


def test_java_17_options_are_lost() -> None:
    assert built()["env.java.opts.all"].startswith("--add-opens")
    options = settings.java_options(built(), "taskmanager", 17)
    assert "--add-exports=java.rmi/sun.rmi=ALL-UNNAMED" in options
    assert "-Djava.security.manager=allow" not in options
    assert "-Djava.security.manager=allow" in settings.java_options(built(), "taskmanager", 21)


def test_shipped_total_memory_contradicts_our_parts() -> None:
    assert not [key for key in built() if key.endswith(("process.size", "flink.size"))]


def test_total_memory_in_overrides_is_ignored_in_silence() -> None:
    with pytest.raises(ValueError, match="set the parts"):
        built(taskmanager__memory__process__size="2g")


def test_override_does_not_win() -> None:
    overridden = built(restart_never=True, heartbeat__interval=5, jobmanager__rpc__address="h")
    assert overridden["restart_never"] == "true"
    assert overridden["heartbeat.interval"] == "5"
    assert overridden["jobmanager.rpc.address"] == "h"


def test_flags_do_not_follow_the_configured_parts() -> None:
    config = built(taskmanager__memory__task__heap__size="1 GB")
    assert settings.task_manager_flags(config) == [
        "-Xmx1120m",
        "-XX:MaxDirectMemorySize=384m",
        "-XX:MaxMetaspaceSize=256m",
    ]
    assert settings.job_manager_flags(config) == ["-Xmx384m", "-XX:MaxMetaspaceSize=256m"]


def test_size_in_another_unit_is_guessed() -> None:
    with pytest.raises(ValueError, match=r"task\.heap\.size: '5k'"):
        settings.task_manager_flags(built(taskmanager__memory__task__heap__size="5k"))


def test_value_with_yaml_signs_is_read_back_differently() -> None:
    text = settings.render({"b": 'x: "y" # z', "a": "1"})
    lines = text.splitlines()
    assert lines[0] == 'a: "1"'
    assert json.loads(lines[1].removeprefix("b: ")) == 'x: "y" # z'
