"""The workers' Python on a cluster: what the job brings is all that they have."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from exactly_once_kusto.cluster import FlinkCluster

from .road import Road, differences, expected

pytestmark = pytest.mark.flink

ROOT = Path(__file__).parents[2]
MODULE = """
from pathlib import Path
from packed_in_a_zip import WORD
from exactly_once_kusto.kusto.sink import from_options as kusto

def from_options(options):
    # Workers have the archive, and find the table's name with its help; the client has it not.
    packed = Path("is_a_worker/word.txt")
    wanted = packed.read_text() if packed.exists() else WORD
    return kusto({**options, "table": options["table"] if wanted == WORD else "Nowhere"})
"""


def test_modules_and_archives_that_only_the_job_brings(
    road: Road, cluster: FlinkCluster, tmp_path: Path
) -> None:
    (tmp_path / "only_here.py").write_text(MODULE)
    with zipfile.ZipFile(tmp_path / "lib.zip", "w") as packed:
        packed.writestr("packed_in_a_zip.py", "WORD = 'Käse'\n")
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as packed:
        packed.writestr("word.txt", "Käse")
    job = road.submit(
        rows=2000,
        rate=2000,
        options={"connector": "two-phase-python", "factory": "only_here:from_options"},
        config={
            "python.files": f"{tmp_path / 'only_here.py'},{tmp_path / 'lib.zip'}",
            "python.archives": f"{tmp_path / 'data.zip'}#is_a_worker",
        },
    )
    road.finished(job)
    assert differences(road.rows(), expected(2000)) == {}
    left = list(cluster.directory.rglob("exactly-once-kusto-*/is_a_worker"))
    assert left == [], "a worker's directory was left behind"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_wheel_alone_in_an_archive_is_enough(
    road: Road, cluster: FlinkCluster, tmp_path: Path
) -> None:
    """An environment with the wheel and what it depends on, without PyFlink, sent with the job."""
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "venv", venv)
    run(venv / "bin" / "python", "-m", "pip", "install", "-q", wheel)
    listed = run(venv / "bin" / "python", "-m", "pip", "list")
    assert "pyarrow" in listed
    assert "flink" not in listed.replace("exactly-once-kusto", "")
    with tarfile.open(tmp_path / "venv.tar.gz", "w:gz", compresslevel=1) as packed:
        packed.add(venv, ".")
    job = road.submit(
        rows=2000,
        rate=2000,
        config={
            "python.archives": f"{tmp_path / 'venv.tar.gz'}#env",
            "python.executable": "env/bin/python",
        },
    )
    road.finished(job)
    assert differences(road.rows(), expected(2000)) == {}


def run(*command: object) -> str:
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        env=clean,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
