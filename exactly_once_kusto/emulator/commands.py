"""Management commands as frozen values: what ``parser.parse`` makes and ``service`` carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from .types import Column


@dataclass(frozen=True)
class Command:
    """Any management command.

    ``kind`` is the word by which a fault names it; ``operation`` is the service's alias in
    ``.show operations`` and ``.show commands``, empty for what isn't journaled there.
    """

    kind: ClassVar[str] = ""
    operation: ClassVar[str] = ""

    def named_tables(self) -> tuple[str, ...]:
        """The tables that it names, not those that only its query does."""
        one = [getattr(self, key, None) for key in ("table", "source", "target")]
        many = [getattr(self, key, ()) for key in ("tables", "names")]
        if getattr(self, "entity", "") == "table":
            one.append(getattr(self, "name", None))
        return tuple(str(name) for name in (*one, *many[0], *many[1]) if name)


@dataclass(frozen=True)
class CreateTable(Command):
    """``.create table`` and ``.create-merge table``."""

    kind: ClassVar[str] = "create-table"
    operation: ClassVar[str] = "TableCreate"
    table: str
    columns: tuple[Column, ...]
    merge: bool = False
    folder: str = ""
    docstring: str = ""


@dataclass(frozen=True)
class DropTables(Command):
    """``.drop table`` and ``.drop tables``."""

    kind: ClassVar[str] = "drop-table"
    operation: ClassVar[str] = "TableDrop"
    tables: tuple[str, ...]
    if_exists: bool = False


@dataclass(frozen=True)
class ClearTable(Command):
    """``.clear table T data``."""

    kind: ClassVar[str] = "clear-table"
    operation: ClassVar[str] = "TableClearData"
    table: str


@dataclass(frozen=True)
class Ingest(Command):
    """``.ingest [async] into table T (sources) with (...)``."""

    kind: ClassVar[str] = "ingest"
    operation: ClassVar[str] = "DataIngestPull"
    table: str
    sources: tuple[str, ...]
    properties: Mapping[str, str] = field(default_factory=dict)
    asynchronous: bool = False


@dataclass(frozen=True)
class IngestInline(Command):
    """``.ingest inline into table T <| data``."""

    kind: ClassVar[str] = "ingest-inline"
    operation: ClassVar[str] = "DataIngestInline"
    table: str
    data: str
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Append(Command):
    """``.append``, ``.set`` and ``.set-or-append [async] T <| query``."""

    kind: ClassVar[str] = "append"
    operation: ClassVar[str] = "TableAppend"
    table: str
    query: str
    properties: Mapping[str, str] = field(default_factory=dict)
    asynchronous: bool = False
    create: bool = False
    must_create: bool = False


@dataclass(frozen=True)
class TagFilter:
    """``tags has 'x'``: the operator is ``has`` or ``contains``, possibly negated."""

    operator: str
    value: str
    negated: bool = False


@dataclass(frozen=True)
class ShowExtents(Command):
    """``.show table T extents``, ``.show tables (...) extents`` and the wider scopes."""

    kind: ClassVar[str] = "extents"
    tables: tuple[str, ...] = ()
    database: str | None = None
    cluster: bool = False
    ids: tuple[str, ...] | None = None
    filters: tuple[TagFilter, ...] = ()


@dataclass(frozen=True)
class ShowOperations(Command):
    """``.show operations [id | (id, ...)]``."""

    kind: ClassVar[str] = "operations"
    ids: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ShowOperationDetails(Command):
    """``.show operation <id> details``."""

    kind: ClassVar[str] = "operation-details"
    id: str


@dataclass(frozen=True)
class ShowIngestionFailures(Command):
    """``.show ingestion failures [with (OperationId = id)]``."""

    kind: ClassVar[str] = "ingestion-failures"
    operation_id: str | None = None


@dataclass(frozen=True)
class ShowCommands(Command):
    """``.show commands``."""

    kind: ClassVar[str] = "commands"


@dataclass(frozen=True)
class ShowTables(Command):
    """``.show tables [(names)]`` and ``.show table T``."""

    kind: ClassVar[str] = "tables"
    names: tuple[str, ...] = ()
    one: bool = False


@dataclass(frozen=True)
class ShowTableDetails(Command):
    """``.show table T details`` and ``.show tables [(names)] details``."""

    kind: ClassVar[str] = "table-details"
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShowTableSchema(Command):
    """``.show table T cslschema`` and ``.show table T schema as json``."""

    kind: ClassVar[str] = "schema"
    table: str
    json: bool = False


@dataclass(frozen=True)
class ShowDatabases(Command):
    """``.show databases``."""

    kind: ClassVar[str] = "databases"


@dataclass(frozen=True)
class ShowVersion(Command):
    """``.show version``."""

    kind: ClassVar[str] = "version"


@dataclass(frozen=True)
class ShowPolicy(Command):
    """``.show table|database X policy P``; ``name`` is ``*`` for all tables."""

    kind: ClassVar[str] = "policy"
    entity: str
    name: str
    policy: str


@dataclass(frozen=True)
class AlterPolicy(Command):
    """``.alter|.alter-merge|.delete table|database X policy P``; ``value`` None deletes."""

    kind: ClassVar[str] = "alter-policy"
    operation: ClassVar[str] = "PolicyAlter"
    entity: str
    name: str
    policy: str
    value: str | None = None
    merge: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Parsed:
    """A command, the query that its result is piped into (None: no pipe), and its text for logs."""

    command: Command
    pipeline: str | None
    text: str

    def reads_only(self) -> bool:
        """Whether the command changes nothing."""
        named = type(self.command).__name__.startswith(("Show", "Get"))
        return named or getattr(self.command, "pretend", False) is True
