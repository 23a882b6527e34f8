"""Examples in a checkout of Kusto's documentation: a query, and the result table printed below it.

Only the text is read here; nothing of it is kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(\s*(?:>\s?)*)(`{3,})\s*(\w*)\s*$")
_OUTPUT = re.compile(r"^[\s>*#]*(?:the\s+)?outputs?\b", re.IGNORECASE)
_RULE = re.compile(r"^\|?\s*:?-+:?\s*(\|\s*:?-*:?\s*)*\|?$")
_CELL = re.compile(r"(?<!\\)\|")
_SAMPLE_TABLES = re.compile(
    # Tables of the public sample cluster, and placeholders such as T and Table1.
    r"\b(StormEvents|PopulationData|US_States|US_Counties|ConferenceSessions|SimpleTable|"
    r"demo_\w+|nyc_\w+|NYC_\w+|Covid19_?\w*|OccupancyDetection|GeoRegions|Iris|iris|"
    r"hits_by_\w+|Sales\w*Fact\w*|SalesFact|SalesTable|ProductsTable|Products|Customers|"
    r"TransformedServerLogs|RawServerLogs|DeviceEvents|SecurityLogs|Emails|InboundBrowsing|"
    r"Employees|PassiveDns|OutboundBrowsing|AuthenticationEvents|Companies|Logs|Traces|"
    r"Weblogs|Perf|SecurityEvent|Heartbeat|AzureActivity|LinkedIn|Occupancy|Usage|"
    r"BostonHousing|EventsTable|StormEventsSmall|T[0-9]?\b(?=\s*\n?\s*\|))"
)
_BOUND = re.compile(r"(?:\blet\s+|\bas\s+|[(,]\s*)(\w+)\s*(?==|:\s*\(|;|\||$)")
_INLINE = re.compile(r"\b(datatable|print|range|make-graph|\bview\b)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Example:
    """One query of the documentation and what the page prints for it.

    ``key`` is the page and eight digits of the query's hash: it stays the same while the query
    does. ``partial`` is set where the page says that it prints only some of the rows.
    """

    key: str
    page: str
    line: int
    query: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    partial: bool

    @property
    def self_contained(self) -> bool:
        """Whether the query brings its own rows, as far as its text tells."""
        bound = set(_BOUND.findall(self.query))
        tables = (found.group() for found in _SAMPLE_TABLES.finditer(self.query))
        return bool(_INLINE.search(self.query)) and all(name in bound for name in tables)


def examples(checkout: Path) -> list[Example]:
    """All examples with a printed result, page by page. Raises ValueError for another directory."""
    root = checkout / "data-explorer" / "kusto"
    if not root.is_dir():
        raise ValueError(f"{checkout} is no checkout of MicrosoftDocs/dataexplorer-docs")
    found: list[Example] = []
    for path in sorted(root.rglob("*.md")):
        page = path.relative_to(root).as_posix()
        found.extend(_page(page, path.read_text("utf-8-sig", "replace").splitlines()))
    return found


def _page(page: str, lines: list[str]) -> Iterator[Example]:
    seen: dict[str, int] = {}
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None:
            at += 1
            continue
        end = _closing(lines, at, fence.group(2))
        if fence.group(3).lower() == "kusto":
            query = "\n".join(_outdent(line) for line in lines[at + 1 : end]).strip()
            table = _table(lines, end + 1)
            if table is not None and query and not query.startswith("."):
                digest = hashlib.sha256(query.encode()).hexdigest()[:8]
                seen[digest] = seen.get(digest, 0) + 1
                key = f"{page} {digest}" + (f" {seen[digest]}" if seen[digest] > 1 else "")
                yield Example(key, page, at + 1, query, *table)
        at = end + 1


def _closing(lines: list[str], at: int, ticks: str) -> int:
    for number in range(at + 1, len(lines)):
        if lines[number].strip(" >\t").rstrip() == ticks:
            return number
    return len(lines)


def _outdent(line: str) -> str:
    return line.lstrip("> ") if line.startswith((">", "    ")) else line


Table = tuple[tuple[str, ...], tuple[tuple[str, ...], ...], bool]


def _table(lines: list[str], at: int) -> Table | None:
    """The table after an 'Output' line, before the next heading or code."""
    announced = False
    partial = False
    while at < len(lines):
        line = lines[at].strip(" >\t")
        if _FENCE.match(lines[at]) or (line.startswith("#") and not _OUTPUT.match(line)):
            return None
        if _OUTPUT.match(line):
            announced = True
        if re.search(r"first|truncated|only|partial|sample|excerpt|might|may\b", line, re.I):
            partial = partial or announced
        follows = lines[at + 1].strip(" >\t") if at + 1 < len(lines) else ""
        if announced and "|" in line and _RULE.match(follows):
            return _read(lines, at, partial)
        at += 1
    return None


def _read(lines: list[str], at: int, partial: bool) -> Table:
    header = _cells(lines[at])
    rows = []
    number = at + 2
    while number < len(lines) and "|" in lines[number]:
        cells = _cells(lines[number])
        if all(cell in ("", "...", "…", "..", ".") for cell in cells) and any(cells):
            partial = True
        else:
            rows.append(cells)
        number += 1
    return header, tuple(rows), partial


def _cells(line: str) -> tuple[str, ...]:
    text = line.strip(" >\t")
    text = text.removeprefix("|")
    if text.endswith("|") and not text.endswith("\\|"):
        text = text[:-1]
    return tuple(cell.strip() for cell in _CELL.split(text))
