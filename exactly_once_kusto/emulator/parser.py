"""From the text of a management command to its value; see ``commands`` for what is understood."""

from __future__ import annotations

import re
from collections.abc import Callable

from . import commands as c
from . import extent_syntax, mappings, principals, queue_commands
from .errors import syntax_error
from .lexer import Lexer, obfuscate
from .reader import Reader, unknown
from .types import Column, canonical_type

NAME_LENGTH_MAX = 1024
_VERB = re.compile(r"\s*(?://[^\n]*\n\s*)*\.([a-zA-Z]+(?:-[a-zA-Z]+)*)")


def is_command(text: str) -> bool:
    """Whether the text is a management command (begins with a dot) rather than a query."""
    return _VERB.match(text) is not None


def parse(text: str) -> c.Parsed:
    """The command in the text. Raises KustoError (syntax, or not supported by the emulator)."""
    found = _VERB.match(text)
    if found is None:
        raise syntax_error("a management command begins with a dot")
    lexer = Lexer(text)
    lexer.position = found.end()
    verb = found.group(1).lower()
    build = _VERBS.get(verb)
    if build is None:
        raise unknown(text)
    command = build(Reader(lexer, text))
    tail = lexer.next()
    if tail.kind == "end":
        pipeline = None
    elif tail.value == "|":
        pipeline = lexer.rest()
    else:
        raise syntax_error(f"unexpected '{tail.told}' at position {tail.start}")
    return c.Parsed(command, pipeline, obfuscate(text, lexer.secrets))


def _create(r: Reader, merge: bool = False) -> c.Command:
    if r.ahead("database"):
        return _put_mapping(r, "create")
    if not r.take("table"):
        raise r.unknown()
    table = _new_name(r.entity())
    if not merge and r.take("ingestion"):
        return mappings.read_put(r, "table", table, "create")
    if not r.ahead("("):
        raise r.unknown()
    r.need("(")
    columns: list[Column] = []
    while not r.take(")"):
        if columns:
            r.need(",")
        name = _new_name(r.name())
        r.need(":")
        declared = r.name()
        scalar = canonical_type(declared)
        if scalar is None:
            raise syntax_error(f"'{declared}' is not a scalar data type (column '{name}')")
        columns.append(Column(name, scalar))
    given = r.properties()
    return c.CreateTable(
        table, tuple(columns), merge, given.get("folder", ""), given.get("docstring", "")
    )


def _new_name(name: str) -> str:
    """The name, if an entity may have it: https://learn.microsoft.com/kusto/query/schema-entities/entity-names.

    Which characters the service allows is not held against it.
    """
    if not 1 <= len(name) <= NAME_LENGTH_MAX or "\0" in name:
        raise syntax_error(
            f"a name has 1 to {NAME_LENGTH_MAX} characters, none of them NUL; this one has "
            f"{len(name)}: '{name[:80]}'"
        )
    return name


def _put_mapping(r: Reader, verb: str) -> c.Command:
    if not r.ahead("table", "database"):
        raise r.unknown()
    entity = r.need("table", "database")
    name = r.entity()
    if not r.take("ingestion"):
        raise r.unknown()
    return mappings.read_put(r, entity, name, verb)


def _create_merge(r: Reader) -> c.Command:
    return _create(r, merge=True)


def _drop(r: Reader) -> c.Command:
    asynchronous = r.take("async")
    if r.take("extents"):
        return extent_syntax.drop(r)
    if r.take("extent"):
        return extent_syntax.drop_extent(r, asynchronous)
    if r.take("tables"):
        return c.DropTables(r.listed(r.entity), r.take("ifexists"))
    if r.take("database"):
        database = r.entity()
        if r.take("ingestion"):
            return mappings.read_drop(r, "database", database)
        if r.ahead(*principals.DATABASE_ROLES):
            return principals.read_change(r, "drop", "database", database)
        raise r.unknown()
    if not r.take("table"):
        raise r.unknown()
    table = r.entity()
    if r.take("ingestion"):
        return mappings.read_drop(r, "table", table)
    if r.ahead(*principals.TABLE_ROLES):
        return principals.read_change(r, "drop", "table", table)
    if r.take("extent"):
        return extent_syntax.drop_tags(r, table, asynchronous)
    if not r.at_end() and not r.ahead("ifexists"):
        raise r.unknown()
    return c.DropTables((table,), r.take("ifexists"))


