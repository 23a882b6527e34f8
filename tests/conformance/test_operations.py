"""Asynchronous operations: their states, their results, their failures."""

from __future__ import annotations

import uuid

from .case import page


@page("kusto/management/show-operations")
def test_an_asynchronous_command_ends_completed_under_the_id_it_gave(kusto, make) -> None:
    name = make("n:long")
    operation = str(kusto.one(f".append async {name} <| range n from 1 to 3 step 1"))
    record = kusto.ended(operation)
    assert record["State"] == "Completed"
    assert str(record["OperationId"]) == operation
    assert kusto.one(f"{name} | count") == 3
    columns = [c.column_name for c in kusto.table(f".show operations {operation}").columns]
    wanted = "OperationId Operation NodeId StartedOn LastUpdatedOn Duration State Status"
    assert columns[:8] == wanted.split()


@page("kusto/management/show-operation-details")
def test_the_details_of_an_ingestion_name_its_extents(kusto, make, stage) -> None:
    name = make("n:long")
    place = stage("a.csv", b"1\n2\n")
    operation = kusto.one(f".ingest async into table {name} ({place}) with (format='csv')")
    assert kusto.ended(operation)["State"] == "Completed"
    details = kusto.table(f".show operation {operation} details")
    shown = kusto.rows(f".show table {name} extents | project tostring(ExtentId)")
    assert [[str(row["ExtentId"])] for row in details] == shown


@page("kusto/management/show-operations", "kusto/management/extent-tags")
def test_a_command_whose_tag_is_there_ends_skipped(kusto, make, stage) -> None:
    name = make("n:long")
    place = stage("a.csv", b"1\n")
    command = (
        f".ingest async into table {name} ({place}) with (format='csv', "
        "tags='[\"ingest-by:x\"]', ingestIfNotExists='[\"x\"]')"
    )
    states = [kusto.ended(kusto.one(command))["State"] for _ in range(2)]
    assert states == ["Completed", "Skipped"]
    assert kusto.one(f"{name} | count") == 1


@page("kusto/management/ingestion-failures", "kusto/management/show-operations")
def test_a_failure_is_found_by_its_operation(kusto, make, stage) -> None:
    name = make("n:long")
    place = stage("bad.csv", b"1\n2,3\n")
    operation = kusto.one(f".ingest async into table {name} ({place}) with (format='csv')")
    assert kusto.ended(operation)["State"] == "Failed"
    failures = kusto.table(f".show ingestion failures with (OperationId='{operation}')")
    found = [(row["Table"], row["FailureKind"], row["ErrorCode"]) for row in failures]
    assert found == [(name, "Permanent", "Stream_WrongNumberOfFields")]


@page("kusto/management/show-operations")
def test_an_operation_that_never_was_has_no_record(kusto) -> None:
    assert len(kusto.table(f".show operations {uuid.uuid4()}")) == 0
