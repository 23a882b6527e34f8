"""Messages and batches without any queue, and the limits of what waits."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.emulator import queued
from exactly_once_kusto.emulator.batching import Batcher, Item
from exactly_once_kusto.emulator.clock import Clock
from exactly_once_kusto.emulator.engine import Engine
from exactly_once_kusto.emulator.errors import KustoError
from exactly_once_kusto.emulator.faults import Faults
from exactly_once_kusto.emulator.identity import IdentityTokens
from exactly_once_kusto.emulator.policies import Batching
from exactly_once_kusto.emulator.queue_messages import Blob, parse
from exactly_once_kusto.emulator.queued import QueuedIngestion
from exactly_once_kusto.emulator.types import Result

from .conftest import WAIT_S

NOW = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - as the emulator's clock


def test_batches_hold_what_has_the_same_properties() -> None:
    batcher, policy = Batcher(), Batching()
    for number, form in enumerate(["csv", "json", "csv"]):
        blob = Blob(str(number), "u", "D", "T", {"format": form})
        assert batcher.add(Item(number, blob, 1), NOW, policy) is None
    assert batcher.due(NOW + dt.timedelta(minutes=4)) == []
    sealed = batcher.due(NOW + dt.timedelta(minutes=5))
    assert sorted([item.number for item in batch.items] for batch in sealed) == [[0, 2], [1]]
    assert {batch.sealed_by for batch in sealed} == {"Time"}
    assert batcher.waiting() == 0


@pytest.mark.parametrize(
    ("properties", "more", "cause"),
    [
        ({"tags": '["ingest-by:a"]'}, {}, "SingleBlob_IngestByTag"),
        ({"tags": "['ingest-by:a']"}, {}, "SingleBlob_IngestByTag"),
        ({"ingestifnotexists": '["a"]'}, {}, "SingleBlob_IngestIfNotExists"),
        ({"tags": '["drop-by:a"]'}, {"flush": True}, "FlushImmediately"),
        ({}, {"alone": True}, "SingleBlob_FlushImmediately"),
        ({"tags": "garbage"}, {}, "SingleBlob_IngestByTag"),
    ],
)
def test_a_blob_that_goes_alone_says_why(properties, more, cause) -> None:
    blob = Blob("1", "u", "D", "T", properties, **more)
    batch = Batcher().add(Item(1, blob, 1), NOW, Batching())
    assert batch is not None
    assert batch.sealed_by == cause


def test_a_blob_of_unknown_size_goes_alone() -> None:
    batch = Batcher().add(Item(1, Blob("1", "u", "D", "T"), None), NOW, Batching())
    assert batch is not None
    assert batch.sealed_by == "SingleBlob_SizeUnknown"


def test_a_batch_is_sealed_by_whichever_limit_comes_first() -> None:
    policy = Batching(items_max=3, bytes_max=100)
    batcher = Batcher()
    add = lambda n, size: batcher.add(Item(n, Blob("1", "u", "D", "T"), size), NOW, policy)  # noqa: E731
    assert add(1, 60) is None
    by_size = add(2, 40)
    assert by_size is not None
    assert by_size.sealed_by == "Size"
    assert [add(n, 1) is None for n in (3, 4)] == [True, True]
    by_count = add(5, 1)
    assert by_count is not None
    assert by_count.sealed_by == "Count"


def test_a_message_is_read_as_it_is_documented() -> None:
    document = {
        "Id": "1",
        "BlobPath": "https://a/b?sas",
        "RawDataSize": "12",
        "DatabaseName": "D",
        "TableName": "T",
        "FlushImmediately": "true",
        "ReportLevel": 2,
        "ReportMethod": 1,
        "AdditionalProperties": {
            "Format": "csv",
            "ignoreFirstRecord": True,
            "mappingReference": "m",
        },
    }
    blob = parse(json.dumps(document))
    assert (blob.raw_size, blob.flush, blob.retain) == (12, True, False)
    assert blob.properties == {
        "format": "csv",
        "ignorefirstrecord": "true",
        "ingestionmappingreference": "m",
    }
    assert "m" not in blob.url


@pytest.mark.parametrize("content", [r'{"Id": "\ud800"}', r'{"X": {"Y": ["\udfff"]}}'])
def test_a_message_with_half_a_surrogate_pair_is_none(content: str) -> None:
    with pytest.raises(KustoError, match="corrupted"):
        parse(content)


Queueing = Callable[[Callable[..., Any]], QueuedIngestion]


@pytest.fixture
def queueing(tmp_path: Path) -> Iterator[Queueing]:
    """Makes queued ingestion whose ingest commands are a function of the test's."""
    engine = Engine(tmp_path / "k", ["Demo"])
    made: list[QueuedIngestion] = []

    def make(ingest: Callable[..., Any]) -> QueuedIngestion:
        clock = Clock()
        tokens = IdentityTokens(tmp_path / "k")
        made.append(QueuedIngestion(engine, clock, Faults(), ingest, tokens))
        # Neither database nor table are looked for.
        made[0]._target = lambda blob: blob.database  # type: ignore[method-assign]
        made[0].start()
        return made[0]

    yield make
    made[0].close()
    engine.close()


