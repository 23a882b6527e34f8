"""What a directory adds to the contract: kills at any byte, and errors that say what to do."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest

from exactly_once_kusto.errors import StagingError, StorageUnavailableError
from exactly_once_kusto.storage import local_directory
from exactly_once_kusto.storage.local_directory import LocalDirectory

WRITER = """
import sys
from pathlib import Path
from exactly_once_kusto.storage import local_directory
if sys.argv[2] == "named":
    local_directory.O_TMPFILE = 0
store = local_directory.LocalDirectory(Path(sys.argv[1]))
print("ready", flush=True)
number = 0
while True:
    store.create(f"run-{sys.argv[3]}/small/{number}", b"s" * 1000)
    with store.upload(f"run-{sys.argv[3]}/large/{number}") as upload:
        for _ in range(16):
            upload.write(b"L" * 65536)
        upload.seal()
    number += 1
"""


@pytest.mark.parametrize("drafts", ["unnamed", "named"])
def test_a_kill_at_any_moment_leaves_whole_objects_or_none(tmp_path, drafts):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for run in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), drafts, str(run)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0.0, 0.08))  # when to kill, not a wait for something
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
    store = LocalDirectory(tmp_path)
    whole = {"small": b"s" * 1000, "large": b"L" * (1 << 20)}
    seen = [(name.split("/")[1], store.read(name)) for name in store.list("")]
    assert {kind for kind, _ in seen} == {"small", "large"}
    assert all(data == whole[kind] for kind, data in seen)


def test_drafts_that_a_kill_left_are_not_listed(tmp_path):
    store = LocalDirectory(tmp_path)
    store.create("a/1", b"x")
    (tmp_path / "a" / ".2.0123").write_bytes(b"half")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "3").write_bytes(b"no")
    assert list(store.list("")) == ["a/1"]


@pytest.mark.skipif(sys.platform != "linux", reason="O_TMPFILE is Linux's")
def test_a_draft_has_no_name_that_a_kill_could_leave(tmp_path):
    with LocalDirectory(tmp_path).upload("a/1") as upload:
        upload.write(b"half")
        assert list((tmp_path / "a").iterdir()) == []


def test_a_full_disk_names_the_path_and_what_to_do(tmp_path):
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from exactly_once_kusto.storage.local_directory import LocalDirectory\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "LocalDirectory(Path(sys.argv[1])).create('a/b', b'x' * 4000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert f"StorageUnavailableError: can't write {tmp_path}/a/b: File too large" in done.stderr
    assert list(LocalDirectory(tmp_path).list("")) == []


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    store = LocalDirectory(tmp_path / "file")
    with pytest.raises(StagingError, match=r"can't write .*/file/a/b: .* 'staging'"):
        store.create("a/b", b"x")


@pytest.mark.parametrize(
    ("number", "kind", "step"),
    [
        (28, StorageUnavailableError, "free some space"),
        (30, StagingError, "mount it for writing"),
        (13, StagingError, "give the user"),
        (5, StorageUnavailableError, "mounted"),
    ],
)
def test_errors_of_the_system_say_what_to_do(tmp_path, number, kind, step):
    error = OSError(number, os.strerror(number))
    with pytest.raises(kind) as caught:
        local_directory.refuse("write", tmp_path / "x", error)
    assert f"can't write {tmp_path}/x: {os.strerror(number)}" in str(caught.value)
    assert step in str(caught.value)
    assert caught.value.restartable == (kind is StorageUnavailableError)


def test_objects_may_be_read_by_others_as_the_umask_allows(tmp_path):
    # The target reads them as another user.
    store = LocalDirectory(tmp_path)
    store.create("a", b"x")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask
