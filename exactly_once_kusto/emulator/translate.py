"""A query of Kusto's language as one statement of DuckDB's SQL.

Text, tree, tables, types: `kql_text` mends what duckdb-kql's parser reads wrongly, duckdb-kql makes
its tree, `rewrite` resolves tables and extent functions, `guard` adds what needs types. Runs in the
translator's process (`translator_process`), because a query of 136 characters can ask for more SQL
than any memory holds.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import duckdb
from duckdb_kql import ir
from duckdb_kql.errors import KqlError, KqlSchemaError, KqlSyntaxError, KqlUnsupportedError
from duckdb_kql.lower import lower
from duckdb_kql.params import bind
from duckdb_kql.translate import CLOCK_SLOT, clock, to_sql

from .arguments import positional
from .catalog import Catalog
from .errors import KustoError, bad_request, semantic_error, syntax_error
from .functions import register
from .guard import Guard
from .kql_text import prepare
from .rewrite import HIDDEN, Scope, rewrite
from .shapes import Shapes, empty_store, lay_out, lay_out_piped
from .translate_job import TOO_COMPLEX, Job, Translation, piped_select

SQL_LENGTH_MAX = 1024 * 1024


class Translator:
    """Translates one job after another, against the catalog it was last given."""

    def __init__(self) -> None:
        register()
        self._store = empty_store()
        self._catalog = Catalog((), {})

    def use(self, catalog: Catalog) -> None:
        """From here on, names mean what this catalog says."""
        self._store.close()
        self._store = empty_store()
        lay_out(self._store, catalog)
        self._catalog = catalog

    def translate(self, job: Job) -> Translation:
        """The translation. Raises KustoError for all that the service would refuse, and more."""
        try:
            return self._translate(job)
        except KustoError:
            raise
        except KqlSyntaxError as error:
            raise syntax_error(str(error)[:500]) from error
        except KqlUnsupportedError as error:
            raise _unsupported(error) from error
        except KqlSchemaError as error:
            raise semantic_error(str(error)) from error
        except KqlError as error:
            raise bad_request(str(error)) from error
        except (RecursionError, MemoryError) as error:
            raise bad_request(TOO_COMPLEX) from error
        except duckdb.Error as error:
            raise bad_request(str(error).split("\n\n", 1)[0]) from error
        except Exception as error:
            # A translator that stumbles is a query it can't do, not a fault of the service.
            raise bad_request(
                f"the query's translation failed ({type(error).__name__}: {error})"
            ) from error

    def _translate(self, job: Job) -> Translation:
        piped = None
        if job.piped is not None:
            lay_out_piped(self._store, job.piped)
            piped = ir.CommandSource(
                piped_select(job.piped), tuple(c.name for c in job.piped), "command"
            )
        scope = Scope(self._catalog, job.database, piped)
        text = positional(prepare(job.text))
        with clock(dt.datetime(2000, 1, 1)) as active:  # noqa: DTZ001 -- Kusto's are all UTC
            query = rewrite(lower(text, None, None, job.database, None), scope)
            values: dict[str, Any] = {}
            if query.parameters or job.parameters:
                values, unbound = bind(query.parameters, dict(job.parameters))
                if unbound:
                    raise semantic_error(f"query parameter '{unbound[0]}' has no value")
            schema = _schema(scope)
            query = Guard(Shapes(self._store, schema, active, values)).query(query)
            active.used = False
            sql = to_sql(query, schema)
            if len(sql) > SQL_LENGTH_MAX:
                raise bad_request(TOO_COMPLEX)
            bound = {slot: value for slot, value in values.items() if slot in sql.slots}
            if not active.used:
                return Translation(str(sql), bound, None)
            if active.moment != dt.datetime(2000, 1, 1):  # noqa: DTZ001 -- `set query_now`
                bound[CLOCK_SLOT] = active.moment
                return Translation(str(sql), bound, None)
            return Translation(str(sql), bound, CLOCK_SLOT)


def _unsupported(error: KqlUnsupportedError) -> KustoError:
    """What duckdb-kql can't do, as the service would say of what it doesn't know."""
    kind, _, name = error.construct.partition(":")
    if kind in ("function", "aggregate", "invoke") and name:
        return semantic_error(
            f"Unknown function: '{name}' is not supported by this emulator", "SEM0260"
        )
    where = f" at {error.span}" if error.span else ""
    hint = error.hint or ""
    because = f" ({hint})" if hint and "in this wave" not in hint else ""
    return syntax_error(f"'{error.construct}'{where} is not supported by this emulator{because}")


def _schema(scope: Scope) -> dict[str, list[str]]:
    """Columns by qualified table name, as duckdb-kql wants them."""
    schema: dict[str, list[str]] = {}
    for table in scope.catalog.tables.values():
        names = [c.name for c in table.columns]
        schema[f"{table.database}.{table.name}"] = names
        if table in scope.extended:
            schema[f"{table.database}.{table.name}$x"] = [*names, *HIDDEN]
    return schema
