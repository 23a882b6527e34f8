"""Whether the rules of flink_job can produce what a real Flink was seen to do.

A search over the rules' moves, guided by the records: what a record demands next is done, and only
where nothing more can be done there is a choice (a checkpoint of which the coordinator never heard,
the end of the input). Rows are not followed, parts are, by name.

    writer = (Call("open"), Call("write"), Call("prepare", None, ("part-0",)))
    coordinator = (Call("open"), Call("part", None, ("part-0",)), Call("snapshot", 1))
    assert refusal([SeenJob((Seen((writer,), coordinator),))]) is None
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, combinations

from exactly_once_kusto.testing.flink_job import Job, Retained
from exactly_once_kusto.testing.records import Call, Seen, SeenJob
from exactly_once_kusto.testing.retrace import Trace

STATES_MAX = 100_000

__all__ = ["Call", "Seen", "SeenJob", "refusal"]


def refusal(history: Sequence[SeenJob], states_max: int = STATES_MAX) -> str | None:
    """Return None where the rules can produce the history, else how far they could, and what came.

    Promises: None only for a history that some sequence of moves of `flink_job` produces, call by
    call and in the order of each record; a text only if none of the search's moves does.

    Abortions are taken to be told in the order of their checkpoints where more of them are told
    than a task remembers.

    Args:
        history: Jobs in the order of their submission.
        states_max: States to be visited for one job at most.

    Raises:
        ValueError: A job starts from one that is not before it in the history.
        RuntimeError: The limit was reached: neither is known.
    """
    kept: list[dict[int, Retained]] = []
    for index, job in enumerate(history):
        start_from = None
        if job.start_from is not None:
            origin, number = job.start_from
            if not 0 <= origin < index:
                raise ValueError(f"job {index} starts from job {origin}, which is not before it")
            start_from = kept[origin].get(number)
            if start_from is None:
                return f"job {index}: starts from checkpoint {number}, not kept by job {origin}"
        starts = [each.start_from for each in history if each.start_from is not None]
        needed = frozenset(number for origin, number in starts if origin == index)
        search = _Search(job, needed, states_max)
        text = search.run(Job(f"job{index}", "a", start_from))
        if text is not None:
            return f"job {index}, {text}"
        kept.append(search.kept)
    return None


class _Search:
    """Depth first over the attempts of one job. `needed`: what later jobs start from."""

    def __init__(self, job: SeenJob, needed: frozenset[int], states_max: int) -> None:
        self.job = job
        self.needed = needed
        self.states_max = states_max
        self.kept: dict[int, Retained] = {}
        self._seen: set[object] = set()
        self._furthest = (-1, "there are no calls")

    def run(self, job: Job) -> str | None:
        first = self._begin(job, 0)
        waiting = [] if first is None else [first]
        while waiting:
            trace = waiting.pop()
            trace.settle()
            self._note(trace)
            mark = trace.mark()
            if mark in self._seen:
                continue
            self._seen.add(mark)
            if len(self._seen) > self.states_max:
                raise RuntimeError(f"more than {self.states_max} states; so far: {self._furthest}")
            if trace.done():
                after = self._end(trace)
                if isinstance(after, dict):
                    self.kept = after
                    return None
                if after is not None:
                    waiting.append(after)
                    continue
            waiting.extend(reversed(list(_moves(trace))))
        return self._furthest[1]

    def _note(self, trace: Trace) -> None:
        before = sum(each.calls for each in self.job.attempts[: trace.index])
        if before + trace.consumed() > self._furthest[0]:
            self._furthest = (before + trace.consumed(), trace.explain())

    def _begin(self, job: Job, index: int) -> Trace | None:
        """Begin an attempt; None where what it has restored is not what it was seen to restore."""
        if index == len(self.job.attempts):
            return None
        seen = self.job.attempts[index]
        attempt = job.begin(len(seen.writers))
        attempt.concurrent = self.job.concurrent
        restored = None if attempt.restored is None else attempt.restored.number
        told = seen.restored
        if told is not None and told[0] != restored:
            before = sum(each.calls for each in self.job.attempts[:index])
            text = f"attempt {index}: restored {told[0]}, by the rules it restores {restored}"
            self._furthest = (before, text)
            return None
        return Trace(self.job, index, job, self._restored_next(index), self.needed)

    def _restored_next(self, index: int) -> int | None:
        """Return what the next attempt whose coordinator opened has restored."""
        for seen in self.job.attempts[index + 1 :]:
            if seen.restored is not None:
                return seen.restored[0]
        return None

    def _end(self, trace: Trace) -> Trace | dict[int, Retained] | None:
        """Fail over to the next attempt; at the last one return what the job has kept."""
        job = trace.copy().job
        restored = trace.restored_next
        if restored in job.completable() and not job.pending[restored].savepoint:
            job.complete(restored, notify=False)
        for number in self.needed.intersection(job.completable()):
            job.complete(number, notify=False)
        if trace.index + 1 < len(self.job.attempts):
            return self._begin(job, trace.index + 1)
        kept = {each.number: each for each in (*job.completed, *job.savepoints)}
        if job.start_from is not None:
            kept.setdefault(job.start_from.number, job.start_from)
        missing = self.needed - set(kept)
        if missing:
            text = (
                f"attempt {trace.index}: later jobs start from {sorted(missing)}, never completed"
            )
            self._furthest = (trace.consumed() + 1, text)
            return None
        return kept


def _moves(trace: Trace) -> Iterator[Trace]:
    """Yield what can be tried where the records alone demand nothing more."""
    if trace.hopeless():
        return
    for writer in trace.may_end():
        after = trace.copy()
        after.attempt.end_input(writer)
        yield after
    number = trace.job.last_number + 1
    if trace.demands_snapshot(number):
        yield _triggered(trace, ())
        return
    told, preparing = trace.demands(number), trace.preparing()
    if told or not trace.skipping:
        able = sorted(trace.waiting())
        for first in chain.from_iterable(combinations(able, n) for n in range(len(able) + 1)):
            if told or preparing - set(first):
                yield _triggered(trace, first)
    if not told and trace.demands(number, later=True):
        after = trace.copy()
        after.skip()
        yield after


def _triggered(trace: Trace, first: tuple[int, ...]) -> Trace:
    after = trace.copy()
    after.trigger(first)
    return after
