"""Objects as files of a directory, on one machine or on a share that all of them mount.

A file is written without a name or under a hidden one, synced, linked to its name (`link` fails
if the name is taken, unlike `rename`), and its directory is synced. So a SIGKILL at any byte
leaves the whole object or none; what may be left is a hidden file, which nobody lists.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import NoReturn, TypeVar

from exactly_once_kusto.errors import StagingError, StorageUnavailableError
from exactly_once_kusto.storage.objects import BytesLike, Stored, check_name
from exactly_once_kusto.storage.patience import Patience

O_TMPFILE = getattr(os, "O_TMPFILE", 0)
"""A file without a name, whose space is freed when its process is killed; 0 where unknown."""

NEXT_STEPS = {
    errno.ENOSPC: "free some space there, or choose another 'staging'",
    errno.EDQUOT: "raise the quota, or choose another 'staging'",
    errno.EACCES: "give the user that runs the workers the right to read and write there",
    errno.EPERM: "give the user that runs the workers the right to read and write there",
    errno.EROFS: "mount it for writing, or choose another 'staging'",
    errno.ENOTDIR: "a part of the path is a file: choose another 'staging'",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the limit of open files (fs.file-max)",
    errno.ENAMETOOLONG: "choose a shorter 'staging' or 'name'",
}

Found = TypeVar("Found")

NOT_BY_ITSELF = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG}
"""What does not go away by waiting, so that Flink need not try again."""


@dataclass(frozen=True, slots=True)
class LocalDirectory:
    """An `ObjectStore` in `root`, an absolute path. Directories are made when they are needed."""

    root: Path
    patience: Patience = field(default_factory=Patience)

    @property
    def address(self) -> str:
        """Return the `file:///` address of the directory."""
        return self.root.as_uri()

    def create(self, name: str, data: bytes) -> bool:
        """Create an object, atomically and durably. False: the name is taken, nothing changed."""
        with self.upload(name) as upload:
            upload.write(data)
            try:
                upload.seal()
            except FileExistsError:
                # It may be our own, linked by a call whose last sync failed: make it last.
                self._sync(name)
                return False
        return True

    def read(self, name: str) -> bytes | None:
        """Return the content of an object; None if there is none."""
        path = self._path(name)
        return self.patience.run(lambda: _unless_absent(path, path.read_bytes))

    def stat(self, name: str) -> Stored | None:
        """Return length and mark of an object without reading it; None if there is none."""
        path = self._path(name)
        return self.patience.run(lambda: _unless_absent(path, lambda: stored(path)))

    def list(self, prefix: str, after: str | None = None) -> Iterator[str]:
        """Return the names that begin with `prefix` and sort behind `after`, in order."""
        folder, _, _ = prefix.rpartition("/")
        names = self._walk(folder)
        return iter(sorted(n for n in names if n.startswith(prefix) and (not after or n > after)))

    def delete(self, name: str) -> None:
        """Delete an object; one that is gone is fine. Tried once: nothing waits for tidying up."""
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            refuse("delete", path, error)

    def upload(self, name: str) -> LocalUpload:
        """Begin to write an object of any size."""
        path = self._path(name)

        def begin() -> LocalUpload:
            try:
                make_directory(path.parent)
                return LocalUpload(path, self.patience)
            except OSError as error:
                refuse("write", path, error)

        return self.patience.run(begin)

    def _sync(self, name: str) -> None:
        folder = self._path(name).parent
        try:
            sync_directory(folder)
        except OSError as error:
            refuse("write", folder, error)

    def _path(self, name: str) -> Path:
        return self.root / check_name(name)

    def _walk(self, folder: str) -> Iterator[str]:
        def fail(error: OSError) -> None:
            # A directory that is not there yet, or no more, holds nothing.
            if not isinstance(error, FileNotFoundError):
                refuse("list", Path(error.filename or self.root), error)

        for place, folders, files in os.walk(self.root / folder, onerror=fail):
            folders[:] = [each for each in folders if not each.startswith(".")]
            base = Path(place).relative_to(self.root).as_posix()
            for file in files:
                if not file.startswith("."):
                    yield file if base == "." else f"{base}/{file}"


class LocalUpload:
    """A file that has no name yet, or a hidden one where the file system can't do without."""

    def __init__(self, path: Path, patience: Patience, *, unnamed: bool = True) -> None:
        """Open the file; OSErrors come as they are."""
        self._path = path
        self._patience = patience
        self._hidden: Path | None = None
        self._length = 0
        # Unbuffered: Parquet's writer hands over whole pages and row groups.
        self._file: int | None = _open_unnamed(path.parent) if unnamed else None
        if self._file is None:
            self._hidden = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            self._file = os.open(self._hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)

    def write(self, data: BytesLike) -> int:
        """Take `data`, return its length."""
        view = memoryview(data).cast("B")
        file, done = self._open_file(), 0

        def write_some() -> int:
            # All or a part of it: a disk that fills up takes what it still can, then refuses.
            try:
                return os.write(file, view[done:])
            except OSError as error:
                refuse("write", self._path, error)

        while done < len(view):
            done += self._patience.run(write_some)
        self._length += done
        return done

    def seal(self) -> Stored:
        """Make all that was written durable under the name, if that is free."""
        try:
            # Not twice: after it has failed, the kernel may have forgotten what was not written.
            os.fsync(self._open_file())
            self._patience.run(self._link)
            sync_directory(self._path.parent)
            return stored(self._path)
        except FileExistsError:
            raise
        except OSError as error:
            refuse("write", self._path, error)
        finally:
            self.abort()

    def abort(self) -> None:
        """Forget what was written. Harmless after `seal`, and twice."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                os.close(file)
        hidden, self._hidden = self._hidden, None
        if hidden is not None:
            # Only tidying up: a hidden file that stays is seen by nobody.
            with contextlib.suppress(OSError):
                hidden.unlink(missing_ok=True)

    def __enter__(self) -> LocalUpload:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Abort unless sealed."""
        self.abort()

    def _open_file(self) -> int:
        if self._file is None:
            raise ValueError(f"{self._path} is sealed or aborted")
        return self._file

    def _link(self) -> None:
        try:
            if self._hidden is not None:
                os.link(self._hidden, self._path)
            else:
                _link_unnamed(self._open_file(), self._path)
        except FileExistsError:
            raise
        except OSError as error:
            refuse("write", self._path, error)


