"""Bad input on a cluster: the job fails at once, is not restarted, and no part was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from exactly_once_kusto.cluster import ClientError, FlinkCluster
from exactly_once_kusto.storage.address import open_store

from .road import Road

pytestmark = pytest.mark.flink


def refused(road: Road, job: str) -> str:
    text = road.failed(job)
    attempts = [task.attempt for v in road.cluster.vertices(job) for task in v.subtasks]
    assert set(attempts) == {0}, "the job was restarted"
    assert road.parts() == [], "a part was written"
    names = open_store(road.kusto.staging).list("")
    assert [name for name in names if "/ledger/" in name] == []
    return text


def test_a_table_that_does_not_exist(road: Road, cluster: FlinkCluster) -> None:
    road.table = "Missing"
    text = refused(road, road.submit(rows=100))
    assert "Missing" in text
    assert ".create table" in text


def test_a_column_whose_type_does_not_fit_says_both_sides(
    road: Road, cluster: FlinkCluster
) -> None:
    road.create_table("Other", "n:string, label:string")
    road.table = "Other"
    text = refused(road, road.submit(rows=100))
    assert "column 'n'" in text
    assert "BIGINT" in text
    assert "n:string" in text


def test_a_column_that_the_table_lacks(road: Road, cluster: FlinkCluster) -> None:
    road.create_table("Narrow", "n:long")
    road.table = "Narrow"
    assert "column 'label'" in refused(road, road.submit(rows=100))


def test_a_staging_address_that_cannot_be_written(
    road: Road, cluster: FlinkCluster, tmp_path: Path
) -> None:
    blocker = tmp_path / "blocker"
    blocker.write_text("a file where a directory should be")
    staging = f"{blocker.as_uri()}/staging"
    text = refused(road, road.submit(rows=100, options={"staging": staging}))
    assert str(blocker) in text


def test_what_can_be_known_at_submission_is_refused_there(
    road: Road, cluster: FlinkCluster
) -> None:
    with pytest.raises(ClientError) as caught:
        road.submit(rows=100, options={"on-rewind": "perhaps"})
    assert "on-rewind" in str(caught.value)
    assert "perhaps" in str(caught.value)
    assert road.parts() == []
