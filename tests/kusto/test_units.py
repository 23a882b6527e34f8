"""Durations and sizes are read as Flink reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exactly_once_kusto.kusto.units import duration_text, parse_duration, parse_size, size_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10 s", 10),
        ("10s", 10),
        ("1 min", 60),
        ("2m", 120),
        ("500 ms", 0.5),
        ("500", 0.5),
        ("3 h", 10_800),
        ("1 d", 86_400),
        ("2 DAYS", 172_800),
        ("7 µs", 7e-6),
        ("0 s", 0),
    ],
)
def test_durations_as_flink_reads_them(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1 gb", 1 << 30), ("64MB", 64 << 20), ("2 kibibytes", 2048), ("7", 7), ("7 b", 7)],
)
def test_sizes_as_flink_reads_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "s", "-1 s", "1.5 s", "1 fortnight", "PT1S", "1 s 2"])
def test_other_forms_are_refused(text):
    with pytest.raises(ValueError, match=r"is not a duration|no known unit"):
        parse_duration(text)
    with pytest.raises(ValueError, match=r"is not a size|no known unit"):
        parse_size(text)


@given(st.integers(0, 10**15))
def test_a_duration_reads_back_as_written(nanoseconds):
    assert parse_duration(duration_text(nanoseconds / 1e9)) == pytest.approx(nanoseconds / 1e9)


@given(st.integers(0, 1 << 50))
def test_a_size_reads_back_as_written(size):
    assert parse_size(size_text(size)) == size
