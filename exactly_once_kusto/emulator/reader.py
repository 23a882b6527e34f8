"""What management commands are made of: words, names, lists and property lists."""

from __future__ import annotations

import re
from collections.abc import Callable

from .errors import KustoError, not_supported, syntax_error
from .lexer import Lexer, Token

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_RECORD = re.compile(r'\s*\[((?:[^"\]]|"[^"]*")*)\]')


def unknown(text: str) -> KustoError:
    """The error for a command that the emulator hasn't."""
    # Up to the first literal, which may be a secret.
    first = " ".join(re.split(r"[hH]?@?['\"]|```|~~~", text[:1000], maxsplit=1)[0].split())[:80]
    return not_supported(f"the command '{first}'")


class Reader:
    """What commands are made of: words, names, lists, property lists."""

    def __init__(self, lexer: Lexer, text: str) -> None:
        self.lexer = lexer
        self.text = text

    def unknown(self) -> KustoError:
        """The error for a command that the emulator hasn't."""
        return unknown(self.text)

    def take(self, *words: str) -> bool:
        """Consumes the next token if it is one of the words (case aside)."""
        token = self.lexer.peek()
        if token.kind in ("word", "punctuation") and token.value.lower() in words:
            self.lexer.next()
            return True
        return False

    def need(self, *words: str) -> str:
        """The next token, in lower case, which must be one of the words. Raises KustoError."""
        token = self.lexer.next()
        if token.kind not in ("word", "punctuation") or token.value.lower() not in words:
            raise syntax_error(
                f"expected {' or '.join(words)}, found '{token.told}' at position {token.start}"
            )
        return token.value.lower()

    def ahead(self, *words: str) -> bool:
        """Whether the next token is one of the words; it stays the next."""
        token = self.lexer.peek()
        return token.kind in ("word", "punctuation") and token.value.lower() in words

    def at_end(self) -> bool:
        """Whether the command ends here (or is piped on)."""
        token = self.lexer.peek()
        return token.kind == "end" or token.value == "|"

    def name(self) -> str:
        """A name, quoted or not."""
        token = self.lexer.next()
        if token.kind not in ("word", "name"):
            raise syntax_error(f"expected a name, found '{token.told}' at position {token.start}")
        return token.value

    def entity(self) -> str:
        """A name, possibly after its database (``D.T``), of which the last part counts."""
        name = self.name()
        while self.ahead("."):
            self.lexer.next()
            name = self.name()
        return name

    def string(self) -> str:
        """A string literal's value."""
        token = self.lexer.next()
        if token.kind != "string":
            raise syntax_error(
                f"expected a string literal, found '{token.told}' at position {token.start}"
            )
        return token.value

    def guid(self) -> str:
        """A guid, bare, as a string or as ``guid(...)``; in lower case."""
        token = self.lexer.next()
        wrapped = token.kind == "word" and token.value.lower() == "guid"
        if wrapped:
            self.need("(")
            token = self.lexer.next()
            self.need(")")
        if token.kind not in ("guid", "string") or not _GUID.fullmatch(token.value):
            raise syntax_error(f"expected a guid, found '{token.told}' at position {token.start}")
        return token.value.lower()

    def listed(self, item: Callable[[], str]) -> tuple[str, ...]:
        """``( item, ... )``; the list may be empty."""
        self.need("(")
        items: list[str] = []
        while not self.take(")"):
            if items:
                self.need(",")
            items.append(item())
        return tuple(items)

    def properties(self) -> dict[str, str]:
        """``with ( name = value, ... )`` with names in lower case, or nothing."""
        found: dict[str, str] = {}
        if not self.take("with"):
            return found
        self.need("(")
        while not self.take(")"):
            if found:
                self.need(",")
            name = self.name().lower()
            self.need("=")
            found[name] = self.value()
        return found

    def value(self) -> str:
        """The value of a property, as text."""
        token = self.lexer.next()
        if token.kind in ("string", "number", "guid"):
            return token.value
        if token.kind == "word":
            if token.value.lower() in ("datetime", "guid", "time", "timespan") and self.take("("):
                return self.raw_until(")")
            return token.value
        raise syntax_error(f"expected a value, found '{token.told}' at position {token.start}")

    def raw_until(self, close: str) -> str:
        """The text up to a closing token, which is consumed."""
        start = self.lexer.peek().start
        token: Token = self.lexer.next()
        while token.value != close:
            if token.kind == "end":
                raise syntax_error(f"missing '{close}'")
            token = self.lexer.next()
        return self.lexer.text[start : token.start].strip()

    def records(self) -> str:
        """``[record] [record] ...``, each a record of CSV; a line each. Raises KustoError."""
        text = self.lexer.take_rest()
        records, at = [], 0
        while found := _RECORD.match(text, at):
            records.append(found.group(1))
            at = found.end()
        if text[at:].strip() or not records:
            raise syntax_error("expected '<|' or records in brackets after '.ingest inline into'")
        return "\n".join(records)

    def query(self) -> str:
        """Everything after ``<|``."""
        self.need("<|")
        rest = self.lexer.rest()
        self.lexer.position = len(self.lexer.text)
        return rest
