"""How much data a blob holds before compression, where its message doesn't say.

Source: https://learn.microsoft.com/kusto/management/batching-policy#batch-data-size (the size of
what is compressed is estimated by a factor; which one isn't said).
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from .sources import LOOPBACK, SourceError, local_file

LOOK_S = 5.0
COMPRESSION_FACTOR = 10

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def raw_size(source: str) -> int | None:
    """Bytes, or an estimate of them; None where the blob or file can't be looked at."""
    size = _size(source)
    if size is None:
        return None
    name = source.partition("?")[0].lower()
    return size * COMPRESSION_FACTOR if name.endswith((".gz", ".zip")) else size


def _size(source: str) -> int | None:
    try:
        if not source[:8].lower().startswith(("http://", "https://")):
            return local_file(source).stat().st_size
        request = urllib.request.Request(source, method="HEAD")
        openly = _direct.open if urlsplit(source).hostname in LOOPBACK else urllib.request.urlopen
        with openly(request, timeout=LOOK_S) as answer:
            return int(answer.headers["Content-Length"])
    except (SourceError, OSError, ValueError, TypeError, http.client.HTTPException):
        return None
