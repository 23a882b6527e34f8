"""HTTP of ingestion without commands: streaming, and queued by REST with its tracking.

Paths: https://learn.microsoft.com/kusto/api/rest/streaming-ingest and
https://learn.microsoft.com/kusto/management/data-ingestion/queued-ingest-use-http.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from . import access, envelopes, request_body
from .faults import Rule, Scope
from .operations import Request
from .rest_ingestion import RestIngestion
from .service import Service
from .streaming import inflated

BODY_BYTES_MAX = 16 * 1024 * 1024


class Front(Protocol):
    """What every endpoint has around its work."""

    async def guarded(
        self, http: HttpRequest, work: Callable[[Request], Awaitable[bytes]]
    ) -> Response:
        """The answer, or the error's body; ids in headers."""

    def faulted(
        self, kind: str, text: str, scope: Scope, work: Callable[[list[Rule]], bytes]
    ) -> bytes:
        """The work, with what faults on that kind do before and after it."""


class IngestionEndpoints:
    """The handlers; work is done in threads, one a request."""

    def __init__(self, service: Service, front: Front) -> None:
        self._service = service
        self._front = front
        self._rest = RestIngestion(service.queued)

    def routes(self) -> list[Route]:
        """What is served."""
        table = "/{database}/{table}"
        queued = f"/v1/rest/ingestion/queued{table}"
        return [
            Route(f"/v1/rest/ingest{table}", self.stream, methods=["POST"]),
            Route("/v1/rest/ingestion/configuration", self.configuration, methods=["GET"]),
            Route(queued, self.submit, methods=["POST"]),
            Route(queued + "/{operation}", self.status, methods=["GET"]),
        ]

    async def stream(self, http: HttpRequest) -> Response:
        """Streaming ingestion; the fault kind is ``streaming``, its text the table's name."""

        async def work(request: Request) -> bytes:
            raw = await request_body.read(http, BODY_BYTES_MAX)
            named = self._named(http, request)
            table = http.path_params["table"]

            def run(_: list[Rule]) -> bytes:
                body = inflated(raw, http.headers.get("content-encoding", ""))
                parameters = dict(http.query_params)
                result = self._service.streaming.run(named, table, parameters, body)
                return _json(envelopes.v1(result))

            scope = Scope(named.database, (table,))
            return await run_in_threadpool(self._front.faulted, "streaming", table, scope, run)

        return await self._front.guarded(http, work)

    async def configuration(self, http: HttpRequest) -> Response:
        """Where to put blobs; the fault kind is ``ingestion-configuration``."""

        async def work(_: Request) -> bytes:
            return await run_in_threadpool(
                self._front.faulted,
                "ingestion-configuration",
                "",
                Scope(),
                lambda _: _json(self._rest.configuration()),
            )

        return await self._front.guarded(http, work)

    async def submit(self, http: HttpRequest) -> Response:
        """Queues blobs; the fault kind is ``queued``, its text the body."""

        async def work(request: Request) -> bytes:
            raw = await request_body.read(http, BODY_BYTES_MAX)
            database = self._named(http, request).database
            table = self._service.engine.catalog.table(database, http.path_params["table"])
            access.check_ingest(self._service.engine, database, table.name)
            return await run_in_threadpool(
                self._front.faulted,
                "queued",
                raw.decode("utf-8", "replace"),
                Scope(database, (table.name,)),
                lambda _: _json(self._rest.submit(database, table.name, raw)),
            )

        return await self._front.guarded(http, work)

    async def status(self, http: HttpRequest) -> Response:
        """Tells how a request goes; the fault kind is ``queued-status``, its text the id."""

        async def work(request: Request) -> bytes:
            database = self._named(http, request).database
            operation = http.path_params["operation"]
            table = self._service.engine.catalog.table(database, http.path_params["table"]).name
            access.check_ingest(self._service.engine, database, table)
            details = http.query_params.get("details", "").lower() == "true"
            return await run_in_threadpool(
                self._front.faulted,
                "queued-status",
                operation,
                Scope(database, (table,)),
                lambda _: _json(self._rest.status(database, table, operation, details)),
            )

        return await self._front.guarded(http, work)

    def _named(self, http: HttpRequest, request: Request) -> Request:
        database = self._service.engine.catalog.database(http.path_params["database"])
        http.state.database = database
        return replace(request, database=database)


def _json(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )
