"""What is done to a query's text before duckdb-kql parses it.

duckdb-kql's lexer takes ``h'...'`` and most escapes literally, reads ``decimal(0.1)`` as a double,
and refuses some operators outright. Here literals are spelled so that it reads them right, and each
of those operators becomes ``where __ek_stage(...)``, which `stages` gives its meaning back.

Sources: https://learn.microsoft.com/kusto/query/scalar-data-types/string and
https://learn.microsoft.com/kusto/query/scalar-data-types/decimal
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from .errors import bad_request, syntax_error
from .lexer import Lexer, Token
from .translate_job import TOO_COMPLEX

STAGE = "__ek_stage"
DEPTH_MAX = 200

_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_OPEN, _CLOSED = ("(", "[", "{"), (")", "]", "}")
_PATTERN = re.compile(r"[\w*]*\*[\w*]*|[^\W\d]\w*")
_ORDER = re.compile(r"asc|desc|granny-?\w*")
_NAMING = ("extend", "project", "summarize", "print", "distinct", "serialize")
_REPLACED = ("distinct", "project", "serialize", "as", "sample", "consume")


def prepare(text: str) -> str:
    """The query as duckdb-kql can read it. Raises KustoError (SYN0002) where it can't be one."""
    _check_names(text)
    return _stages(_literals(text))


def string_literal(value: str) -> str:
    """A string literal that duckdb-kql decodes to exactly this value."""
    return '"' + "".join(_ESCAPED.get(char, char) for char in value) + '"'


def _tokens(text: str) -> Iterator[Token]:
    lexer = Lexer(text, query=True)
    while True:
        token = lexer.next()
        if token.kind == "end":
            return
        yield token


def _check_names(text: str) -> None:
    # duckdb-kql would take the first of several names for one expression, and drop the others.
    tokens = list(_tokens(text))
    for at, token in enumerate(tokens[:-1]):
        named = token.value in (*_NAMING, ",") and token.kind != "string"
        if not named or not _opens(tokens, at + 1):
            continue
        end = at + 2
        while end < len(tokens) and (tokens[end].kind == "word" or tokens[end].value == ","):
            end += 1
        closed = [t.value for t in tokens[end : end + 3]]
        if closed[:2] == [")", "="] and closed[2:] not in (["="], ["~"]) and end > at + 3:
            raise syntax_error(
                "several names for one expression, '(a, b) = ...', are not supported by this "
                "emulator"
            )


def _literals(text: str) -> str:
    tokens = list(_tokens(text))
    parts: list[str] = []
    done = at = values_end = 0
    while at < len(tokens):
        token = tokens[at]
        if token.kind == "word" and token.value == "datatable" and _opens(tokens, at + 1):
            # Its values are literals, which no call may stand for: the column has the type.
            closed = _close(tokens, at + 1)
            if closed + 1 < len(tokens) and tokens[closed + 1].value == "[":
                values_end = _close(tokens, closed + 1)
        is_decimal = token.kind == "word" and token.value.lower() == "decimal"
        if is_decimal and _opens(tokens, at + 1):
            end = _close(tokens, at + 1)
            inner = text[tokens[at + 1].end : tokens[end].start].strip()
            literal = string_literal(tokens[at + 2].value if end == at + 3 else inner)
            typed = literal if at < values_end else f"todecimal({literal})"
            parts += [text[done : token.start], typed]
            done, at = tokens[end].end, end + 1
            continue
        if token.kind == "string":
            parts += [text[done : token.start], string_literal(token.value)]
            done = token.end
        at += 1
    parts.append(text[done:])
    return "".join(parts)


def _opens(tokens: list[Token], at: int) -> bool:
    return at < len(tokens) and tokens[at].kind == "punctuation" and tokens[at].value == "("


