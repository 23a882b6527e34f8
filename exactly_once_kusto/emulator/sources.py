"""Where the data of an ingestion comes from: local files, and blobs by URL with a SAS.

A blob is fetched whole into a file before anything is read from it, so that one which can't be had
fails the command before a row of another is looked at. What follows `?` is never shown.

Source: https://learn.microsoft.com/azure/data-explorer/error-codes (the `Download_...` codes).
"""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .errors import KustoError

SOURCE_BYTES_MAX = 6 * 1024**3  # documented limit of one source
DOWNLOADS_MAX = 4
READ_S = 30.0
COPY_BYTES = 1 << 20


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


def fetch(sources: Sequence[str], scratch: Path) -> list[Source]:
    """Return the sources as files; blobs are fetched into `scratch`. Raises SourceError."""
    if not any(_is_url(source) for source in sources):
        return [Source(source, local_file(source)) for source in sources]
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
    if source.startswith("/"):
        return Path(source)
    parts = urlsplit(source)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    code = "BadRequest_EmptyBlobUri" if not source else "BadRequest_InvalidBlobUri"
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    raise SourceError(
        KustoError(code, f"source '{shown}': this emulator reads local files and http(s) URLs"),
        shown,
    )


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
        raise KustoError("BadRequest_FileTooLarge", f"'{source.shown}' is larger than 6 GB")
    return size


def _is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _fetch_one(source: str, file: Path) -> Source:
    if not _is_url(source):
        return Source(source, local_file(source))
    shown = source.partition("?")[0]
    if ";" in shown:
        # ';<account key>', ';managed_identity=...', ';impersonate': storage-connection-strings.md
        shown = shown.partition(";")[0]
        raise SourceError(
            KustoError(
                "BadRequest_InvalidBlobUri", f"source '{shown}': this emulator reads by SAS only"
            ),
            shown,
        )
    try:
        with (
            urllib.request.urlopen(source, timeout=READ_S) as answer,
            file.open("wb") as kept,
        ):
            shutil.copyfileobj(answer, kept, COPY_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            raise SourceError(_refused(error.code, shown), shown) from None
    except (OSError, ValueError) as error:
        raise SourceError(
            KustoError(
                "Download_TransientError",
                f"source '{shown}' could not be read: {type(error).__name__}",
                permanent=False,
            ),
            shown,
        ) from None
    return Source(shown, file)


def _refused(status: int, shown: str) -> KustoError:
    # From None, and without the URL: an exception's text may end in a log.
    if status == 404:
        return KustoError("Download_SourceNotFound", f"source '{shown}' was not found")
    if status in (401, 403):
        return KustoError("Download_Forbidden", f"access to '{shown}' is forbidden")
    if status in (400, 409, 410, 412):
        return KustoError(
            "Download_AccessConditionNotSatisfied", f"source '{shown}': HTTP {status}"
        )
    return KustoError(
        "Download_TransientError", f"source '{shown}': HTTP {status}", permanent=False
    )
