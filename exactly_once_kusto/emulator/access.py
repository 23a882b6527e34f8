"""Who may do what: bearer tokens at the door, and the role that each request needs.

Without tokens everybody may do everything. Which role a command needs is said under 'Permissions'
on its page; the roles are those of https://learn.microsoft.com/kusto/access-control/role-based-access-control.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping

import duckdb
from starlette.types import ASGIApp, Receive, Scope, Send

from . import commands as c
from .catalog import Table
from .engine import Engine
from .errors import KustoError
from .extent_commands import CancelOperation
from .mappings import DropMapping, PutMapping
from .principals import ChangeRole, Principal, ShowPrincipals, acting, roles
from .queue_commands import (
    CancelQueuedOperation,
    GetIdentityToken,
    GetIngestionResources,
    ShowQueuedOperations,
)
from .queue_store import QueueStore

OPEN_PATHS = ("/v1/rest/auth/metadata", "/v1/rest/ping")

_ADMIN = {"AllDatabasesAdmin", "database admins"}
_USER = _ADMIN | {"database users"}
_VIEW = _USER | {"database viewers", "AllDatabasesViewer"}
_SHOW = _VIEW | {"database monitors", "AllDatabasesMonitor"}
_TABLE_ADMIN = _ADMIN | {"table admins"}
_INGEST = _TABLE_ADMIN | {"database ingestors", "table ingestors"}
_QUEUED = set(_INGEST)  # of its own: it is told by identity
_ANY = _SHOW | _INGEST
_CLUSTER = {"AllDatabasesAdmin", "AllDatabasesViewer", "AllDatabasesMonitor"}

# Commands whose need isn't told by their name (see `_needed`).
_NEEDS: Mapping[type[c.Command], set[str]] = {
    c.CreateTable: _USER,
    c.Ingest: _INGEST,
    c.IngestInline: _INGEST,
    PutMapping: _INGEST,
    DropMapping: _INGEST,
    # One's own records can be seen by whoever made them.
    c.ShowOperations: _ANY,
    c.ShowOperationDetails: _ANY,
    c.ShowIngestionFailures: _ANY,
    c.ShowCommands: _ANY,
    c.ShowDatabases: _ANY,
    c.ShowVersion: _ANY,
    # What is queued is judged by the identity token, when it is ingested.
    GetIngestionResources: _ANY,
    GetIdentityToken: _ANY,
    # "Table Ingestor permissions on the table associated with the IngestionOperationId"
    ShowQueuedOperations: _QUEUED,
    CancelQueuedOperation: _QUEUED,
    # Its page names no role: who may bring rows in may cancel.
    CancelOperation: _INGEST,
}


class BearerTokens:
    """ASGI middleware: only requests with a known token pass, and act as its principal.

    ``/emulator/...``, by which tests set faults and the clock, stays open.
    """

    def __init__(self, app: ASGIApp, principals: Mapping[str, Principal]) -> None:
        self._app = app
        self._known = {_digest(token): principal for token, principal in principals.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Called for every request."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path in OPEN_PATHS or path.startswith("/emulator/"):
            await self._app(scope, receive, send)
            return
        headers = {key.lower(): value for key, value in scope["headers"]}
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        principal = self._known.get(_digest(token.strip()))
        if scheme.lower() != "bearer" or principal is None:
            await _unauthorized(headers, send)
            return
        reset = acting.set(principal)
        try:
            await self._app(scope, receive, send)
        finally:
            acting.reset(reset)


def check_query(engine: Engine, database: str) -> None:
    """Refuses unless the acting principal may read the database. Raises KustoError (Forbidden)."""
    principal = acting.get()
    if principal is None:
        return
    with engine.reader() as q:
        if not roles(q, principal, database) & _VIEW:
            raise forbidden(principal, f"read database '{database}'")


def check(engine: Engine, command: c.Command, database: str) -> None:
    """Refuses what the acting principal has no role for. Raises KustoError (Forbidden)."""
    principal = acting.get()
    if principal is None:
        return
    with engine.reader() as q:
        if isinstance(command, c.Append):
            _check_append(q, engine, principal, command, database)
            return
        needed = _needed(command)
        if isinstance(command, c.CreateTable) and command.merge:
            # "Table Admin permissions for extending existing tables"
            exists = (database, command.table) in engine.catalog.tables
            needed = _TABLE_ADMIN if exists else _USER
        if isinstance(command, ShowQueuedOperations | CancelQueuedOperation):
            places = _queued_places(q, engine, command, database)
        else:
            places = _places(engine, command, database)
        for place, table in places:
            anywhere = table is None and (needed is _ANY or needed is _QUEUED)
            if not roles(q, principal, place, table, anywhere) & needed:
                raise _refused(principal, command, place, table)


def check_ingest(engine: Engine, database: str, table: str) -> None:
    """Refuses unless the acting principal may ingest into the table. Raises KustoError."""
    check(engine, c.Ingest(table, ()), database)


def forbidden(principal: Principal, what: str) -> KustoError:
    """HTTP 403, as the service words it."""
    return KustoError(
        "Forbidden",
        f"Principal '{principal.fqn}' is not authorized to {what}.",
        status=403,
        type_name="Kusto.DataNode.Exceptions.UnauthorizedDatabaseAccessException",
        title="Caller is not authorized to perform this action",
    )


def _check_append(
    q: duckdb.DuckDBPyConnection,
    engine: Engine,
    principal: Principal,
    command: c.Append,
    database: str,
) -> None:
    table = engine.catalog.tables.get((database, command.table))
    given = roles(q, principal, database, table)
    if not given & (_USER if table is None else _INGEST):
        raise _refused(principal, command, database, table)
    if not given & _VIEW:
        raise forbidden(principal, f"read database '{database}'")


def _needed(command: c.Command) -> set[str]:
    if isinstance(command, c.ShowExtents) and command.cluster:
        return _CLUSTER
    if isinstance(command, ShowPrincipals):
        return _ANY if command.own else _TABLE_ADMIN
    found = _NEEDS.get(type(command))
    if found is None:
        # Commands that only show need a role that sees; whatever else isn't named changes things.
        found = _SHOW if type(command).__name__.startswith("Show") else _TABLE_ADMIN
    return found


def _places(engine: Engine, command: c.Command, database: str) -> list[tuple[str, Table | None]]:
    """The databases and tables on which the command needs its role."""
    names = [getattr(command, key, None) for key in ("table", "source", "target", "destination")]
    names += list(getattr(command, "tables", ()))
    if isinstance(command, ChangeRole | ShowPrincipals | c.AlterPolicy | c.ShowPolicy):
        if command.entity == "database":
            return [(engine.catalog.database(command.name), None)]
        names.append(command.name)
    if isinstance(command, PutMapping | DropMapping) and command.entity == "database":
        return [(engine.catalog.database(command.name), None)]
    tables = {str(name): engine.catalog.tables.get((database, str(name))) for name in names if name}
    return [(database, table) for table in tables.values()] or [(database, None)]


def _queued_places(
    q: duckdb.DuckDBPyConnection,
    engine: Engine,
    command: ShowQueuedOperations | CancelQueuedOperation,
    database: str,
) -> list[tuple[str, Table | None]]:
    """The tables of tracked requests; an id that nobody knows needs the role on any table."""
    ids = (command.id,) if isinstance(command, CancelQueuedOperation) else command.ids
    found = QueueStore.places(q, ids)
    return [(db, engine.catalog.tables.get((db, table))) for db, table in found] or [
        (database, None)
    ]


def _refused(
    principal: Principal, command: c.Command, database: str, table: Table | None
) -> KustoError:
    place = f"table '{table.name}' of database '{database}'" if table else f"database '{database}'"
    return forbidden(principal, f"perform operation '{type(command).__name__}' on {place}")


def _digest(token: str) -> bytes:
    # Compared by digest, so that how long it takes tells nothing of a token.
    return hashlib.sha256(token.encode()).digest()


async def _unauthorized(headers: Mapping[bytes, bytes], send: Send) -> None:
    activity = str(uuid.uuid4())
    client_request = headers.get(b"x-ms-client-request-id") or f"unspecified;{activity}".encode()
    body = json.dumps(
        {
            "error": {
                "code": "Unauthorized",
                "message": "The request has no token that this emulator knows",
                "@type": "Kusto.Data.Exceptions.KustoRequestDeniedException",
                "@message": "Send 'Authorization: Bearer <token>' with a token from its list",
                "@permanent": True,
            }
        }
    ).encode()
    answered = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b"Bearer"),
        (b"x-ms-activity-id", activity.encode()),
        (b"x-ms-client-request-id", client_request),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": answered})
    await send({"type": "http.response.body", "body": body})
