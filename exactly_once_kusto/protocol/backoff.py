"""Full jitter: how long to wait before the next try. Pure; the jitter arrives with the event."""

from __future__ import annotations


def full_jitter(tries: int, first_s: float, max_s: float, jitter: float) -> float:
    """Return a wait in seconds, uniform between 0 and `first_s * 2**tries`, at most `max_s`.

    `jitter` is a uniform draw from [0, 1). Source: "Exponential Backoff And Jitter" (AWS
    Architecture Blog), the variant called full jitter.
    """
    ceiling = min(max_s, first_s * 2.0 ** min(tries, 32))
    return ceiling * jitter
