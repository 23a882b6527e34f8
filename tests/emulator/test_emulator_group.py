"""Ingestions that are committed together: each is in whole or not at all, with its own outcome."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.emulator import Faults, group
from exactly_once_kusto.emulator.appending import Appender, Arrival
from exactly_once_kusto.emulator.course import CanceledError, Course
from exactly_once_kusto.emulator.errors import KustoError
from exactly_once_kusto.emulator.group import Group, Seat
from exactly_once_kusto.emulator.loading import Loaded
from exactly_once_kusto.emulator.operations import COMPLETED, SKIPPED, Operation, Request
from exactly_once_kusto.emulator.properties import plan
from exactly_once_kusto.emulator.service import Service

WAIT_S = 20.0
REQUEST = Request("Demo")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    running = Service(tmp_path, ["Demo"], Faults())
    command(running, ".create table T (n:long)")
    yield running
    running.close()


def command(service: Service, text: str) -> list[tuple]:
    _, parsed = service.kind(text)
    assert parsed is not None
    return service.command(parsed, REQUEST, []).rows


def together(service: Service, appender: Appender, arrivals: list[Arrival]) -> list[Future]:
    """Lets them all wait for the writer, then lets them go; how each of them ended."""
    with ThreadPoolExecutor(len(arrivals)) as pool, service.engine.reader() as q:
        with service.engine.write():
            ends = []
            for i, arrival in enumerate(arrivals, start=1):
                ends.append(pool.submit(appender.append, arrival, q))
                wait_until(lambda i=i: appender.group.waiting == i, WAIT_S, "a seat")
        for end in ends:
            end.exception(WAIT_S)
    return ends


def arrival(service: Service, rows: pa.Table, tag: str = "", course: Course | None = None):
    table = service.engine.catalog.table("Demo", "T")
    properties = {"format": "parquet"}
    if tag:
        properties |= {"tags": f'["ingest-by:{tag}"]', "ingestifnotexists": f'["{tag}"]'}
    operation = Operation(uuid.uuid4(), "DataIngestPull", "T", service.clock.now(), REQUEST)
    loaded = [Loaded("a source", rows.num_rows, 1.0, 0.0, rows)]
    return Arrival(table, plan(table, properties), loaded, operation, course or Course())


def numbers(*values: int) -> pa.Table:
    return pa.table({"c0": pa.array(values, pa.int64())})


def states(service: Service, arrivals: list[Arrival]) -> list[str]:
    return [service.journal.state(each.operation.id) for each in arrivals]


def counted(service: Service) -> int:
    return service.queries.run("T | count", "Demo").rows[0][0]


@pytest.fixture
def appender(service: Service) -> Appender:
    return Appender(service.engine, service.journal, service.clock)


def test_of_those_with_one_tag_in_one_group_only_the_first_is_in(service, appender) -> None:
    arrivals = [arrival(service, numbers(1, 2), tag) for tag in "xyxyx"]
    ends = together(service, appender, arrivals)
    assert states(service, arrivals) == [COMPLETED, COMPLETED, SKIPPED, SKIPPED, SKIPPED]
    assert counted(service) == 4
    # Each was told what became of itself.
    for each, end in zip(arrivals, ends, strict=True):
        assert {row[-1] for row in end.result().rows} == {each.operation.id}
    extents = command(service, ".show table T extents | project Tags, RowCount")
    assert sorted(extents) == [("ingest-by:x", 2), ("ingest-by:y", 2)]


def test_one_that_brings_no_rows_leaves_its_tag_to_the_next(service, appender) -> None:
    arrivals = [arrival(service, numbers(*values), "x") for values in ((), (1,), (2,))]
    together(service, appender, arrivals)
    assert states(service, arrivals) == [COMPLETED, COMPLETED, SKIPPED]
    assert service.queries.run("T", "Demo").rows == [(1,)]


def test_one_that_can_not_be_inserted_takes_nobody_along(service, appender) -> None:
    spoilt = pa.table({"c0": pa.array(["no number"])})
    arrivals = [arrival(service, rows, tag) for rows, tag in ((numbers(1), "x"), (spoilt, "y"))]
    arrivals += [arrival(service, numbers(2), "z"), arrival(service, numbers(3), "x")]
    ends = together(service, appender, arrivals)
    assert isinstance(ends[1].exception(), duckdb.Error)
    assert states(service, arrivals) == [COMPLETED, "", COMPLETED, SKIPPED]
    assert sorted(service.queries.run("T", "Demo").rows) == [(1,), (2,)]
    tags = command(service, ".show table T extents | project Tags")
    assert sorted(tags) == [("ingest-by:x",), ("ingest-by:z",)]


def test_one_that_was_canceled_takes_nobody_along(service, appender) -> None:
    canceled = Course()
    canceled.cancel("not now")
    arrivals = [arrival(service, numbers(1), "x", canceled), arrival(service, numbers(2), "x")]
    ends = together(service, appender, arrivals)
    assert isinstance(ends[0].exception(), CanceledError)
    assert states(service, arrivals) == ["", COMPLETED]
    assert service.queries.run("T", "Demo").rows == [(2,)]


def test_one_whose_table_was_made_anew_is_refused_and_may_try_again(service, appender) -> None:
    late = arrival(service, numbers(1))
    command(service, ".drop table T")
    command(service, ".create table T (n:long)")
    arrivals = [late, arrival(service, numbers(2))]
    ends = together(service, appender, arrivals)
    error = ends[0].exception()
    assert isinstance(error, KustoError)
    assert (error.code, error.permanent) == ("General_TransientSchemaMismatch", False)
    assert states(service, arrivals) == ["", COMPLETED]
    assert counted(service) == 1


def test_a_group_of_several_tables_brings_each_its_own_rows(service, appender) -> None:
    command(service, ".create table U (n:long)")
    mine = arrival(service, numbers(1), "x")
    table = service.engine.catalog.table("Demo", "U")
    other = Arrival(table, mine.plan, mine.loaded, mine.operation, Course())
    ends = together(service, appender, [mine, other])
    assert [end.exception() for end in ends] == [None, None]
    assert counted(service) == 1
    assert service.queries.run("U", "Demo").rows == [(1,)]


# --- the queue by itself ---------------------------------------------------------------------


class Stage:
    """A group that is served only while ``go`` is set.

    Attributes:
        sizes: how many were taken along each time.
    """

    def __init__(self, serve: Callable[[Stage, list[Seat]], None]) -> None:
        self.go = threading.Event()
        self.sizes: list[int] = []
        self.group: Group[int, int] = Group(self._serve)
        self._given = serve

    def run(self, count: int) -> list[Future]:
        """Lets so many sit down one after the other, then lets them go; how they ended."""
        with ThreadPoolExecutor(count) as pool:
            ends = []
            for i in range(count):
                ends.append(pool.submit(self.group.run, i))
                wait_until(lambda i=i: self.group.waiting == i + 1, WAIT_S, "a seat", 0.001)
            self.go.set()
            for end in ends:
                end.exception(WAIT_S)
        return ends

    def _serve(self, take) -> None:
        assert self.go.wait(WAIT_S)
        if not self.sizes and self._given is lost:
            self.sizes.append(0)
            raise TimeoutError("no writer")
        seats = take()
        self.sizes.append(len(seats))
        self._given(self, seats)


def well(_: Stage, seats: list[Seat]) -> None:
    for seat in seats:
        seat.done(seat.item * 10)


def lost(stage: Stage, seats: list[Seat]) -> None:
    well(stage, seats)


def broken(stage: Stage, seats: list[Seat]) -> None:
    seats[0].done(0)
    if len(stage.sizes) == 1:
        raise ValueError("the disk is full")
    well(stage, seats)


def test_whoever_waits_is_taken_along() -> None:
    stage = Stage(well)
    ends = stage.run(5)
    assert [end.result() for end in ends] == [0, 10, 20, 30, 40]
    assert stage.sizes == [5]
    assert stage.group.run(7) == 70
    assert stage.sizes == [5, 1]


def test_more_than_a_group_takes_are_served_by_the_next(monkeypatch) -> None:
    monkeypatch.setattr(group, "TOGETHER_MAX", 2)
    stage = Stage(well)
    assert [end.result() for end in stage.run(5)] == [0, 10, 20, 30, 40]
    assert stage.sizes == [2, 2, 1]


def test_under_load_everybody_is_served_once_and_told_its_own_outcome() -> None:
    served: Counter[int] = Counter()

    def serve(_: Stage, seats: list[Seat]) -> None:
        served.update(seat.item for seat in seats)
        well(_, seats)

    stage = Stage(serve)
    stage.go.set()
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(stage.group.run, range(5000))) == [i * 10 for i in range(5000)]
    assert served == Counter(range(5000))
    assert stage.group.waiting == 0


def test_a_group_that_fails_fails_for_those_in_it_alone() -> None:
    stage = Stage(broken)
    ends = stage.run(3)
    assert [type(end.exception()) for end in ends] == [type(None), ValueError, ValueError]
    assert stage.group.run(3) == 30


def test_a_leader_that_takes_nobody_fails_alone_and_the_next_leads() -> None:
    stage = Stage(lost)
    ends = stage.run(3)
    assert isinstance(ends[0].exception(), TimeoutError)
    assert [end.result() for end in ends[1:]] == [10, 20]
    assert stage.sizes == [0, 2]


def test_whoever_waits_too_long_goes_away_and_nothing_of_it_is_done(monkeypatch) -> None:
    monkeypatch.setattr(group, "SEATED_S", 0.01)
    stage = Stage(well)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(stage.group.run, 1)
        wait_until(lambda: stage.group.waiting == 1, WAIT_S, "the leader", 0.001)
        with pytest.raises(KustoError, match="writer lock") as caught:
            pool.submit(stage.group.run, 2).result(WAIT_S)
        assert caught.value.permanent is False
        stage.go.set()
        assert first.result(WAIT_S) == 10
    assert stage.sizes == [1]
