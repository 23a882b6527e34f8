"""Where the data of an ingestion comes from: local files, and blobs by URL with a SAS.

A blob is fetched whole into a file before anything is read from it, so that one which can't be had
fails the command before a row of another is looked at. What follows `?` is never shown.

Source: https://learn.microsoft.com/azure/data-explorer/error-codes (the `Download_...` codes).
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .errors import KustoError

SOURCE_BYTES_MAX = 6 * 1024**3  # documented limit of one source
DOWNLOADS_MAX = 4
READ_S = 10.0
DOWNLOAD_S = 600.0
COPY_BYTES = 1 << 20
_LOCAL = re.compile(r"file://(localhost)?/", re.IGNORECASE)
LOOPBACK = ("127.0.0.1", "localhost")

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Source:
    """A file with the data of a source, and what may be shown of where it came from."""

    shown: str
    file: Path


class SourceError(Exception):
    """A failure that one source caused."""

    def __init__(self, error: KustoError, source: str) -> None:
        super().__init__(error.message)
        self.error = error
        self.source = source


def fetch(sources: Sequence[str], folder: Callable[[], Path]) -> list[Source]:
    """Return the sources as files; blobs are fetched into the `folder`. Raises SourceError."""
    if not any(_is_url(source) for source in sources):
        return [Source(source, local_file(source)) for source in sources]
    scratch = folder()
    with ThreadPoolExecutor(DOWNLOADS_MAX, "download") as downloads:
        fetched = [
            downloads.submit(_fetch_one, source, scratch / f"source-{i}")
            for i, source in enumerate(sources)
        ]
        try:
            return [each.result() for each in fetched]
        finally:
            for each in fetched:
                each.cancel()


def local_file(source: str) -> Path:
    """The file that a source names: an absolute path or a ``file://`` URI. Raises SourceError."""
    if source.startswith("/") and "\0" not in source:
        return Path(source)
    parts = urlsplit(source)
    path = unquote(parts.path)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and "\0" not in path:
        return Path(path)
    code = "BadRequest_EmptyBlobUri" if not source else "BadRequest_InvalidBlobUri"
    told = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    raise SourceError(
        KustoError(code, f"source '{told}': this emulator reads local files and http(s) URLs"),
        told,
    )


def shown(source: str) -> str:
    """What may be told of a source: a URL without what may be a secret, a path as it is."""
    if source.startswith("/") or _LOCAL.match(source) or "://" not in source:
        return source
    return re.sub(r"//[^/]*@", "//", re.split(r"[?;#]", source, maxsplit=1)[0])


def size_of(source: Source) -> int:
    """The bytes of a source that can be read. Raises KustoError."""
    try:
        size = source.file.stat().st_size
        with source.file.open("rb"):
            pass
    except PermissionError as error:
        raise KustoError(
            "Download_Forbidden", f"access to '{source.shown}' is forbidden"
        ) from error
    except OSError as error:
        raise KustoError(
            "Download_SourceNotFound", f"source '{source.shown}' was not found"
        ) from error
    if size == 0:
        raise KustoError("BadRequest_EmptyBlob", f"'{source.shown}' is empty")
    if size > SOURCE_BYTES_MAX:
        raise _too_large(source.shown)
    return size


def _is_url(source: str) -> bool:
    return source[:8].lower().startswith(("http://", "https://"))


def _fetch_one(source: str, file: Path) -> Source:
    if not _is_url(source):
        return Source(source, local_file(source))
    told = shown(source)
    try:
        if source.startswith(f"{told};"):
            # ';<account key>', ';managed_identity=...': storage-connection-strings.md
            raise KustoError(
                "BadRequest_InvalidBlobUri", f"source '{told}': this emulator reads by SAS only"
            )
        if told.endswith(".gz"):  # the name's end tells what is compressed
            file = file.with_suffix(".gz")
        _download(source, told, file)
    except KustoError as error:
        raise SourceError(error, told) from None
    return Source(told, file)


def _download(source: str, told: str, file: Path) -> None:
    # Errors are raised from None, and without the URL: an exception's text may end in a log.
    until = time.monotonic() + DOWNLOAD_S
    try:
        host = urlsplit(source).hostname
        openly = _direct.open if host in LOOPBACK else urllib.request.urlopen
        with openly(source, timeout=READ_S) as answer, file.open("wb") as kept:
            if (answer.length or 0) > SOURCE_BYTES_MAX:
                raise _too_large(told)
            while chunk := answer.read(COPY_BYTES):
                kept.write(chunk)
                if kept.tell() > SOURCE_BYTES_MAX:
                    raise _too_large(told)
                if time.monotonic() > until:
                    raise TimeoutError
            if answer.length:  # reading in pieces does not complain about a body cut short
                raise http.client.IncompleteRead(b"", answer.length)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(error.code, told) from None
    except (ValueError, http.client.InvalidURL):
        raise KustoError("BadRequest_InvalidBlobUri", f"source '{told}' is no URL") from None
    except (OSError, http.client.HTTPException) as error:
        raise KustoError(
            "Download_UnknownError",
            f"source '{told}' could not be read: {type(error).__name__}",
            permanent=False,
        ) from None


def _refused(status: int, told: str) -> KustoError:
    match status:
        case 404 | 410:
            return KustoError("Download_SourceNotFound", f"source '{told}' was not found")
        case 401 | 403:
            return KustoError("Download_Forbidden", f"access to '{told}' is forbidden")
        case 412:
            return KustoError(
                "Download_AccessConditionNotSatisfied", f"source '{told}' is another than expected"
            )
        case 400:
            return KustoError("Download_BadRequest", f"source '{told}': HTTP 400")
        case _ if 400 <= status < 500 and status not in (408, 429):
            return KustoError("Download_NotTransient", f"source '{told}': HTTP {status}")
    text = f"source '{told}' could not be read: HTTP {status}"
    return KustoError("Download_UnknownError", text, permanent=False)


def _too_large(told: str) -> KustoError:
    return KustoError("BadRequest_FileTooLarge", f"'{told}' is larger than 6 GB")
