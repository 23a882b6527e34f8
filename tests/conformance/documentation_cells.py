"""Whether a result is what a page prints: tables in Markdown say less than typed values do.

Numbers are compared to the digits that are printed, dates and durations by value, dynamic values
as JSON, everything else as text. What can't be read as its type is compared as text.
"""

from __future__ import annotations

import datetime as dt
import html
import json
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

_NUMBER = re.compile(r"[-+]?(\d[\d,]*\.?\d*|\.\d+)([eE][-+]?\d+)?")
_TIMESPAN = re.compile(r"(-)?(?:(\d+)[.:])?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,7}))?)?")
_NULLS = ("", "null", "(null)", "nan")
_FORMATS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %H:%M:%S",
)


def same_table(
    header: Sequence[str],
    printed: Sequence[Sequence[str]],
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[Any]],
    partial: bool,
    ordered: bool,
) -> str | None:
    """None where the result is the printed one, else in a few words how it differs.

    Columns are (name, Kusto type); rows are values of the wire's JSON.
    """
    titles = [plain(cell) for cell in header]
    names = [name for name, _ in columns]
    shown_all = "..." not in titles and "…" not in titles
    if len(titles) == len(names):
        places = list(range(len(names)))
        if sorted(titles) == sorted(names) and titles != names:
            return f"columns in another order: {names} instead of {titles}"
    elif not shown_all and set(titles) - {"...", "…"} <= set(names):
        places = [names.index(title) for title in titles if title in names]
        keep = [i for i, title in enumerate(titles) if title in names]
        printed = [[row[i] for i in keep if i < len(row)] for row in printed]
    else:
        return f"columns {names} instead of {titles}"
    if len(titles) == len(names) and shown_all and titles != names and any(titles):
        wrong = [(a, b) for a, b in zip(titles, names, strict=True) if a != b]
        return f"column '{wrong[0][1]}' instead of '{wrong[0][0]}'"
    types = [columns[i][1] for i in places]
    actual = [[row[i] for i in places] for row in rows]
    if not actual and len(printed) == 1 and not any(printed[0]):
        return None  # an empty row is how a page prints that there is none
    if len(actual) != len(printed) and not partial:
        return f"{len(actual)} rows instead of {len(printed)}"
    return _same_rows(printed, actual, types, ordered and not partial)


def _same_rows(
    printed: Sequence[Sequence[str]],
    actual: Sequence[Sequence[Any]],
    types: Sequence[str],
    ordered: bool,
) -> str | None:
    left = list(actual)
    for number, row in enumerate(printed):
        if ordered:
            if not _same_row(row, left[number], types):
                return f"row {number}: {left[number]!r} instead of {list(row)!r}"
            continue
        at = next((i for i, other in enumerate(left) if _same_row(row, other, types)), None)
        if at is None:
            near = left[0] if left else None
            return f"no row {list(row)!r}; there is {near!r}"
        del left[at]
    return None


def _same_row(printed: Sequence[str], actual: Sequence[Any], types: Sequence[str]) -> bool:
    padded = list(printed) + [""] * (len(actual) - len(printed))
    return len(padded) == len(actual) and all(
        same_value(cell, value, kusto)
        for cell, value, kusto in zip(padded, actual, types, strict=True)
    )


def plain(cell: str) -> str:
    """A cell's text without Markdown."""
    text = html.unescape(cell).replace("\\|", "|").replace("\u00a0", " ").strip()
    text = re.sub(r"<br\s*/?>", "\n", text).strip()
    for mark in ("```", "`", "**", "__"):
        if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark):
            text = text[len(mark) : -len(mark)].strip()
    return re.sub(r"\\([_*<>\[\]`#\\-])", r"\1", text)


