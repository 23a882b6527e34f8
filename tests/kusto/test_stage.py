"""Parts: random names, sealed at the barrier, rolled when large, gone when nobody was told."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exactly_once_kusto import KustoSink
from exactly_once_kusto.errors import StorageUnavailableError, ValueRefusedError
from exactly_once_kusto.kusto.destination import parse_destination
from exactly_once_kusto.storage.address import local_path, open_store
from tests.kusto.conftest import COLUMNS, SCHEMA, rows


@pytest.fixture
def sink(tmp_path):
    return KustoSink(
        name="payments",
        cluster="http://127.0.0.1:1",
        database="Demo",
        table="Payments",
        staging=(tmp_path / "staging").as_uri(),
        auth="none",
        mapping={"note": "Note"},
        part_size=1 << 20,
        staging_timeout_s=0.0,
    )


@pytest.fixture
def writer(sink):
    writer = sink.writer(COLUMNS, SCHEMA)
    yield writer
    writer.close()


def listed(sink) -> list[str]:
    return list(open_store(sink.staging).list(""))


def test_no_rows_make_no_part(sink, writer):
    assert writer.seal() == []
    writer.write(rows())
    assert writer.seal() == []
    assert listed(sink) == []


def test_a_part_holds_the_rows_since_the_last_seal(sink, writer):
    writer.write(rows((1, "a")))
    writer.write(rows((2, "b")))
    (first,) = writer.seal()
    writer.write(rows((3, None)))
    (second,) = writer.seal()
    assert writer.seal() == []
    assert (first.rows, second.rows) == (2, 1)
    assert first.raw_bytes > second.raw_bytes > 0
    read = pq.read_table(local_path(first.address)).to_pylist()
    assert read == [{"id": 1, "Note": "a"}, {"id": 2, "Note": "b"}]
    assert Path(local_path(first.address)).stat().st_size == first.length


def test_names_are_random_and_under_the_sink_s_name(sink, writer):
    names = set()
    for _ in range(3):
        writer.write(rows((1, "a")))
        (part,) = writer.seal()
        found = re.fullmatch(
            re.escape(sink.staging) + r"/payments/parts/([0-9a-f]{32})\.parquet", part.address
        )
        names.add(found.group(1))
    assert len(names) == 3


def test_nothing_is_seen_before_the_seal(sink, writer):
    writer.write(rows((1, "a")))
    assert listed(sink) == []


def test_a_large_part_is_rolled_before_the_barrier(sink, writer):
    wide = rows(*((i, "x" * 1000) for i in range(600)))
    for _ in range(5):
        writer.write(wide)
    parts = writer.seal()
    assert [part.rows for part in parts] == [1200, 1200, 600]
    assert len({part.address for part in parts}) == 3


def test_close_removes_what_no_seal_has_told(sink, writer):
    writer.write(rows((1, "a")))
    (told,) = writer.seal()
    writer.write(rows(*((i, "x" * 1000) for i in range(1200))))
    writer.write(rows((2, "b")))
    assert len(listed(sink)) == 2
    writer.close()
    writer.close()
    assert listed(sink) == [told.address.removeprefix(f"{sink.staging}/")]
    with pytest.raises(StorageUnavailableError, match="closed or has failed"):
        writer.write(rows((3, "c")))


def test_after_a_refused_value_no_part_comes_out_that_lacks_it(sink, writer):
    # A caller that goes on all the same must not get a part with a batch missing.
    writer.write(rows((1, "a")))
    with pytest.raises(ValueRefusedError, match="'note'"):
        writer.write(rows((2, "x" * ((1 << 20) + 1))))
    with pytest.raises(StorageUnavailableError, match="start again"):
        writer.seal()
    writer.close()
    assert listed(sink) == []


def test_after_a_failed_seal_no_later_one_returns_fewer_rows(sink, writer, tmp_path):
    writer.write(rows((1, "a")))
    folder = tmp_path / "staging" / "payments" / "parts"
    folder.rmdir()
    with pytest.raises(StorageUnavailableError, match=r"can't write .*\.parquet"):
        writer.seal()
    folder.mkdir()
    with pytest.raises(StorageUnavailableError, match="start again"):
        writer.seal()


def test_a_destination_holds_what_a_commit_needs_and_reads_back(sink, writer):
    writer.write(rows((1, "a")))
    (part,) = writer.seal()
    destination = parse_destination(part.destination)
    assert destination.text() == part.destination
    assert (destination.cluster, destination.database) == ("http://127.0.0.1:1", "Demo")
    assert (destination.table, destination.mode) == ("Payments", "direct")
    assert destination.columns == ("id", "Note")


def test_another_schema_is_another_destination(sink):
    def destination(columns, schema):
        writer = sink.writer(columns, schema)
        writer.write(pa.record_batch([[1], ["a"]], schema=schema))
        (part,) = writer.seal()
        return part.destination

    narrower = (COLUMNS[0].__class__("id", "INT"), COLUMNS[1])
    schema = pa.schema([("id", pa.int32()), ("note", pa.string())])
    assert destination(COLUMNS, SCHEMA) != destination(narrower, schema)
