"""Bytes that outlive a process: golden files, damage, newer versions, foreign bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exactly_once_kusto.errors import DecodeError, OptionError
from exactly_once_kusto.protocol import entries as en
from exactly_once_kusto.protocol.identity import check_name, slice_id, transaction_id
from exactly_once_kusto.protocol.slices import (
    Part,
    Slice,
    State,
    decode_part,
    decode_state,
    encode_part,
    encode_state,
)

GOLDEN = Path(__file__).parent.parent / "golden"
N = "0123456789abcdef" * 2
PART = Part(
    "file:///s/payments/parts/0a.parquet", 1234, "etag", 10, 4321, '{"table":"Zahlungen €"}'
)
SLICE = Slice(f"{N[:8]}-7-{N}-0", 7, PART.destination, (PART, PART), 1700000000.25)
STATE = State("payments", "file:///s/payments/ledger", N, 41, (SLICE,))
ENTRIES: dict[str, en.Entry] = {
    "start": en.Start(N, 1700000000.5, N, N, "job", "op", "host", 2, None, 0),
    "end": en.End(N, 1700000000.5, N),
    "intent": en.Intent(
        N, 1700000000.5, N, N, f"payments-{N}", 1, "direct", "local", None, (SLICE,)
    ),
    "operation": en.Operation(N, 1700000000.5, N, f"payments-{N}", 1, "op-id"),
    "committed": en.Committed(N, 1700000000.5, N, f"payments-{N}", 20, ("extent",)),
    "rewind-accepted": en.RewindAccepted(N, 1700000000.5, N, N, 6, 40),
    "batch": en.Batch(N, 1700000000.5, N, N, "job", (SLICE,)),
}


def test_bytes_of_version_1_are_still_read_as_they_were_written() -> None:
    assert decode_part((GOLDEN / "part_v1.bin").read_bytes()) == PART
    old = decode_state((GOLDEN / "state_v1.bin").read_bytes())
    assert old == STATE
    assert [piece.sealed_at for piece in old.slices] == [0.0], "version 1 did not know it"
    lines = (GOLDEN / "ledger_v1.jsonl").read_bytes().splitlines()
    assert [en.decode_entry(i + 1, line) for i, line in enumerate(lines)] == list(ENTRIES.values())


def test_a_state_of_version_2_is_still_read_as_it_was_written() -> None:
    state = decode_state((GOLDEN / "state_v2.bin").read_bytes())
    assert state == STATE
    assert [piece.sealed_at for piece in state.slices] == [1700000000.25]


def test_bytes_are_still_written_as_they_were() -> None:
    assert encode_part(PART) == (GOLDEN / "part_v1.bin").read_bytes()
    assert encode_state(STATE) == (GOLDEN / "state_v2.bin").read_bytes()
    written = b"".join(en.encode_entry(entry) + b"\n" for entry in ENTRIES.values())
    assert written == (GOLDEN / "ledger_v1.jsonl").read_bytes()


def test_every_kind_of_entry_has_a_golden_line() -> None:
    assert list(ENTRIES) == list(en.KINDS)


def test_a_newer_state_is_refused_with_both_numbers() -> None:
    data = bytearray(encode_state(STATE))
    data[5] = 9
    with pytest.raises(DecodeError, match="written in version 9, this build reads up to version 2"):
        decode_state(bytes(data))


def test_a_newer_or_unknown_entry_is_refused_not_skipped() -> None:
    body = json.loads(en.encode_entry(ENTRIES["end"]))
    for change in ({"v": 2}, {"kind": "winner"}):
        data = json.dumps(body | change).encode()
        with pytest.raises(DecodeError, match=r"ledger entry 17: kind .* reads version 1"):
            en.decode_entry(17, data)


@pytest.mark.parametrize("cut", [0, 3, 6, 20, -1])
def test_a_state_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(DecodeError):
        decode_state(encode_state(STATE)[:cut])


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_an_entry_cut_short_at_any_byte_is_refused(entry: en.Entry) -> None:
    data = en.encode_entry(entry)
    for cut in range(len(data)):
        with pytest.raises(DecodeError):
            en.decode_entry(1, data[:cut])


@pytest.mark.parametrize("field", ["transaction", "attempt", "slices", "time"])
def test_an_entry_without_a_field_is_refused(field: str) -> None:
    body = json.loads(en.encode_entry(ENTRIES["intent"]))
    del body[field]
    with pytest.raises(DecodeError, match=field):
        en.decode_entry(1, json.dumps(body).encode())


def test_foreign_bytes_are_refused() -> None:
    with pytest.raises(DecodeError, match="uid"):
        decode_state(b"\xac\xed\x00\x05 java")


texts = st.text(max_size=20)
parts = st.builds(
    Part,
    address=texts,
    length=st.integers(0, 2**62),
    etag=texts,
    rows=st.integers(0, 2**62),
    raw_bytes=st.integers(0, 2**62),
    destination=texts,
)


@given(parts)
def test_parts_come_back_as_they_were(part: Part) -> None:
    assert decode_part(encode_part(part)) == part


@given(st.lists(st.lists(parts, min_size=1, max_size=3), max_size=4), texts, st.integers(0, 2**40))
def test_states_come_back_as_they_were(groups: list[list[Part]], text: str, number: int) -> None:
    slices = tuple(
        Slice(
            f"{text}{i}",
            number,
            group[0].destination,
            tuple(
                Part(p.address, p.length, p.etag, p.rows, p.raw_bytes, group[0].destination)
                for p in group
            ),
        )
        for i, group in enumerate(groups)
    )
    state = State(text, text, text, number, slices)
    assert decode_state(encode_state(state)) == state


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a" * 64, "ä", "a/b", "a\n"])
def test_a_name_that_no_path_tag_or_query_could_take_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="option 'name'"):
        check_name(name)


def test_ids_are_never_the_same_for_another_nonce() -> None:
    other = N[::-1]
    assert slice_id(N, 3, N, 0) != slice_id(N, 3, other, 0)
    assert transaction_id("a", N) != transaction_id("a", other)
    with pytest.raises(ValueError, match="nonce"):
        transaction_id("a", "7")
