"""What holds for all tests, and the one Azurite that they share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from exactly_once_kusto.emulator.azurite import Azurite

# How long an example takes, or takes to be made, says more about the machine (two cores, on which
# JVMs start and end) than about the code. A failing example is printed so that it can be replayed.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("any-machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--staging",
        choices=["some", "both"],
        default="some",
        help="both: every test of the road also on Azurite (make test-all); some: a few of them",
    )


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """A blob service; each test takes a container or a folder of its own."""
    with Azurite(tmp_path_factory.mktemp("azurite")) as azurite:
        yield azurite
