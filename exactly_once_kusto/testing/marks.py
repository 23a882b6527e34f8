"""A mark of a simulation's state: the same for the same state, whatever its nonces are called.

Two ways to one state are one for a search. What is left out can't matter for what happens next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from exactly_once_kusto.protocol.commit import Commit
from exactly_once_kusto.testing.processes import CoordinatorProcess
from exactly_once_kusto.testing.simulated_sink import KustoSubject
from exactly_once_kusto.testing.simulation import Simulation

NONCE = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}-0000-4000-8000-0{12}")
TOLD = ("number", "after", "attempt", "operation", "checkpoint", "rows", "key")


def mark(simulation: Simulation, left: tuple[int, ...]) -> int:
    """Return the mark of a state in which so much is left that may happen."""
    names: dict[str, int] = {}
    found: list[object] = []
    for each in describe(simulation, left):
        shape, nonces = _split(each if isinstance(each, bytes) else repr(each).encode())
        found += (shape, *[names.setdefault(nonce, len(names)) for nonce in nonces])
    return hash(tuple(found))


@lru_cache(maxsize=200_000)
def _split(text: bytes) -> tuple[int, tuple[str, ...]]:
    """Return what a text is but for its nonces, and its nonces."""
    plain = text.decode()
    return hash(tuple(NONCE.split(plain))), tuple(NONCE.findall(plain))


def describe(simulation: Simulation, left: tuple[int, ...]) -> Iterator[object]:
    """Yield all that can matter for what happens next, and nothing else.

    Of parts only the contents: their names stand in the slices that have them. Of checkpoints only
    the latest, which is what a failover restores. What does not change is yielded as bytes.
    """
    subject = simulation.subject
    assert isinstance(subject, KustoSubject)
    now, content = simulation.world.now, subject.objects.content
    yield from [content[name] for name in sorted(content) if "/ledger/" in name]
    yield left, now
    yield sorted({data for name, data in content.items() if "/parts/" in name})
    for each in subject.service.operations.values():
        yield each.id, each.asked.tag, each.phase, each.state, each.rows, now - each.started
    yield [(extent.id, extent.rows, extent.tags) for extent in subject.service.extents.values()]
    yield [late.tag for late in subject.service.late]
    for job in simulation.jobs:
        latest = job.latest()
        yield b"" if latest is None else latest.state
        yield from [pending.state or b"" for pending in job.pending.values()]
        yield job.attempts, latest and latest.number, list(job.pending)
    for running in (*simulation.running.values(), *simulation.zombies):
        attempt = running.attempt
        yield attempt.number, attempt.position, attempt.reported, list(attempt.notices)
        yield attempt.current, attempt.aligning, sorted(attempt.blocked), attempt.aborted
        yield from _process(running.coordinator, now)


def _process(process: CoordinatorProcess, now: float) -> Iterator[object]:
    machine = process.machine
    if not process.alive:
        yield type(process.error)
        return
    yield [[_action(action) for action in lane] for lane in process.lanes], process.ready
    yield sorted((when - now, key) for when, _, key in process.wakes)
    lane = machine.lane
    yield machine.ledger.position, lane.own_start, lane.current and _action(lane.current)
    yield [_action(job) for job in lane.queue], [part.address for part in machine.parts]
    yield [piece.id for piece in machine.slices], machine.backlog.due_to, machine.door.run
    yield machine.committing.checking, machine.committing.target_known
    yield _commit(machine.committing.commit)


def _action(action: object) -> tuple[object, ...]:
    """Return what tells an action or a job of the log from others of its kind."""
    told = [getattr(action, name, None) for name in TOLD]
    transaction, entry = getattr(action, "transaction", None), getattr(action, "entry", None)
    return type(action).__name__, told, transaction and transaction.id, entry and entry.nonce


def _commit(commit: Commit | None) -> object:
    if commit is None:
        return None
    ended = sorted((number, type(status).__name__) for number, status in commit.ended.items())
    final = sorted(n for n, each in commit.ended.items() if getattr(each, "permanent", False))
    known = len(commit.attempts), commit.failures, commit.polls, commit.failing, final
    sets = [sorted(each) for each in (commit.own, commit.blind, commit.never_ran, commit.missing)]
    return commit.transaction.id, commit.phase, ended, known, sets
