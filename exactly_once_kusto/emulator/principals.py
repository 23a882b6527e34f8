"""Security roles: which principal has which role on a database or a table, and the commands for it.

Sources: https://learn.microsoft.com/kusto/management/security-roles,
manage-database-security-roles, manage-table-security-roles and reference-security-principals.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import duckdb

from . import commands as c
from .catalog import Table
from .engine import Engine
from .errors import KustoError, bad_request
from .mappings import Handler
from .reader import Reader
from .types import Result, columns

DATABASE_ROLES = ("admins", "users", "viewers", "unrestrictedviewers", "ingestors", "monitors")
TABLE_ROLES = ("admins", "ingestors")
CLUSTER_ROLES = ("AllDatabasesAdmin", "AllDatabasesViewer", "AllDatabasesMonitor")
PRINCIPALS_MAX = 10_000
_SHOWN = {
    **{"admins": "Admin", "users": "User", "viewers": "Viewer", "ingestors": "Ingestor"},
    **{"unrestrictedviewers": "UnrestrictedViewer", "monitors": "Monitor"},
}
_TYPES = {
    **{"aaduser": "Microsoft Entra user", "aadapp": "Microsoft Entra application"},
    **{"aadgroup": "Microsoft Entra group", "msauser": "Microsoft Account"},
}
COLUMNS = columns(
    "Role:string, PrincipalType:string, PrincipalDisplayName:string, PrincipalObjectId:string, "
    "PrincipalFQN:string, Notes:string"
)


@dataclass(frozen=True)
class Principal:
    """Who asks: ``aadapp=<id>;<tenant>`` or the like, and its roles on the whole cluster.

    Attributes:
        fqn: as the role commands write it; checked by ``checked``.
        cluster_roles: some of CLUSTER_ROLES, which no command can give.
    """

    fqn: str
    cluster_roles: tuple[str, ...] = ()


acting: ContextVar[Principal | None] = ContextVar("acting", default=None)
"""Who the request that is being answered comes from; None where no token is asked for."""


@dataclass(frozen=True)
class ChangeRole(c.Command):
    """``.add``, ``.drop`` and ``.set`` ``table|database X <role> (principals)``."""

    kind: ClassVar[str] = "change-role"
    verb: str
    entity: str
    name: str
    role: str
    principals: tuple[str, ...]
    skip_results: bool = False
    notes: str = ""


@dataclass(frozen=True)
class ShowPrincipals(c.Command):
    """``.show table|database X principals`` and ``... principal roles`` (one's own)."""

    kind: ClassVar[str] = "principals"
    entity: str
    name: str
    own: bool = False


def read_change(r: Reader, verb: str, entity: str, name: str) -> ChangeRole:
    """The rest of a command after the entity's name. Raises KustoError."""
    role = r.need(*(TABLE_ROLES if entity == "table" else DATABASE_ROLES))
    given = () if verb == "set" and r.take("none") else r.listed(r.string)
    skip = False
    if r.take("skip"):  # 'skip-results' is three tokens
        r.need("-")
        r.need("results")
        skip = True
    notes = r.string() if r.lexer.peek().kind == "string" else ""
    return ChangeRole(verb, entity, name, role, tuple(map(checked, given)), skip, notes)


def read_show(r: Reader, entity: str, name: str) -> ShowPrincipals:
    """The rest of a command from ``principals`` or ``principal roles`` on. Raises KustoError."""
    if r.need("principal", "principals") == "principals":
        return ShowPrincipals(entity, name)
    r.need("roles")
    return ShowPrincipals(entity, name, own=True)


def checked(fqn: str) -> str:
    """The principal's name, if it is one (``aadapp=4c7e...;contoso.com``). Raises KustoError."""
    provider, sign, rest = fqn.partition("=")
    if not sign or provider.lower() not in _TYPES or not rest.strip():
        raise bad_request(
            f"principal '{fqn[:200]}' is not understood: write aaduser=, aadapp= or aadgroup=, "
            "then a name or id, a semicolon and the tenant"
        )
    return fqn


def same(one: str, other: str) -> bool:
    """Whether two names mean one principal; the tenant counts only where both say it."""
    (a, _, tenant), (b, _, other_tenant) = one.lower().partition(";"), other.lower().partition(";")
    return a == b and (not tenant or not other_tenant or tenant == other_tenant)


def roles(
    q: duckdb.DuckDBPyConnection,
    principal: Principal,
    database: str,
    table: Table | None = None,
    anywhere: bool = False,
) -> set[str]:
    """What was given to the principal: cluster roles, ``database X`` and ``table X``.

    ``table X`` is a role on the table, or on any table of the database with ``anywhere``.
    """
    rows = q.execute(
        'SELECT tbl, role, fqn FROM "$emulator".principal WHERE db = ? AND (tbl IN (0, ?) OR ?)',
        [database, table.id if table else 0, anywhere],
    ).fetchall()
    given = {
        f"{'table' if number else 'database'} {role}"
        for number, role, fqn in rows
        if same(fqn, principal.fqn)
    }
    return given | set(principal.cluster_roles)


def own(engine: Engine, database: str, table: Table) -> None:
    """Makes the acting principal admin of a table that it has made (documented for users)."""
    principal = acting.get()
    if principal is None:
        return
    command = ChangeRole("add", "table", table.name, "admins", (principal.fqn,))
    change(engine, database, command)


def change(engine: Engine, database: str, command: ChangeRole) -> Result:
    """Adds, drops or sets principals of a role, durably; all principals of the entity."""
    with engine.write() as tx:
        owner, number = engine.catalog.entity(database, command.entity, command.name)
        known = tx.execute(
            'SELECT fqn FROM "$emulator".principal WHERE db = ? AND tbl = ? AND role = ?',
            [owner, number, command.role],
        ).fetchall()
        gone = [
            fqn
            for (fqn,) in known
            if command.verb == "set" or any(same(fqn, given) for given in command.principals)
        ]
        for fqn in gone:
            tx.execute(
                'DELETE FROM "$emulator".principal '
                "WHERE db = ? AND tbl = ? AND role = ? AND fqn = ?",
                [owner, number, command.role, fqn],
            )
        if command.verb != "drop":
            _insert(tx, owner, number, command)
    if command.skip_results:
        return Result(COLUMNS, [])
    return show(engine, database, ShowPrincipals(command.entity, command.name))


def show(engine: Engine, database: str, command: ShowPrincipals) -> Result:
    """A row for each role of each principal on the entity; one's own alone where asked for."""
    owner, number = engine.catalog.entity(database, command.entity, command.name)
    with engine.reader() as q:
        found = q.execute(
            'SELECT role, fqn, notes FROM "$emulator".principal WHERE db = ? AND tbl = ? '
            "ORDER BY role, fqn",
            [owner, number],
        ).fetchall()
    principal = acting.get()
    rows: list[tuple[object, ...]] = []
    for role, fqn, notes in found:
        if command.own and (principal is None or not same(fqn, principal.fqn)):
            continue
        name = fqn.partition("=")[2].partition(";")[0]
        kind = _TYPES[fqn.partition("=")[0].lower()]
        title = f"{command.entity.capitalize()} {command.name} {_SHOWN[role]}"
        rows.append((title, kind, name, name, fqn, notes))
    return Result(COLUMNS, rows)


def handlers(engine: Engine) -> dict[type[c.Command], Handler]:
    """What carries out the commands of this module."""
    return {
        ChangeRole: lambda command, request, _: change(engine, request.database, command),
        ShowPrincipals: lambda command, request, _: show(engine, request.database, command),
    }


def read_principals(file: Path | None) -> dict[str, object] | None:
    """The principals by token that a file lists. Raises OSError, ValueError."""
    if file is None:
        return None
    try:
        given = json.loads(file.read_text("utf-8"))
    except ValueError:
        given = None  # what json says of it could tell a token
    if not isinstance(given, dict) or not given:
        raise ValueError("it must be a JSON object with a principal for each token")
    parse_principals(given.items())
    return given


def parse_principals(given: Iterable[tuple[str, object]]) -> dict[str, Principal]:
    """Principals by token. Raises ValueError, which never tells a token.

    A token's value is the principal, or ``{"principal": ..., "roles": ["AllDatabasesAdmin"]}``.
    """
    found: dict[str, Principal] = {}
    for token, value in given:
        described = {"principal": value} if isinstance(value, str) else value
        if not token or not isinstance(described, dict):
            raise ValueError("a token's value must be a principal, or an object with 'principal'")
        fqn, cluster = described.get("principal"), described.get("roles", [])
        if not isinstance(cluster, list) or not set(cluster) <= set(CLUSTER_ROLES):
            raise ValueError(f"'roles' of '{fqn}' must be some of {', '.join(CLUSTER_ROLES)}")
        try:
            found[token] = Principal(checked(str(fqn)), tuple(cluster))
        except KustoError as error:
            raise ValueError(error.message) from error
    return found


def _insert(tx: duckdb.DuckDBPyConnection, database: str, number: int, command: ChangeRole) -> None:
    counted = tx.execute('SELECT count(*) FROM "$emulator".principal').fetchone()
    if counted and counted[0] + len(command.principals) > PRINCIPALS_MAX:
        raise bad_request(f"more than {PRINCIPALS_MAX} roles are given")
    for fqn in dict.fromkeys(command.principals):
        tx.execute(
            'INSERT INTO "$emulator".principal VALUES (?,?,?,?,?)',
            [database, number, command.role, fqn, command.notes],
        )