def _close(tokens: list[Token], at: int) -> int:
    """The place of the parenthesis that closes the one at ``at``."""
    depth = 0
    for place in range(at, len(tokens)):
        token = tokens[place]
        if token.kind == "punctuation":
            depth += (token.value in _OPEN) - (token.value in _CLOSED)
            if depth > DEPTH_MAX:
                raise bad_request(f"{TOO_COMPLEX}: more than {DEPTH_MAX} nested brackets")
            if depth == 0:
                return place
    raise syntax_error(f"a bracket at {tokens[at].start} is never closed")


@dataclass(frozen=True)
class _Stage:
    """One ``| operator ...`` of the text: its name, where it begins, and its arguments' tokens."""

    name: str
    start: int
    end: int
    tokens: tuple[Token, ...]


def _stages(text: str) -> str:
    parts: list[str] = []
    done = 0
    for stage in _operators(text):
        replaced = _replacement(stage, text)
        if replaced is not None:
            parts += [text[done : stage.start], replaced]
            done = stage.end
    parts.append(text[done:])
    return "".join(parts)


def _operators(text: str) -> Iterator[_Stage]:
    tokens = list(_tokens(text))
    for at, token in enumerate(tokens):
        if not (token.kind == "punctuation" and token.value == "|") or at + 1 == len(tokens):
            continue
        word = tokens[at + 1]
        if word.kind != "word" or word.value not in _REPLACED:
            continue
        end, depth = at + 2, 0
        while end < len(tokens):
            value = tokens[end].value if tokens[end].kind == "punctuation" else ""
            if depth == 0 and value in ("|", ";", ")", "}"):
                break
            depth += (value in _OPEN) - (value in _CLOSED)
            end += 1
        last = tokens[end - 1].end
        yield _Stage(word.value, word.start, last, tuple(tokens[at + 2 : end]))


def _replacement(stage: _Stage, text: str) -> str | None:
    values = [token.value for token in stage.tokens]
    if stage.name == "distinct" and values == ["*"]:
        return _call("distinct_star")
    if stage.name == "serialize":
        rest = text[stage.tokens[0].start : stage.end] if stage.tokens else ""
        return _call("serialize") + (f" | extend {rest}" if rest else "")
    if stage.name == "consume" and not values:
        return _call("consume")
    # `withsource` would have to show the name: left to duckdb-kql, which refuses it.
    if stage.name == "as" and len(values) == 1 and "withsource" not in text:
        return _call("as", values[0])
    if stage.name == "sample" and len(values) == 1:
        return f"take {values[0]}"
    if stage.name == "project" and values[:1] == ["-"] and len(values) > 1:
        return _project(stage, values[1])
    return None


def _project(stage: _Stage, kind: str) -> str | None:
    """``project-keep``, ``project-reorder``, and ``project-away`` where it has a pattern."""
    rest = stage.tokens[2:]
    if kind == "away" and all(token.value != "*" for token in rest):
        return None
    if kind not in ("keep", "reorder", "away") or not rest:
        return None
    patterns: list[str] = []
    for part in _commas(rest):
        order = ""
        if len(part) > 1 and part[-1].kind == "word" and _ORDER.fullmatch(part[-1].value):
            order = ":" + part[-1].value
            part = part[:-1]
        glued = all(a.end == b.start for a, b in pairwise(part))
        pattern = "".join(token.value for token in part)
        quoted = len(part) == 3 and part[1].kind == "string" and pattern[:1] + pattern[-1:] == "[]"
        pattern = part[1].value if quoted else pattern
        if not quoted and not (glued and _PATTERN.fullmatch(pattern)):
            raise syntax_error(f"a column or a pattern is expected in project-{kind}")
        patterns.append(("=" if quoted else "") + pattern + order)
    return _call(f"project_{kind}", *patterns)


def _commas(tokens: tuple[Token, ...]) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if token.kind == "punctuation" and token.value == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _call(name: str, *arguments: str) -> str:
    listed = ", ".join(string_literal(value) for value in (name, *arguments))
    return f"where {STAGE}({listed})"