def _clear(r: Reader) -> c.Command:
    if not r.take("table"):
        raise r.unknown()
    table = r.entity()
    r.need("data")
    return c.ClearTable(table)


def _ingest(r: Reader) -> c.Command:
    if r.take("inline"):
        r.need("into")
        r.need("table")
        table = r.entity()
        given = r.properties()
        if not r.ahead("<|"):
            return c.IngestInline(table, r.records(), given)
        return c.IngestInline(
            table, r.query().lstrip(" \t").removeprefix("\r").removeprefix("\n"), given
        )
    asynchronous = r.take("async")
    r.need("into")
    r.take("table")
    table = r.entity()
    sources = r.listed(r.string) if r.ahead("(") else (r.string(),)
    if not sources:
        raise syntax_error("'.ingest into' needs at least one source")
    return c.Ingest(table, sources, r.properties(), asynchronous)


def _append(r: Reader, create: bool = False, must_create: bool = False) -> c.Command:
    asynchronous = r.take("async")
    table = r.entity()
    given = r.properties()
    return c.Append(table, r.query(), given, asynchronous, create, must_create)


def _set(r: Reader) -> c.Command:
    if r.ahead("table", "database"):
        return _role(r, "set")
    return _append(r, create=True, must_create=True)


def _role(r: Reader, verb: str) -> c.Command:
    if not r.ahead("table", "database"):
        raise r.unknown()
    entity = r.need("table", "database")
    return principals.read_change(r, verb, entity, r.entity())


def _show(r: Reader) -> c.Command:
    token = r.lexer.peek()
    word = token.value.lower() if token.kind == "word" else ""
    build = _SHOW.get(word)
    if build is None:
        raise r.unknown()
    r.lexer.next()
    return build(r)


def _extents(
    r: Reader, tables: tuple[str, ...] = (), database: str | None = None, cluster: bool = False
) -> c.Command:
    ids = r.listed(r.guid) if r.ahead("(") else None
    r.take("hot")
    filters: list[c.TagFilter] = []
    if r.take("where"):
        filters.append(_tag_filter(r))
        while r.take("and"):
            filters.append(_tag_filter(r))
    return c.ShowExtents(tables, database, cluster, ids, tuple(filters))


def _tag_filter(r: Reader) -> c.TagFilter:
    r.need("tags")
    negated = r.take("!")
    operator = r.need("has", "contains")
    token = r.lexer.peek()
    value = r.string() if token.kind == "string" else r.name()
    return c.TagFilter(operator, value, negated)


def _show_table(r: Reader) -> c.Command:
    if r.take("*"):
        r.need("policy")
        return c.ShowPolicy("table", "*", r.name().lower())
    table = r.entity()
    if r.take("extents"):
        return _extents(r, tables=(table,))
    if r.take("cslschema"):
        return c.ShowTableSchema(table)
    if r.take("ingestion"):
        return mappings.read_show(r, "table", table)
    if r.ahead("principal", "principals"):
        return principals.read_show(r, "table", table)
    if r.take("schema"):
        r.need("as")
        r.need("json")
        return c.ShowTableSchema(table, json=True)
    if r.take("policy"):
        return c.ShowPolicy("table", table, r.name().lower())
    if r.take("details"):
        return c.ShowTableDetails((table,))
    if r.at_end():
        return c.ShowTables((table,), one=True)
    raise r.unknown()


def _show_tables(r: Reader) -> c.Command:
    names = r.listed(r.entity) if r.ahead("(") else ()
    if r.take("extents"):
        return _extents(r, tables=names)
    if r.take("details"):
        return c.ShowTableDetails(names)
    if not r.at_end():
        raise r.unknown()
    return c.ShowTables(names)


