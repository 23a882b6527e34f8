"""What can be known to be unfit before the first row is said with both sides and the next step."""

from __future__ import annotations

import traceback

import pytest

from exactly_once_kusto.errors import StagingError, StorageUnavailableError, TargetError
from exactly_once_kusto.protocol.ports import Column
from exactly_once_kusto.storage import address
from exactly_once_kusto.storage.address import open_store

WRONG_KEY = "bm90IHRoZSBrZXkgb2YgdGhlIGFjY291bnQ="


def refused(kusto, sink, columns=None) -> str:
    target = kusto.target(sink, columns) if columns else kusto.target(sink)
    with pytest.raises(TargetError) as caught:
        target.preflight()
    return str(caught.value)


def test_a_missing_table_comes_with_the_command_that_makes_it(kusto):
    says = refused(kusto, kusto.sink("Missing", name="m"))
    assert "there is no table 'Missing' in database 'Demo' of http://127.0.0.1:" in says
    command = says.partition("make it with: ")[2]
    kusto.command(command)
    kusto.target(kusto.sink("Missing", name="m")).preflight()


def test_a_missing_database_is_named(kusto):
    assert "Nowhere" in refused(kusto, kusto.sink("T", name="t", database="Nowhere"))


def test_types_that_do_not_fit_are_all_told_with_both_sides(kusto):
    table = kusto.table("amount:string, at:timespan, id:long, day:datetime")
    columns = [
        Column("amount", "DECIMAL(10, 2)"),
        Column("at", "TIME(0)"),
        Column("id", "INT"),
        Column("day", "DATE"),
        Column("more", "DOUBLE"),
    ]
    says = refused(kusto, kusto.sink(table), columns)
    assert says == (
        f"column 'amount': DECIMAL(10, 2) goes into decimal, but Demo.{table} has amount:string; "
        "CAST the column, or map it to another one; "
        f"column 'at': TIME(0) goes into string, but Demo.{table} has at:timespan (nothing in "
        "Parquet converts to a timespan: read the string with totimespan()); CAST the column, or "
        "map it to another one; "
        f"column 'more': DOUBLE goes into real, but Demo.{table} has no column 'more'; leave it "
        "out, map it with option 'mapping', or add it with: "
        f".alter-merge table ['{table}'] (['more']:real)"
    )


def test_a_table_that_keeps_nothing_is_refused(kusto):
    table = kusto.table()
    kusto.command(f".alter-merge table {table} policy retention softdelete = 0d")
    assert "has a soft-delete period of 0" in refused(kusto, kusto.sink(table))


def test_a_table_that_forgets_tags_soon_is_refused(kusto):
    table = kusto.table()
    kusto.command(
        f".alter table {table} policy extent_tags_retention "
        """'[{"TagPrefix":"ingest-by:","RetentionPeriod":"02:00:00"}]'"""
    )
    says = refused(kusto, kusto.sink(table))
    assert f"Demo.{table} drops 'ingest-by:' tags after 7200 s" in says
    assert "keep them for at least 86400 s" in says


@pytest.mark.parametrize("staging", ["file", "azurite"])
def test_a_preflight_leaves_nothing_in_staging(kusto, request, staging):
    given = {}
    if staging == "azurite":
        given["staging"] = request.getfixturevalue("azurite").container("preflight")
    sink = kusto.sink(kusto.table(), **given)
    kusto.target(sink).preflight()
    assert list(open_store(sink.staging).list(f"{sink.name}/")) == []


def test_staging_that_can_not_be_written_is_named(kusto, tmp_path):
    (tmp_path / "file").write_text("x")
    sink = kusto.sink(kusto.table(), staging=(tmp_path / "file").as_uri())
    with pytest.raises(StagingError, match=r"can't write .*/file/.*another 'staging'"):
        kusto.target(sink).preflight()


def test_a_container_that_is_not_there_is_named_and_never_made(kusto, azurite):
    sink = kusto.sink(kusto.table(), staging=f"{azurite.address}/nowhere")
    for _ in range(2):
        with pytest.raises(StagingError, match=r"/nowhere/.* ContainerNotFound; create the cont"):
            kusto.target(sink).preflight()


def test_a_key_that_is_not_the_account_s_is_said_without_showing_it(kusto, azurite, monkeypatch):
    sink = kusto.sink(kusto.table(), staging=azurite.container("preflight"))
    monkeypatch.setattr(address, "AZURITE_KEY", WRONG_KEY)
    with pytest.raises(StagingError, match=r"HTTP 403 Auth\w+; .*AZURE_STORAGE_KEY") as e:
        kusto.target(sink).preflight()
    assert WRONG_KEY not in "".join(traceback.format_exception(e.value))


def test_storage_that_does_not_answer_is_no_verdict_and_does_not_hang(kusto, azurite):
    sink = kusto.sink(kusto.table(), staging=azurite.container("preflight"))
    azurite.stop()
    try:
        with pytest.raises(StorageUnavailableError, match="does not answer"):
            kusto.target(sink).preflight()
    finally:
        azurite.start()
