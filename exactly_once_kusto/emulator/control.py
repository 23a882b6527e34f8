"""``/emulator/clock`` and ``/emulator/upkeep``: what tests say to an emulator in another process.

The service has nothing like it.
"""

from __future__ import annotations

import datetime as dt
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import request_body
from .clock import Clock
from .errors import KustoError
from .retention import Done, Upkeep

WAIT_S = 60.0
BODY_BYTES_MAX = 16 * 1024 * 1024


def routes(clock: Clock, upkeep: Upkeep) -> list[Route]:
    """The routes of both."""

    async def turn(http: HttpRequest) -> Response:
        return await _answer(http, lambda method, given: _turned(clock, method, given))

    async def keep(http: HttpRequest) -> Response:
        return await _answer(http, lambda method, given: _kept(upkeep, method, given))

    methods = ["GET", "PUT", "POST", "DELETE"]
    return [
        Route("/emulator/clock", turn, methods=methods),
        Route("/emulator/upkeep", keep, methods=methods[:3]),
    ]


async def _answer(
    http: HttpRequest, carry_out: Callable[[str, Mapping[str, Any]], dict[str, Any]]
) -> Response:
    try:
        body = await request_body.read(http, BODY_BYTES_MAX)
        given = json.loads(body) if body else {}
        if not isinstance(given, dict):
            raise ValueError("the body must be a JSON object")
        return JSONResponse(await run_in_threadpool(carry_out, http.method, given))
    except KustoError as error:
        return JSONResponse({"error": error.message}, status_code=error.status)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        return JSONResponse({"error": str(error)}, status_code=400)


def _turned(clock: Clock, method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """GET tells the time, PUT sets it, POST advances it, DELETE puts it back."""
    match method:
        case "PUT":
            clock.set(dt.datetime.fromisoformat(given["now"]))
        case "POST":
            clock.advance(float(given["seconds"]))
        case "DELETE":
            clock.reset()
    return {"now": clock.now().isoformat() + "Z", "seconds": clock.offset.total_seconds()}


def _kept(upkeep: Upkeep, method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """GET tells the settings, PUT changes them, POST does what is due now."""
    match method:
        case "PUT":
            return upkeep.set(**given)
        case "POST":
            return asdict(upkeep.run(**given))
    return upkeep.settings()


class RemoteClock:
    """``Clock`` of an emulator in another process, over ``/emulator/clock``."""

    def __init__(self, cluster: str) -> None:
        self._url = f"{cluster}/emulator/clock"

    @property
    def offset(self) -> dt.timedelta:
        """How far it was turned from the machine's clock."""
        return dt.timedelta(seconds=send(self._url, "GET")["seconds"])

    def now(self) -> dt.datetime:
        """The emulator's time, UTC without a zone."""
        return _time(send(self._url, "GET"))

    def set(self, moment: dt.datetime) -> dt.datetime:
        """Makes it the given time now (without a zone: UTC); the new time."""
        return _time(send(self._url, "PUT", {"now": moment.isoformat()}))

    def advance(self, by: dt.timedelta | float) -> dt.datetime:
        """Turns it forward by a duration or seconds (backwards if negative); the new time."""
        seconds = by.total_seconds() if isinstance(by, dt.timedelta) else by
        return _time(send(self._url, "POST", {"seconds": seconds}))

    def reset(self) -> dt.datetime:
        """Puts it back to the machine's time, which is given back."""
        return _time(send(self._url, "DELETE"))


class RemoteUpkeep:
    """``Upkeep`` of an emulator in another process, over ``/emulator/upkeep``."""

    def __init__(self, cluster: str) -> None:
        self._url = f"{cluster}/emulator/upkeep"

    def set(
        self,
        retention: bool | None = None,
        merging: bool | None = None,
        seconds: float | None = None,
    ) -> dict[str, Any]:
        """Says what is done in the background and how often; the settings."""
        given = {"retention": retention, "merging": merging, "seconds": seconds}
        return send(self._url, "PUT", {k: v for k, v in given.items() if v is not None})

    def settings(self) -> dict[str, Any]:
        """What is done in the background, and the pause between two rounds."""
        return send(self._url, "GET")

    def run(self, retention: bool = True, merging: bool = True) -> Done:
        """Does what is due now; what it did."""
        return Done(**send(self._url, "POST", {"retention": retention, "merging": merging}))


def send(url: str, method: str, body: object = None) -> dict[str, Any]:
    """The JSON that the control API answers. Raises ValueError with what it refuses."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as reply:
            shown: dict[str, Any] = json.loads(reply.read())
            return shown
    except urllib.error.HTTPError as error:
        with error:
            raise ValueError(json.loads(error.read())["error"]) from error


def _time(answer: Mapping[str, Any]) -> dt.datetime:
    return dt.datetime.fromisoformat(answer["now"]).replace(tzinfo=None)