def _show_database(r: Reader) -> c.Command:
    database = r.name()
    if r.take("extents"):
        return _extents(r, database=database)
    if r.take("ingestion"):
        return mappings.read_show(r, "database", database)
    if r.ahead("principal", "principals"):
        return principals.read_show(r, "database", database)
    if r.take("policy"):
        return c.ShowPolicy("database", database, r.name().lower())
    raise r.unknown()


def _show_cluster(r: Reader) -> c.Command:
    if r.take("databases"):
        return c.ShowDatabases()
    if not r.take("extents"):
        raise r.unknown()
    return _extents(r, cluster=True)


def _show_operations(r: Reader) -> c.Command:
    if r.ahead("("):
        return c.ShowOperations(r.listed(r.guid))
    if r.at_end():
        return c.ShowOperations()
    operation = r.guid()
    if r.take("details"):
        return c.ShowOperationDetails(operation)
    return c.ShowOperations((operation,))


def _show_failures(r: Reader) -> c.Command:
    r.need("failures")
    return c.ShowIngestionFailures(r.properties().get("operationid"))


def _show_databases(r: Reader) -> c.Command:
    if not r.at_end():
        raise r.unknown()
    return c.ShowDatabases()


def _cancel(r: Reader) -> c.Command:
    return queue_commands.read_cancel(r) if r.take("queued") else extent_syntax.cancel(r)


_SHOW: dict[str, Callable[[Reader], c.Command]] = {
    "queued": queue_commands.read_show,
    "table": _show_table,
    "tables": _show_tables,
    "database": _show_database,
    "databases": _show_databases,
    "cluster": _show_cluster,
    "extents": _extents,
    "operations": _show_operations,
    "operation": _show_operations,
    "ingestion": _show_failures,
    "commands": lambda _: c.ShowCommands(),
    "version": lambda _: c.ShowVersion(),
}


def _alter(r: Reader, merge: bool = False) -> c.Command:
    asynchronous = r.take("async")
    if not r.ahead("table", "database"):
        raise r.unknown()
    entity = r.need("table", "database")
    name = r.entity()
    if not merge and r.take("ingestion"):
        return mappings.read_put(r, entity, name, "alter")
    if entity == "table" and r.take("extent"):
        return extent_syntax.alter_tags(r, name, merge, asynchronous)
    if not r.take("policy"):
        raise r.unknown()
    policy = r.name().lower()
    if r.lexer.peek().kind == "string":
        return c.AlterPolicy(entity, name, policy, r.string(), merge)
    if policy == "streamingingestion" and r.ahead("enable", "disable"):
        enabled = str(r.need("enable", "disable") == "enable").lower()
        return c.AlterPolicy(entity, name, policy, f'{{"IsEnabled": {enabled}}}', merge)
    settings: dict[str, str] = {}
    while not r.at_end():
        key = r.name().lower()
        r.need("=")
        settings[key] = r.value()
    if not settings:
        raise syntax_error(f"policy '{policy}' needs a value")
    return c.AlterPolicy(entity, name, policy, "{}", merge, settings)


def _delete(r: Reader) -> c.Command:
    if not r.ahead("table", "database"):
        raise r.unknown()
    entity = r.need("table", "database")
    name = r.entity()
    if not r.take("policy"):
        raise r.unknown()
    return c.AlterPolicy(entity, name, r.name().lower())


_VERBS: dict[str, Callable[[Reader], c.Command]] = {
    "create": _create,
    "create-merge": _create_merge,
    "create-or-alter": lambda r: _put_mapping(r, "create-or-alter"),
    "drop": _drop,
    "clear": _clear,
    "ingest": _ingest,
    "append": _append,
    "set-or-append": lambda r: _append(r, create=True),
    "set": _set,
    "add": lambda r: _role(r, "add"),
    "show": _show,
    "alter": _alter,
    "alter-merge": lambda r: _alter(r, merge=True),
    "delete": _delete,
    "move": extent_syntax.move,
    "replace": extent_syntax.replace,
    "merge": extent_syntax.merge,
    "cancel": _cancel,
    "get": queue_commands.read_get,
    "drop-pretend": extent_syntax.drop_pretend,
}