def tagged(number: int) -> Blob:
    given = {"tags": f'["ingest-by:{number}"]'}
    return Blob(str(number), f"/f{number}", "Demo", "T", given, 9, operation="1;2;x")


def test_a_blob_that_breaks_the_emulator_is_given_up(queueing: Queueing) -> None:
    tried = []

    def ingest(*_: object) -> None:
        tried.append(1)
        raise ZeroDivisionError

    running = queueing(ingest)
    running.accept([tagged(0)], "")

    def ended() -> bool:
        running._clock.advance(30)
        return running.store.tracked("1;2;x")[0].state == "Failed"

    wait_until(ended, WAIT_S, "the blob to be given up")
    (blob,) = running.store.tracked("1;2;x")
    assert (blob.code, blob.failure) == ("General_RetryAttemptsExceeded", "Exhausted")
    assert len(tried) == queued.ATTEMPTS_MAX


def test_tagged_blobs_that_wait_for_a_thread_are_counted(
    queueing: Queueing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queued, "WAITING_MAX", 20)
    free = threading.Event()

    def ingest(*_: object) -> tuple[str, Result]:
        assert free.wait(WAIT_S)
        return "Completed", Result((), [])

    running = queueing(ingest)
    try:
        running.accept([tagged(n) for n in range(20)], "")
        begun = lambda: len(running._under_way) == 20  # noqa: E731
        wait_until(begun, WAIT_S, "every blob to have a batch of its own")
        with pytest.raises(KustoError) as caught:
            running.accept([tagged(20)], "")
        assert (caught.value.status, caught.value.permanent) == (429, False)
    finally:
        free.set()
    wait_until(lambda: running.waiting() == 0, WAIT_S, "all to end")
    running.accept([tagged(21)], "")


def test_a_blob_that_can_t_be_placed_is_placed_later(
    queueing: Queueing, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    def look(_: str) -> int:
        looked.append(1)
        if len(looked) < 3:
            raise ZeroDivisionError
        return 1

    monkeypatch.setattr(queued, "raw_size", look)
    running = queueing(lambda *_: ("Completed", Result((), [])))
    running.accept([Blob("1", "/f", "Demo", "T", {}, None, operation="1;2;x")], "")
    done = lambda: running.store.tracked("1;2;x")[0].state == "Succeeded"  # noqa: E731
    wait_until(done, WAIT_S, "the blob to be ingested")


def test_a_blob_canceled_while_it_is_ingested_is_forgotten_once_it_ended(
    queueing: Queueing,
) -> None:
    begun, free = threading.Event(), threading.Event()

    def ingest(*_: object) -> tuple[str, Result]:
        begun.set()
        assert free.wait(WAIT_S)
        return "Completed", Result((), [])

    running = queueing(ingest)
    running.accept([tagged(0)], "")
    assert begun.wait(WAIT_S)
    running.cancel("1;2;x")
    free.set()
    wait_until(lambda: running.waiting() == 0, WAIT_S, "the blob to end")
    assert running._canceled == set()
    assert running.store.tracked("1;2;x")[0].state == "Succeeded"
