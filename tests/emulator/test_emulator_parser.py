"""The command parser on hostile text: no secret is told, nothing takes longer than its length."""

from __future__ import annotations

import time

import pytest

from exactly_once_kusto.emulator.errors import KustoError
from exactly_once_kusto.emulator.lexer import obfuscate
from exactly_once_kusto.emulator.parser import parse


@pytest.mark.parametrize(
    "text",
    [
        ".show tables h'SECRET'",
        ".foo h'SECRET'",
        ".create table h'SECRET' (a:long)",
        ".show version h'SECRET'",
        ".show operations h'SECRET'",
        ".ingest into table T ('a', h'SECRET' 'b' x)",
        ".ingest into table T ('a') h'SECRET'",
    ],
)
def test_a_misplaced_secret_is_not_told_by_the_error(text: str) -> None:
    with pytest.raises(KustoError) as caught:
        parse(text)
    assert "SECRET" not in caught.value.message


def test_an_error_does_not_repeat_a_long_command() -> None:
    for text in (f".show version {'x' * 100_000}", f".create table '{'x' * 100_000}' (a:long)"):
        with pytest.raises(KustoError) as caught:
            parse(text)
        assert len(caught.value.message) < 300


@pytest.mark.parametrize("literal", [r"h'\u0041' ", "h'a' "])
def test_a_long_command_takes_no_more_than_its_length(literal: str) -> None:
    # Where each literal or each escape copies the whole text this takes a minute.
    count = 150_000
    began = time.monotonic()
    parsed = parse(f".ingest into table T ({literal * count})")
    assert time.monotonic() - began < 20
    assert parsed.text == ".ingest into table T (" + "h'*****' " * count + ")"
    assert parsed.command.sources == (("A" if "u" in literal else "a") * count,)


def test_a_secret_that_is_read_twice_is_hidden_once() -> None:
    text = obfuscate("a h'xx' b h'yy'", [(10, 15), (2, 7), (2, 7)])
    assert text == "a h'*****' b h'*****'"


@pytest.mark.parametrize("name", ["", "x" * 1025, "a\\0b"])
def test_a_name_of_impossible_length_is_refused(name: str) -> None:
    for text in (f".create table ['{name}'] (a:long)", f".create table T (['{name}']:long)"):
        with pytest.raises(KustoError, match="1 to 1024 characters"):
            parse(text)
