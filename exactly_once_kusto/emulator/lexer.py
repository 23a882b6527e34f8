"""Tokens of commands and queries: names, numbers, punctuation and Kusto's string literals.

Sources: https://learn.microsoft.com/kusto/query/scalar-data-types/string and
https://learn.microsoft.com/kusto/query/schema-entities/entity-names
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import syntax_error

COMMAND_LENGTH_MAX = 8 * 1024 * 1024
TOLD_MAX = 80
"""So many characters of a token an error tells."""

_SKIP = re.compile(r"(?:\s+|//[^\n]*)*")
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![\w-])")
_WORD = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"\d[\w.:]*")
_STRING_START = re.compile(r"[hH]?@?['\"]|```|~~~")
_PUNCTUATION = re.compile(r"<\||!=|!(?=\w)|.", re.DOTALL)
_LOW_SURROGATE = re.compile(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


@dataclass(frozen=True)
class Token:
    """A piece of the text: its kind, its value with quotes and escapes undone, and where it is."""

    kind: str  # word | number | guid | string | name | punctuation | end
    value: str
    start: int
    end: int
    obfuscated: bool = False

    @property
    def told(self) -> str:
        """What an error may tell of it: no obfuscated literal, and not more than some of it."""
        if self.obfuscated:
            return "h'*****'"
        return self.value if len(self.value) <= TOLD_MAX else f"{self.value[:TOLD_MAX]}..."


class Lexer:
    """Reads tokens on demand, so that raw data after ``<|`` is never tokenized.

    With ``query`` every literal is a token of its own, and brackets are punctuation: in a query
    they index and enclose values as well as names.
    """

    def __init__(self, text: str, *, query: bool = False) -> None:
        if len(text) > COMMAND_LENGTH_MAX:
            raise syntax_error(f"command is longer than {COMMAND_LENGTH_MAX} characters")
        self.text = text
        self.position = 0
        self._query = query
        self.secrets: list[tuple[int, int]] = []
        self._peeked: Token | None = None

    def peek(self) -> Token:
        """The next token, which stays the next."""
        if self._peeked is None:
            self._peeked = self._read()
        return self._peeked

    def next(self) -> Token:
        """The next token, consumed."""
        token = self.peek()
        self._peeked = None
        self.position = token.end
        return token

    def take_rest(self) -> str:
        """What ``rest`` gives, consumed."""
        rest = self.rest()
        self._peeked, self.position = None, len(self.text)
        return rest

    def literal(self) -> str:
        """One string literal, consumed, even where another follows it. Raises KustoError."""
        self._peeked = None
        match = _SKIP.match(self.text, self.position)
        at = match.end() if match else self.position
        if not _STRING_START.match(self.text, at):
            raise syntax_error(f"expected a string literal at position {at}")
        value, self.position, _ = self._string(at)
        return value

    def rest(self) -> str:
        """All text after the last consumed token, as it stands."""
        return self.text[self.position :]

    def _read(self) -> Token:
        match = _SKIP.match(self.text, self.position)
        at = match.end() if match else self.position
        if at >= len(self.text):
            return Token("end", "", at, at)
        if _STRING_START.match(self.text, at):
            return self._strings(at)
        for kind, pattern in (("guid", _GUID), ("word", _WORD), ("number", _NUMBER)):
            found = pattern.match(self.text, at)
            if found:
                return Token(kind, found.group(), at, found.end())
        if self.text[at] == "[" and not self._query:
            return self._bracketed(at)
        found = _PUNCTUATION.match(self.text, at)
        assert found is not None
        return Token("punctuation", found.group(), at, found.end())

    def _strings(self, at: int) -> Token:
        # Adjacent literals are one literal ("Concatenation of separated string literals").
        parts: list[str] = []
        obfuscated = False
        end = start = at
        while _STRING_START.match(self.text, at):
            value, end, hidden = self._string(at)
            parts.append(value)
            obfuscated = obfuscated or hidden
            skipped = _SKIP.match(self.text, end)
            at = skipped.end() if skipped else end
            if self._query:
                break
        return Token("string", "".join(parts), start, end, obfuscated)

    def _string(self, at: int) -> tuple[str, int, bool]:
        for fence in ("```", "~~~"):
            if self.text.startswith(fence, at):
                close = self.text.find(fence, at + 3)
                if close < 0:
                    raise syntax_error(f"unterminated multi-line string literal at {at}")
                return self.text[at + 3 : close], close + 3, False
        start = at
        hidden = self.text[at] in "hH"
        at += hidden
        verbatim = self.text[at] == "@"
        at += verbatim
        quote = self.text[at]
        value, end = (self._verbatim if verbatim else self._escaped)(at + 1, quote)
        if hidden:
            self.secrets.append((start, end))
        return value, end, hidden

    def _verbatim(self, at: int, quote: str) -> tuple[str, int]:
        parts: list[str] = []
        while True:
            close = self.text.find(quote, at)
            if close < 0:
                raise syntax_error(f"unterminated string literal at {at}")
            parts.append(self.text[at:close])
            if not self.text.startswith(quote * 2, close):
                return "".join(parts), close + 1
            parts.append(quote)
            at = close + 2

    def _escaped(self, at: int, quote: str) -> tuple[str, int]:
        parts: list[str] = []
        text = self.text
        while at < len(text):
            char = text[at]
            if char == quote:
                return "".join(parts), at + 1
            if char == "\\":
                value, at = self._escape(at + 1)
                parts.append(value)
                continue
            if char in "\r\n":
                break
            run = at + 1
            while run < len(text) and text[run] not in (quote, "\\", "\r", "\n"):
                run += 1
            parts.append(text[at:run])
            at = run
        raise syntax_error(f"unterminated string literal at {at}")

    def _escape(self, at: int) -> tuple[str, int]:
        char = self.text[at : at + 1]
        # JSON's own escape of a slash may stand in a dynamic literal.
        if char in ("'", '"', "\\") or (char == "/" and self._query):
            return char, at + 1
        if char in _ESCAPES:
            return _ESCAPES[char], at + 1
        width = {"u": 4, "U": 8, "x": 2}.get(char)
        digits = self.text[at + 1 : at + 1 + width] if width else ""
        if width and re.fullmatch(f"[0-9a-fA-F]{{{width}}}", digits):
            code = int(digits, 16)
            if code <= 0x10FFFF:
                # Two escapes may be one character in UTF-16, as in JSON.
                low = _LOW_SURROGATE.match(self.text, at + 1 + width)
                if 0xD800 <= code < 0xDC00 and low:
                    pair = 0x10000 + ((code - 0xD800) << 10) + (int(low.group(1), 16) - 0xDC00)
                    return chr(pair), at + 1 + width + 6
                if 0xD800 <= code < 0xE000:
                    raise syntax_error(f"half a surrogate pair in a string literal at {at}")
                return chr(code), at + 1 + width
        raise syntax_error(f"bad escape in a string literal at {at}")

    def _bracketed(self, at: int) -> Token:
        # ['quoted name'], ["quoted name"], and the [bare name] that some pages use.
        match = _SKIP.match(self.text, at + 1)
        inner = match.end() if match else at + 1
        if self.text[inner : inner + 1] in ("'", '"'):
            value, end, _ = self._string(inner)
            skipped = _SKIP.match(self.text, end)
            end = skipped.end() if skipped else end
            if self.text[end : end + 1] == "]":
                return Token("name", value, at, end + 1)
        bare = re.compile(r"\[([\w .-]+)\]").match(self.text, at)
        if bare:
            return Token("name", bare.group(1), at, bare.end())
        return Token("punctuation", "[", at, at + 1)


def obfuscate(text: str, secrets: list[tuple[int, int]]) -> str:
    """The text with every obfuscated literal replaced by asterisks, as journals keep it."""
    shown, done = [], 0
    # A literal that was looked at and then read again stands there twice.
    for start, end in sorted(set(secrets)):
        shown += [text[done:start], "h'*****'"]
        done = end
    return "".join(shown) + text[done:]


def quote_name(name: str) -> str:
    """A name as it must be written in Kusto's language: bare where that's allowed."""
    if _WORD.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"
