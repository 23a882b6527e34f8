"""One cluster of real processes for all tests of the road; a Kusto emulator for each of them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from exactly_once_kusto.cluster import FlinkCluster
from exactly_once_kusto.emulator.azurite import Azurite
from exactly_once_kusto.emulator.process import EmulatorProcess

from .road import Road

TELLING = ("WARN", "ERROR", "exactlyonce", "exactly_once_kusto", "Exception")


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    directory = tmp_path_factory.mktemp("flink")
    with FlinkCluster(directory, task_managers=2, slots=4) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: FlinkCluster) -> Iterator[FlinkCluster]:
    """The shared cluster with two live TaskManagers; no job is left running behind a test."""
    while sum(tm.alive for tm in shared_cluster.task_managers) < 2:
        shared_cluster.start_task_manager()
    shared_cluster.wait_ready(60)
    yield shared_cluster
    for job, state in shared_cluster.jobs().items():
        if state not in ("FINISHED", "FAILED", "CANCELED"):
            shared_cluster.cancel(job)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Which staging a test of the road runs on: a directory, unless its marker says more."""
    if "staging" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("staging")
    kinds = ["file"] if marker is None else list(marker.args)
    if metafunc.config.getoption("--staging") == "both" and "only" not in kinds:
        kinds = ["file", "azurite"]
    metafunc.parametrize("staging", [kind for kind in kinds if kind != "only"], indirect=True)


@pytest.fixture
def staging(request: pytest.FixtureRequest) -> str | None:
    """The address of a new container; None for the emulator's own directory."""
    if request.param == "file":
        return None
    azurite: Azurite = request.getfixturevalue("azurite")
    return f"{azurite.container('road')}/{secrets.token_hex(8)}"


@pytest.fixture
def road(cluster: FlinkCluster, tmp_path: Path, staging: str | None) -> Iterator[Road]:
    with EmulatorProcess(data=tmp_path / "kusto", databases=["Demo"], staging=staging) as kusto:
        road = Road(cluster, kusto)
        road.create_table("T", "n:long, label:string")
        yield road


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> object:
    """A failing cluster test says what the cluster's processes said."""
    report = yield
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.when == "call" and report.failed and cluster is not None:
        lines = cluster.all_logs(200_000).splitlines()
        told = [line for line in lines if any(word in line for word in TELLING)]
        report.sections.append(("cluster logs", "\n".join(told[-80:])))
    return report
