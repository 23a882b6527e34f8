"""What `python.files` and `python.archives` name reaches the workers, in all of PyFlink's forms."""

from __future__ import annotations

import importlib
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.flink
pytest.importorskip("pyflink")

from pyflink.common import Types  # noqa: E402

from exactly_once_kusto.cluster import wait_until  # noqa: E402
from exactly_once_kusto.flink import attach  # noqa: E402
from tests.flink import jobs  # noqa: E402
from tests.flink.directory_sink import visible  # noqa: E402

SINK = """
import os
from pathlib import Path

from in_a_folder.deep import ONE
from in_a_wheel import TWO
from on_the_node import THREE
from tests.flink import directory_sink

assert (ONE, TWO, THREE) == (1, 2, 3)

def from_options(options):
    here = Path.cwd()
    if here.name.startswith("exactly-once-kusto-"):  # not the client
        assert Path("data/word.txt").read_text() == "K\\u00e4se"
        assert Path("plain.zip/word.txt").read_text() == "K\\u00e4se"
        Path(options["folder"], f"home-{os.getpid()}").write_text(str(here))
    return directory_sink.from_options(options)

class Sink(directory_sink.DirectorySink):
    pass
"""


@pytest.fixture(scope="module", autouse=True)
def jvm():
    jobs.start_jvm()


@pytest.fixture
def brought(tmp_path: Path) -> dict[str, str]:
    """Flink's options; nothing of what they name can be imported without them."""
    place = tmp_path / "with a blank"
    (place / "packages" / "in_a_folder").mkdir(parents=True)
    (place / "packages" / "in_a_folder" / "__init__.py").touch()
    (place / "packages" / "in_a_folder" / "deep.py").write_text("ONE = 1\n")
    (place / "only_here.py").write_text(SINK)
    with zipfile.ZipFile(place / "in_a_wheel-1-py3-none-any.whl", "w") as packed:
        packed.writestr("in_a_wheel.py", "TWO = 2\n")
    with zipfile.ZipFile(place / "plain.zip", "w") as packed:
        packed.writestr("word.txt", "Käse")
    node = tmp_path / "node"
    node.mkdir()
    (node / "on_the_node.py").write_text("THREE = 3\n")
    return {
        "python.files": ",".join(
            [
                str(place / "only_here.py"),
                f"file://{place}/in_a_wheel-1-py3-none-any.whl",  # as Flink reads it: not decoded
                f"{place / 'packages'}/",
            ]
        ),
        "python.archives": f"{place / 'plain.zip'}#data,{place / 'plain.zip'}",
        "python.pythonpath": str(node),
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def check(folder: Path) -> None:
    assert sorted(visible(folder)["id"].to_pylist()) == [1, 2, 3]
    told = [path.read_text() for path in folder.glob("home-*")]
    assert len(told) >= 2, "one worker alone shows nothing"
    (home,) = set(told)
    wait_until(lambda: not Path(home).exists(), 5, "the directory is gone")


def test_a_table_with_what_its_job_brings(out, brought):
    tables = jobs.table_env(2, **brought)
    tables.execute_sql(jobs.sink_ddl("id BIGINT", out, factory="only_here:from_options"))
    jobs.run(tables, "INSERT INTO k VALUES (1), (2), (3)")
    check(out)


def test_a_stream_with_what_its_job_brings(out, brought, monkeypatch):
    files = [Path(name.removeprefix("file://")) for name in brought["python.files"].split(",")]
    for path in [files[0].parent, *files[1:], brought["python.pythonpath"]]:
        monkeypatch.syspath_prepend(str(path))
    env = jobs.stream_env(2, **brought)
    row = Types.ROW_NAMED(["id"], [Types.LONG()])
    sink = importlib.import_module("only_here").Sink("t", str(out))
    env.from_collection([(1,), (2,), (3,)], row).rebalance().sink_to(attach(sink, env))
    env.execute()
    check(out)
