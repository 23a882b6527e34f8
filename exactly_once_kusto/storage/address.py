"""From the text of an address to the store that it means; a token in it is never repeated.

file:///absolute/directory
https://ACCOUNT.blob.core.windows.net/CONTAINER[/folder]        (or another cloud's suffix)
http://127.0.0.1:PORT/devstoreaccount1/CONTAINER[/folder]       (Azurite)
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from exactly_once_kusto.errors import OptionError
from exactly_once_kusto.storage.local_directory import LocalDirectory
from exactly_once_kusto.storage.objects import NAME, ObjectStore
from exactly_once_kusto.storage.patience import Patience

EXAMPLE = (
    "use file:///absolute/directory, which every worker and the target can read, or "
    "https://ACCOUNT.blob.core.windows.net/CONTAINER"
)
KEY_VARIABLE = "AZURE_STORAGE_KEY"
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""Published by Microsoft for every Azurite: no secret."""

ACCOUNT_HOST = re.compile(r"([a-z0-9]{3,24})(?:\.z[0-9]{2})?\.blob\.[a-z0-9-]+(\.[a-z0-9-]+)+")
CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")
LOOPBACK = ("127.0.0.1", "localhost")


class Blobs(NamedTuple):
    """What an address of blob storage means."""

    account: str
    container: str
    """The container's address."""
    name: str
    """What follows the container, '' for nothing."""

    @property
    def is_azurite(self) -> bool:
        """Whether the account is the one that every Azurite has."""
        return self.account == AZURITE_ACCOUNT


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
    try:
        parts = urlsplit(address)
    except ValueError as error:  # brackets that hold no IPv6 address, for one
        raise OptionError(
            f"option 'staging': {shown(address)!r} is no such address; {EXAMPLE}"
        ) from error
    if "@" in parts.netloc or (parts.scheme not in ("file", "") and "@" in address):
        raise OptionError(
            f"option 'staging': {shown(address)!r} has an '@', in front of which a password may "
            "stand; give the address alone"
        )
    if parts.scheme in ("http", "https"):
        found = _blobs(address)
        return f"{found.container}/{found.name}" if found.name else found.container
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or "#" in address:
        raise OptionError(f"option 'staging': {shown(address)!r} is no such address; {EXAMPLE}")
    return _directory(parts.path, address).as_uri()


def open_store(address: str, patience: Patience | None = None) -> ObjectStore:
    """Return the store at a staging address; `patience`: how long its calls are tried again.

    No I/O. The key of an account comes from the environment, Azurite's is known to everybody.

    Raises:
        OptionError: as `check_address`, or the environment has no key.
    """
    checked = check_address(address)
    patience = patience or Patience()
    if checked.startswith("file:"):
        return LocalDirectory(_path(checked), patience)
    # Only who stages there pays for the SDK's imports.
    from exactly_once_kusto.storage.azure_container import AzureContainer

    found = _blobs(checked)
    return AzureContainer(found.container, found.name, account_key(checked), patience)


def open_object(address: str) -> tuple[ObjectStore, str]:
    """Return the store and the name that an object's address means. No I/O.

    Raises:
        OptionError: as `open_store`.
    """
    checked = check_address(address)
    if checked.startswith("file:"):
        path = _path(checked)
        return LocalDirectory(path.parent), path.name
    found = _blobs(checked)
    return open_store(found.container), found.name


def account_key(address: str) -> str:
    """Return the key of an account of blob storage.

    Raises:
        OptionError: the environment has none, or something else in its place.
    """
    if _blobs(address).is_azurite:
        return AZURITE_KEY
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        raise OptionError(
            f"option 'staging': {shown(address)!r} needs the account's key in the environment "
            f"variable {KEY_VARIABLE} of client and workers; signing in with Entra ID is not in "
            "this version"
        )
    try:
        base64.b64decode(key, validate=True)
    except binascii.Error:
        raise OptionError(
            f"option 'staging': what the environment variable {KEY_VARIABLE} holds is no key of an "
            "account (base64); take 'key1' or 'key2' of the account, not its connection string"
        ) from None
    return key


def blobs(address: str) -> Blobs | None:
    """Return what an address of blob storage means; None for a directory's."""
    return None if urlsplit(address).scheme == "file" else _blobs(address)


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


def _blobs(address: str) -> Blobs:
    parts = urlsplit(address)
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    segments = [each for each in unquote(parts.path).split("/") if each]
    if host in LOOPBACK and parts.scheme == "http":
        if not segments or segments[0] != AZURITE_ACCOUNT:
            raise OptionError(
                f"option 'staging': {shown(address)!r} is not Azurite's; its addresses are "
                f"http://127.0.0.1:PORT/{AZURITE_ACCOUNT}/CONTAINER"
            )
        account = segments.pop(0)
        endpoint = f"http://127.0.0.1:{port or 80}/{account}"
    elif parts.scheme == "https" and (found := ACCOUNT_HOST.fullmatch(host)) and port is None:
        account, endpoint = found[1], f"https://{host}"
    else:
        raise OptionError(f"option 'staging': {shown(address)!r} is no such address; {EXAMPLE}")
    if not segments or not CONTAINER.fullmatch(segments[0]) or parts.fragment:
        raise OptionError(
            f"option 'staging': {shown(address)!r} names no container (3 to 63 of a-z, 0-9, '-')"
        )
    container, name = f"{endpoint}/{segments[0]}", "/".join(segments[1:])
    if name and not NAME.fullmatch(name):
        raise OptionError(
            f"option 'staging': {shown(address)!r}: a folder has letters, digits, '.', '_' and '-'"
        )
    return Blobs(account, container, name)


def _directory(path: str, address: str) -> PurePosixPath:
    found = PurePosixPath(unquote(path))
    if not found.is_absolute() or ".." in found.parts or "\0" in str(found):
        raise OptionError(f"option 'staging': {shown(address)!r} is no absolute path; {EXAMPLE}")
    # Two slashes at the beginning are a root of their own to POSIX paths, and another text.
    return PurePosixPath("/", *found.parts[1:])
