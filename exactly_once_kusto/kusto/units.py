"""Durations and sizes as Flink writes them in DDL.

Sources: `org.apache.flink.util.TimeUtils` and `org.apache.flink.configuration.MemorySize`.
"""

from __future__ import annotations

import re

AMOUNT = re.compile(r"\s*(\d+)\s*([^\d\s]*)\s*")

SECONDS = {
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
    **dict.fromkeys(("h", "hour", "hours"), 3_600.0),
    **dict.fromkeys(("min", "m", "minute", "minutes"), 60.0),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("", "ms", "milli", "millis", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("µs", "micro", "micros", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nano", "nanos", "nanosecond", "nanoseconds"), 1e-9),
}
BYTES = {
    **dict.fromkeys(("", "b", "bytes"), 1),
    **dict.fromkeys(("k", "kb", "kibibytes"), 1 << 10),
    **dict.fromkeys(("m", "mb", "mebibytes"), 1 << 20),
    **dict.fromkeys(("g", "gb", "gibibytes"), 1 << 30),
    **dict.fromkeys(("t", "tb", "tebibytes"), 1 << 40),
}


def parse_duration(text: str) -> float:
    """Return the seconds in `10 s`, `1 min`, `500 ms` ...; without a unit, milliseconds.

    Raises:
        ValueError: another form.
    """
    amount, unit = _split(text, "a duration such as '10 s', '1 min' or '500 ms'")
    if unit not in SECONDS:
        raise ValueError(f"{text!r} has no known unit: use ms, s, min, h or d")
    return amount * SECONDS[unit]


def parse_size(text: str) -> int:
    """Return the bytes in `1 gb`, `64 mb` ...; without a unit, bytes. Units are powers of 1024.

    Raises:
        ValueError: another form.
    """
    amount, unit = _split(text, "a size such as '64 mb' or '1 gb'")
    if unit not in BYTES:
        raise ValueError(f"{text!r} has no known unit: use b, kb, mb, gb or tb")
    return amount * BYTES[unit]


def duration_text(seconds: float) -> str:
    """Return seconds as `parse_duration` reads them, to the nanosecond."""
    nanoseconds = round(seconds * 1e9)
    for unit, size in (("s", 10**9), ("ms", 10**6), ("ns", 1)):
        if nanoseconds % size == 0:
            return f"{nanoseconds // size} {unit}"
    raise AssertionError("a whole number is divisible by one")


def size_text(size_bytes: int) -> str:
    """Return bytes as `parse_size` reads them."""
    for unit, size in (("tb", 1 << 40), ("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10)):
        if size_bytes and size_bytes % size == 0:
            return f"{size_bytes // size} {unit}"
    return f"{size_bytes} b"


def _split(text: str, what: str) -> tuple[int, str]:
    found = AMOUNT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not {what}")
    return int(found.group(1)), found.group(2).lower()
