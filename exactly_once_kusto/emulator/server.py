"""HTTP: Kusto's REST endpoints, and ``/emulator/faults``, on 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from . import control, envelopes, request_body
from .commands import Parsed
from .course import Course, turn
from .errors import KustoError, bad_request, internal_error, syntax_error, throttled
from .faults import Faults, Rule, Scope
from .ingestion_endpoints import IngestionEndpoints
from .operations import Request
from .policies import parse_period
from .service import Service
from .types import Result

log = logging.getLogger(__name__)

BODY_BYTES_MAX = 64 * 1024 * 1024
SERVER_TIMEOUT_MAX_S = 3600.0  # https://learn.microsoft.com/kusto/set-timeout-limits


class Protocol(H11Protocol):
    """HTTP/1.1 that shows the application its connection, so that a fault can cut it."""

    def connection_made(  # type: ignore[override]
        self, transport: asyncio.Transport
    ) -> None:
        """Called by asyncio for every new connection."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


class PromptServer(uvicorn.Server):
    """uvicorn's server, but one that notices at once that it is to stop (not at its next tick)."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()

    async def main_loop(self) -> None:
        """Called by uvicorn: serves until told to stop."""
        self._loop = asyncio.get_running_loop()
        ticks = 0
        while not await self.on_tick(ticks):
            ticks = (ticks + 1) % 864_000
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), 0.1)

    def end(self) -> None:
        """Begins to stop; callable from any thread."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._ended.set)


# https://learn.microsoft.com/kusto/api/rest/request-properties
_READ_ONLY = ("request_readonly", "request_readonly_hardline")
_COMMAND_TYPES = {"ingest": "DataIngestPull", "append": "TableAppend", "query": None}


class _DroppedError(Exception):
    """A fault wants the connection closed without a reply."""