def stored(path: Path) -> Stored:
    """Return what is known of a file. Its mark is size and time of the last change (ns).

    Not the inode, so that staging may be moved with `cp -p` or `rsync -t`; not a digest, because
    every commit would have to read all that it commits. Objects are never opened for writing
    again, so a change of content is a fault or a hand, and shows in size or time.
    """
    found = path.stat()
    return Stored(path.as_uri(), found.st_size, f"{found.st_size:x}-{found.st_mtime_ns:x}")


def make_directory(path: Path) -> None:
    """Make a directory and its parents, each durably. OSErrors come as they are."""
    if path.is_dir():
        return
    make_directory(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. OSErrors come as they are."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some shares have no notion of it; they keep names on their own.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(handle)


def refuse(verb: str, path: Path, error: OSError) -> NoReturn:
    """Raise an OSError with the path and what to do.

    Raises:
        StagingError: it can't go until a person has changed something.
        StorageUnavailableError: any other; the same call may succeed later.
    """
    step = NEXT_STEPS.get(error.errno or 0, "check that the directory is there and mounted")
    why = error.strerror or type(error).__name__
    kind = StagingError if error.errno in NOT_BY_ITSELF else StorageUnavailableError
    raise kind(f"can't {verb} {path}: {why}; {step}") from error


def _unless_absent(path: Path, look: Callable[[], Found]) -> Found | None:
    try:
        return look()
    except FileNotFoundError:
        return None
    except OSError as error:
        refuse("read", path, error)


def _open_unnamed(folder: Path) -> int | None:
    return os.open(folder, O_TMPFILE | os.O_WRONLY, 0o666) if _can_be_unnamed(folder) else None


@lru_cache(maxsize=64)
def _can_be_unnamed(folder: Path) -> bool:
    """Try it once a directory: NFS, older overlays and some sandboxes lack one half or the other.

    open(2), section 'O_TMPFILE'.
    """
    if not O_TMPFILE:
        return False
    probe = folder / f".probe.{secrets.token_hex(8)}"
    try:
        file = os.open(folder, O_TMPFILE | os.O_WRONLY, 0o666)
        try:
            _link_unnamed(file, probe)
        finally:
            os.close(file)
        probe.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _link_unnamed(file: int, path: Path) -> None:
    # linkat(2): how an unnamed file gets its name without a capability. Python calls it, rather
    # than link(2), only if a directory is given too; with an absolute path that one is not used.
    os.link(f"/proc/self/fd/{file}", path, src_dir_fd=file, follow_symlinks=True)
