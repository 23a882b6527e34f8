"""What a look at a source file tells before DuckDB reads it: its fields, its quotes, its layout.

Raises OSError, EOFError or zlib.error where a compressed file is damaged.
"""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import IO, cast

from .errors import KustoError

RECORD_BYTES_MAX = 64 * 1024 * 1024  # documented: a longer record fails the ingestion
_BLANK = b" \t\r\n\xef\xbb\xbf"


def first_record_width(file: Path, delimiter: str, quoted: bool) -> int:
    """How many fields the first record of a delimited file has."""
    csv.field_size_limit(RECORD_BYTES_MAX)
    with _opened(file) as raw, io.TextIOWrapper(raw, "utf-8", "replace", newline="") as text:
        if not quoted:
            return text.readline(RECORD_BYTES_MAX).count(delimiter) + 1
        for record in csv.reader(text, delimiter=delimiter):
            return max(1, len(record))
    return 1


def check_quotes(file: Path, delimiter: str, width: int, name: str) -> bool:
    """Whether DuckDB can read the file in its strict mode; where not, it was checked here.

    Raises KustoError or csv.Error where quotes don't come in pairs around fields.
    """
    # DuckDB takes a last record whose closing quote is missing; the service doesn't. Quotes come
    # in pairs: around a field, and doubled within one.
    quotes = returns = feeds = pairs = 0
    with _opened(file) as raw:
        while chunk := raw.read(1 << 20):
            quotes += chunk.count(b'"')
            returns += chunk.count(b"\r")
            feeds += chunk.count(b"\n")
            pairs += chunk.count(b"\r\n")
    if quotes % 2:
        raise KustoError(
            "Stream_ClosingQuoteMissing",
            f"Stream with ID '{name}' has a malformed CSV format: closing quote is missing",
        )
    # Where records end by CR LF and a field holds a bare LF, or the other way round, DuckDB's
    # strict mode fails, though both are allowed (RFC 4180); its other mode drops fields.
    if not returns or not (quotes or (feeds and pairs != feeds)):
        return True
    with _opened(file) as raw, io.TextIOWrapper(raw, "utf-8", "replace", newline="") as text:
        for record in csv.reader(text, delimiter=delimiter, strict=True):
            if record and len(record) != width:
                raise wrong_number_of_fields(name)
    return False


def wrong_number_of_fields(name: str) -> KustoError:
    """A record of a delimited file has more fields than the first, or fewer."""
    return KustoError(
        "Stream_WrongNumberOfFields",
        f"Stream with ID '{name}' has a malformed CSV format: inconsistent number of fields",
    )


def _opened(file: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(file, "rb")) if file.suffix == ".gz" else file.open("rb")


def json_layout(file: Path) -> str:
    """Whether a multi-line JSON is one array: DuckDB would guess it from the first line."""
    with _opened(file) as raw:
        head = b""
        while not head and (more := raw.read(1 << 10)):
            head = more.lstrip(_BLANK)
    return "array" if head.startswith(b"[") else "unstructured"
