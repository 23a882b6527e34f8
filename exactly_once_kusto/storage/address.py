"""From the text of an address to the store that it means; a token in it is never repeated."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from exactly_once_kusto.errors import OptionError
from exactly_once_kusto.storage.local_directory import LocalDirectory
from exactly_once_kusto.storage.objects import ObjectStore

EXAMPLE = "use file:///absolute/directory, which every worker and the target can read"


def check_address(address: str) -> str:
    """Return the one form of a staging address: no slash at the end, no '.' or '..'.

    Raises:
        OptionError: not an address, or of a kind that is not in this version. Its text does not
            repeat what may be a token.
    """
    # First of all, and without showing the rest: what follows may be a secret.
    for mark in "?;":
        if mark in address:
            raise OptionError(
                f"option 'staging': {shown(address)!r} goes on with {mark!r}, behind which a token "
                "may stand; give the address alone, access is made when it is needed"
            )
    parts = urlsplit(address)
    if "@" in parts.netloc or (parts.scheme not in ("file", "") and "@" in address):
        raise OptionError(
            f"option 'staging': {shown(address)!r} has an '@', in front of which a password may "
            "stand; give the address alone"
        )
    if parts.scheme == "https":
        raise OptionError(
            f"option 'staging': {shown(address)!r}: Azure Blob Storage is not in this version; "
            f"{EXAMPLE}"
        )
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or "#" in address:
        raise OptionError(f"option 'staging': {shown(address)!r} is no such address; {EXAMPLE}")
    return _directory(parts.path, address).as_uri()


def open_store(address: str) -> ObjectStore:
    """Return the store at a staging address. No I/O.

    Raises:
        OptionError: as `check_address`.
    """
    return LocalDirectory(_path(check_address(address)))


def open_object(address: str) -> tuple[ObjectStore, str]:
    """Return the store and the name that an object's address means. No I/O.

    Raises:
        OptionError: as `check_address`.
    """
    path = _path(check_address(address))
    return LocalDirectory(path.parent), path.name


def local_path(address: str) -> str | None:
    """Return the absolute path that a `file://` address means; None for any other kind."""
    return str(_path(address)) if urlsplit(address).scheme == "file" else None


def shown(address: str) -> str:
    """Return what may be shown of an address: nothing behind '?' or ';', nothing before '@'."""
    head = address.partition("?")[0].partition(";")[0]
    scheme, mark, rest = head.partition("://")
    if "@" in rest:
        rest = f"...@{rest.rpartition('@')[2]}"
    return f"{scheme}{mark}{rest}"


def _path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))


def _directory(path: str, address: str) -> PurePosixPath:
    found = PurePosixPath(unquote(path))
    if not found.is_absolute() or ".." in found.parts or "\0" in str(found):
        raise OptionError(f"option 'staging': {shown(address)!r} is no absolute path; {EXAMPLE}")
    # Two slashes at the beginning are a root of their own to POSIX paths, and another text.
    return PurePosixPath("/", *found.parts[1:])