def same_value(cell: str, value: Any, kusto: str) -> bool:
    """Whether the printed cell can be this value."""
    text = plain(cell)
    if value is None:
        return text.lower() in _NULLS
    if kusto == "dynamic":
        return _same_dynamic(text, value)
    if kusto in ("int", "long", "real", "decimal"):
        return _same_number(text, value)
    if kusto == "bool":
        return text.lower() in (str(bool(value)).lower(), str(int(bool(value))))
    if kusto == "datetime":
        printed, got = _moment(text), _moment(str(value))
        return printed is not None and got is not None and abs(printed - got) <= _slack(text)
    if kusto == "timespan":
        span, other = _span(text), _span(str(value))
        return span is not None and other is not None and abs(span - other) <= 10
    wanted = str(value)
    return _folded(text) == _folded(wanted) or _folded(cell) == _folded(wanted)


def _folded(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().strip("\"'")


def _same_number(text: str, value: Any) -> bool:
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return text.lower().replace("∞", "infinity") == value.lower()
    text = text.replace("\u2212", "-")
    if not _NUMBER.fullmatch(text):
        return text.lower() == str(value).lower()
    try:
        printed, got = Decimal(text.replace(",", "")), Decimal(str(value))
    except InvalidOperation:
        return False
    exponent = printed.as_tuple().exponent
    assert isinstance(exponent, int)
    # To the last printed digit (either rounded or cut), and never closer than a double is.
    digit = Decimal(1).scaleb(exponent) if exponent < 0 else Decimal(0)
    if "e" in text.lower():
        digit = abs(Decimal(1).scaleb(exponent))
    return abs(printed - got) <= max(digit, abs(printed) * Decimal("1e-13"))


def _same_dynamic(text: str, value: Any) -> bool:
    for candidate in (text, text.replace("\n", ""), text.replace("'", '"')):
        try:
            return _same_json(json.loads(candidate), value)
        except ValueError:
            continue
    if isinstance(value, str):
        return _folded(text) == _folded(value) or (
            _moment(text) is not None and _moment(text) == _moment(value)
        )
    return _folded(text) == _folded(json.dumps(value))


def _same_json(printed: Any, value: Any) -> bool:
    if isinstance(printed, str) and isinstance(value, str):
        moment = _moment(printed)
        return printed == value or (moment is not None and moment == _moment(value))
    if isinstance(printed, dict) and isinstance(value, dict):
        return printed.keys() == value.keys() and all(
            _same_json(printed[k], value[k]) for k in printed
        )
    if isinstance(printed, list) and isinstance(value, list):
        if len(printed) != len(value):
            return False
        # The order of a set is nobody's promise, and a page doesn't say what is one.
        return all(map(_same_json, printed, value)) or sorted(map(json.dumps, printed)) == sorted(
            map(json.dumps, value)
        )
    if isinstance(printed, bool) or isinstance(value, bool):
        return printed is value
    if isinstance(printed, int | float) and isinstance(value, int | float | str):
        return _same_number(repr(printed), value)
    return bool(printed == value)


def _moment(text: str) -> dt.datetime | None:
    text = re.sub(r"\s*(Z|UTC|\+00:00)$", "", text.strip())
    text = re.sub(r"(\.\d{6})\d+", r"\1", text)
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        pass
    for form in _FORMATS:
        try:
            return dt.datetime.strptime(text, form)  # noqa: DTZ007
        except ValueError:
            continue
    return None


def _slack(text: str) -> dt.timedelta:
    # Microseconds are what the emulator keeps; a page may print none.
    return dt.timedelta(microseconds=1) if "." in text else dt.timedelta(0)


def _span(text: str) -> int | None:
    """Ticks of a printed duration."""
    found = _TIMESPAN.fullmatch(text.strip())
    if found is None:
        return None
    sign, days, hours, minutes, seconds, fraction = found.groups()
    whole = ((int(days or 0) * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(seconds or 0)
    ticks = whole * 10_000_000 + int((fraction or "").ljust(7, "0"))
    return -ticks if sign else ticks