class Endpoints:
    """The handlers; work is done in threads, one a request."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/rest/mgmt", self.management, methods=["POST"]),
                Route("/v1/rest/query", self.management, methods=["POST"]),
                Route("/v2/rest/query", self.query, methods=["POST"]),
                *IngestionEndpoints(self._service, self).routes(),
                Route("/emulator/faults", self.faults, methods=["GET", "PUT", "POST", "DELETE"]),
                *control.routes(self._service.clock, self._service.upkeep),
            ]
        )

    async def management(self, http: HttpRequest) -> Response:
        """v1: commands (and queries, which the service takes here too)."""
        return await self._handle(http, frames=False)

    async def query(self, http: HttpRequest) -> Response:
        """v2: queries (and commands)."""
        return await self._handle(http, frames=True)

    async def faults(self, http: HttpRequest) -> Response:
        """The faults in force: GET shows, PUT replaces, POST adds, DELETE clears."""
        faults: Faults = self._service.faults
        try:
            if http.method == "DELETE":
                faults.clear()
            elif http.method != "GET":
                given = json.loads(await request_body.read(http, control.BODY_BYTES_MAX))
                rules = given if isinstance(given, list) else [given]
                (faults.set if http.method == "PUT" else faults.add)(*rules)
        except KustoError as error:
            return JSONResponse({"error": error.message}, status_code=error.status)
        except (ValueError, RecursionError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse({"rules": faults.rules(), "fired": faults.fired()})

    async def _handle(self, http: HttpRequest, frames: bool) -> Response:
        async def work(request: Request) -> bytes:
            text, database, properties = _body(await request_body.read(http, BODY_BYTES_MAX))
            http.state.database = database
            named = replace(request, database=database)
            return await run_in_threadpool(self._answer, text, named, properties, frames)

        return await self.guarded(http, work)

    async def guarded(
        self, http: HttpRequest, work: Callable[[Request], Awaitable[bytes]]
    ) -> Response:
        """What the work gives as JSON, or its error's body, with the ids of both in headers.

        The work may set ``http.state.database``, which errors tell.
        """
        activity = str(uuid.uuid4())
        client_request = http.headers.get("x-ms-client-request-id") or f"unspecified;{activity}"
        headers = {"x-ms-client-request-id": client_request, "x-ms-activity-id": activity}
        app = http.headers.get("x-ms-app", "")
        try:
            content = await work(Request("", "", client_request, activity, app))
            return Response(content, 200, headers, "application/json")
        except _DroppedError:
            http.scope["state"]["transport"].abort()
            # Gives the server the time to see that the connection is gone.
            await asyncio.sleep(0.01)
            return Response(status_code=500)
        except ClientDisconnect:
            log.info("a client went away while it sent its request")
            return Response(status_code=400)  # nobody reads it
        except KustoError as error:
            told = error
        except RecursionError:
            told = bad_request("the request is nested too deeply")
        except Exception as error:
            log.exception("request failed")
            told = internal_error(f"{type(error).__name__}: {error}")
        database = getattr(http.state, "database", None)
        return JSONResponse(told.body(client_request, activity, database), told.status, headers)

    def faulted(
        self, kind: str, text: str, scope: Scope, work: Callable[[list[Rule]], bytes]
    ) -> bytes:
        """What the work gives, with what faults on that kind do before and after it."""
        fired = self._service.faults.take(kind, text, scope)
        by_action = {rule.do: rule for rule in fired}
        self._before(by_action, kind)
        turn(self._service.clock, fired)
        try:
            return work(fired)
        finally:
            self._after(by_action)

    def _answer(
        self, text: str, request: Request, properties: Mapping[str, Any], frames: bool
    ) -> bytes:
        kind, parsed = self._service.kind(text)

        def work(fired: list[Rule]) -> bytes:
            result = self._result(text, parsed, request, properties, fired)
            return self._encode(result, request, frames)

        named = () if parsed is None else parsed.command.named_tables()
        return self.faulted(kind, text, Scope(request.database, named), work)

    def _before(self, by_action: Mapping[str, Rule], kind: str) -> None:
        if "drop-request" in by_action:
            raise _DroppedError
        if "delay-request" in by_action:
            self._service.faults.wait(by_action["delay-request"])
        if "throttle" in by_action:
            raise throttled(command_type=_COMMAND_TYPES.get(kind, kind))
        failure = by_action.get("fail")
        if failure is not None and kind not in ("ingest", "ingest-inline"):
            raise KustoError(
                failure.code,
                failure.message,
                status=failure.status,
                permanent=failure.permanent,
            )

    def _after(self, by_action: Mapping[str, Rule]) -> None:
        Course(self._service.faults, by_action.values()).crash("before-reply")
        if "delay-reply" in by_action:
            self._service.faults.wait(by_action["delay-reply"])
        if "drop-reply" in by_action:
            raise _DroppedError
        if (r := by_action.get("fail-reply")) is not None:
            raise KustoError(r.code, r.message, status=r.status, permanent=r.permanent)

    def _result(
        self,
        text: str,
        parsed: Parsed | None,
        request: Request,
        properties: Mapping[str, Any],
        fired: list[Rule],
    ) -> Result:
        options = properties.get("Options") or {}
        if parsed is not None:
            if any(options.get(name) is True for name in _READ_ONLY) and not parsed.reads_only():
                raise bad_request("the request is read-only ('request_readonly'), the command not")
            return self._service.command(parsed, request, fired)
        parameters = properties.get("Parameters") or {}
        return self._service.query(text, request, parameters, _timeout_s(options))

    def _encode(self, result: Result, request: Request, frames: bool) -> bytes:
        if frames:
            ids = (request.client_request_id, request.activity_id)
            document: Any = envelopes.v2(result, self._service.clock.now(), *ids)
        else:
            document = envelopes.v1(result)
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "replace"
        )


def _timeout_s(options: Mapping[str, Any]) -> float:
    """The query's deadline; 0 where the request says none."""
    if options.get("norequesttimeout") is True:
        return SERVER_TIMEOUT_MAX_S
    given = options.get("servertimeout")
    seconds = parse_period(str(given)).total_seconds() if given else 0.0
    return min(seconds, SERVER_TIMEOUT_MAX_S)


def _body(raw: bytes) -> tuple[str, str, Mapping[str, Any]]:
    try:
        document = json.loads(raw)
        text = document["csl"]
        database = document.get("db") or ""
        properties = document.get("properties") or {}
        if isinstance(properties, str):
            properties = json.loads(properties)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise bad_request("the body must be JSON with 'db' and 'csl'") from error
    if not isinstance(text, str) or not isinstance(database, str):
        raise bad_request("'db' and 'csl' must be strings")
    try:
        (text + database).encode()
    except UnicodeEncodeError as error:
        raise bad_request("the text has half a surrogate pair, which is no character") from error
    if not isinstance(properties, dict):
        raise bad_request("'properties' must be an object")
    if any(not isinstance(properties.get(k) or {}, dict) for k in ("Options", "Parameters")):
        raise bad_request("'Options' and 'Parameters' of the properties must be objects")
    if not text.strip():
        raise syntax_error("the text is empty")
    return text, database, properties


def wait_until(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Polls until the condition holds. Raises TimeoutError naming what was waited for."""
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} within {timeout_s:g} s")
        time.sleep(0.005)
