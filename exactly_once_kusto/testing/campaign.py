"""Many schedules, on all cores: how many were played, how fast, and the first that failed."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from exactly_once_kusto.testing.schedules import draw
from exactly_once_kusto.testing.simulation import simulate

CHUNK = 200
FAILURES_MAX = 20
CALLS_MIN = 30


@dataclass(slots=True)
class Campaign:
    """What came of the schedules of some seeds. `cpu_s`: what one core would have taken."""

    first: int
    schedules: int = 0
    long: int = 0
    """Schedules of `CALLS_MIN` or more port calls."""
    calls: int = 0
    restarts: int = 0
    cpu_s: float = 0.0
    failures: list[tuple[int, str, str]] = field(default_factory=list)
    """Seed, kinds of what is wrong, and the judgement."""

    def add(self, other: Campaign) -> None:
        """Take in what came of some more."""
        self.schedules += other.schedules
        self.long += other.long
        self.calls += other.calls
        self.restarts += other.restarts
        self.cpu_s += other.cpu_s
        self.failures = (self.failures + other.failures)[:FAILURES_MAX]

    def __str__(self) -> str:
        cpu_s = max(self.cpu_s, 1e-9)
        rate, calls = self.schedules / cpu_s, self.calls / cpu_s
        return (
            f"seeds {self.first}-{self.first + self.schedules - 1} | schedules {self.schedules} "
            f"({self.long} of {CALLS_MIN} or more port calls) | port calls {self.calls} | "
            f"restarts {self.restarts} | a second and core {rate:.0f} schedules, {calls:.0f} port "
            f"calls (or {calls / CALLS_MIN:.0f} schedules of {CALLS_MIN}) | failures "
            f"{len(self.failures)}"
        )


def play(first: int, count: int) -> Campaign:
    """Play the schedules of `count` seeds in this process."""
    done = Campaign(first)
    begun = time.process_time()
    for seed in range(first, first + count):
        try:
            outcome = simulate(draw(seed))
        except Exception as error:
            # Not a verdict but a mistake in the code under test: say where it can be seen again.
            raise RuntimeError(f"seed {seed} ends with {error!r}") from error
        done.schedules += 1
        done.long += outcome.calls >= CALLS_MIN
        done.calls += outcome.calls
        done.restarts += outcome.restarts
        if not outcome.judgement.ok:
            told = str(outcome.judgement)
            done.failures.append((seed, ", ".join(outcome.judgement.kinds), told))
    done.cpu_s = time.process_time() - begun
    return done


def run(
    first: int,
    count: int,
    processes: int | None = None,
    seconds_max: float = 1e9,
    stop_at_failure: bool = True,
) -> Campaign:
    """Play the schedules of `count` seeds on some processes (None: one a core)."""
    until = time.monotonic() + seconds_max
    whole = Campaign(first)
    processes = processes or os.cpu_count() or 1
    for done in _chunks(first, count, processes):
        whole.add(done)
        if time.monotonic() > until or (whole.failures and stop_at_failure):
            break
    return whole


def _chunks(first: int, count: int, processes: int) -> Iterator[Campaign]:
    starts = range(first, first + count, CHUNK)
    sizes = [min(CHUNK, first + count - start) for start in starts]
    if processes == 1:
        spare_garbage()
        yield from map(play, starts, sizes)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=spare_garbage) as pool:
        try:
            yield from pool.map(play, starts, sizes)
        finally:
            pool.shutdown(cancel_futures=True)


def spare_garbage() -> None:
    """Collect garbage more rarely: a schedule leaves many small cycles, and ends soon."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 1000)
