"""What exists: databases, tables and their columns. A frozen picture, replaced at every change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .errors import bad_request, not_found
from .types import EXACT_DECIMAL, Column


def quote(name: str) -> str:
    """An identifier of DuckDB's SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


@dataclass(frozen=True)
class DecimalWidth:
    """The most digits before the point, and after it, that a decimal column holds."""

    digits: int = 0
    scale: int = 0


@dataclass(frozen=True)
class Table:
    """A table: its number (which names its storage), its columns, and what describes it."""

    id: int
    database: str
    name: str
    columns: tuple[Column, ...]
    widths: tuple[DecimalWidth, ...]
    folder: str = ""
    docstring: str = ""

    @property
    def storage(self) -> str:
        """The SQL name of the table that holds the rows."""
        return f'"$data".t{self.id}'

    @property
    def cslschema(self) -> str:
        """``a:long,b:string``."""
        return ",".join(f"{c.name}:{c.type}" for c in self.columns)

    def views(self) -> list[str]:
        """SQL of the two views: what queries read, and ``T$x`` with the extent's columns."""
        shown = [
            f"{_shown(column, width, i)} AS {quote(column.name)}"
            for i, (column, width) in enumerate(zip(self.columns, self.widths, strict=True))
        ]
        place = f"{quote(self.database)}.{quote(self.name)}"
        hidden = f"{quote(self.database)}.{quote(self.name + '$x')}"
        listed = ", ".join(shown)
        return [
            f"CREATE OR REPLACE VIEW {place} AS SELECT {listed} FROM {self.storage}",
            f"CREATE OR REPLACE VIEW {hidden} AS SELECT {listed}, e.id AS __ek_id, "
            f"h.tags AS __ek_tags, e.ingested AS __ek_time FROM {self.storage} t "
            f'JOIN "$emulator".ext e ON e.n = t.n '
            # A merged extent has several pieces, of which one has the tags.
            f'JOIN "$emulator".ext h ON h.id = e.id AND h.tags IS NOT NULL',
        ]

    def widened(self, widths: tuple[DecimalWidth, ...]) -> Table:
        """This table, with room for decimals of the given widths too."""
        wider = tuple(
            DecimalWidth(max(a.digits, b.digits), max(a.scale, b.scale))
            for a, b in zip(self.widths, widths, strict=True)
        )
        return self if wider == self.widths else replace(self, widths=wider)


def _shown(column: Column, width: DecimalWidth, index: int) -> str:
    if column.type != "decimal":
        return f"c{index}"
    if width.digits + width.scale <= 38:
        return f"CAST(c{index} AS DECIMAL(38, {width.scale}))"
    # No DECIMAL(38, s) holds them all: ordered by the double, exact in the text.
    return (
        f"CASE WHEN c{index} IS NULL THEN NULL ELSE "
        f"CAST({{'k': c{index}::DOUBLE, 'decimal': c{index}}} AS {EXACT_DECIMAL}) END"
    )


@dataclass(frozen=True)
class Catalog:
    """All databases and tables at one moment; only names of databases ignore case."""

    databases: tuple[str, ...]
    tables: Mapping[tuple[str, str], Table]

    def database(self, name: str | None) -> str:
        """The database of that name, spelled as it was made. Raises KustoError."""
        low = (name or "").lower()
        for known in self.databases:
            if known.lower() == low:
                return known
        if low in ("", "netdefaultdb") and self.databases:
            return self.databases[0]  # the SDK's own default for 'no database'
        raise not_found("Database", name or "")

    def entity(self, database: str, kind: str, name: str) -> tuple[str, int]:
        """A database with 0, or a database with its table's number. Raises KustoError."""
        if kind == "database":
            return self.database(name), 0
        return database, self.table(database, name).id

    def table(self, database: str, name: str) -> Table:
        """The table. Raises KustoError (BadRequest_EntityNotFound)."""
        found = self.tables.get((database, name))
        if found is None:
            raise not_found("Table", name)
        return found

    def of(self, database: str) -> list[Table]:
        """The tables of a database, by name."""
        return sorted(
            (t for t in self.tables.values() if t.database == database), key=lambda t: t.name
        )

    def check_new(self, database: str, name: str, columns: tuple[Column, ...]) -> None:
        """Refuses names that DuckDB can't keep apart. Raises KustoError."""
        for known in self.of(database):
            if known.name.lower() == name.lower() and known.name != name:
                raise bad_request(
                    f"table '{name}' differs from '{known.name}' only in case, which this "
                    "emulator can't keep apart; choose another name"
                )
        seen: dict[str, str] = {}
        for column in columns:
            other = seen.setdefault(column.name.lower(), column.name)
            if other != column.name:
                raise bad_request(
                    f"columns '{other}' and '{column.name}' of table '{name}' differ only in "
                    "case, which this emulator can't keep apart; choose another name"
                )
        if len(seen) != len(columns):
            raise bad_request(f"table '{name}' has two columns of one name")

    def with_table(self, table: Table) -> Catalog:
        """A picture with the table added or replaced."""
        return Catalog(self.databases, {**self.tables, (table.database, table.name): table})

    def without(self, table: Table) -> Catalog:
        """A picture without the table."""
        kept = {k: v for k, v in self.tables.items() if v.id != table.id}
        return Catalog(self.databases, kept)
