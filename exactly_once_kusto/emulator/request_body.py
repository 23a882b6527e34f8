"""The body of an HTTP request, of which no more is held than a limit allows."""

from __future__ import annotations

from starlette.requests import Request as HttpRequest

from .errors import too_large


async def read(http: HttpRequest, bytes_max: int) -> bytes:
    """The body. Raises KustoError (413) as soon as it has more than ``bytes_max``.

    Raises starlette's ClientDisconnect where the client goes away within it.
    """
    raw = bytearray()
    async for piece in http.stream():
        raw += piece
        if len(raw) > bytes_max:
            raise too_large(f"the body of a request has more than {bytes_max} bytes")
    return bytes(raw)
