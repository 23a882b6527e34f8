"""Policies are obeyed on the turned clock: nothing goes early, and nothing that is young."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from azure.kusto.data.exceptions import KustoApiError

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.emulator import merging
from exactly_once_kusto.emulator.extents import Extent
from exactly_once_kusto.emulator.policies import MEGABYTE, Batching, Merging, batching

HOUR_S = 3600
TWO_HOURS = '[{"TagPrefix":"ingest-by:","RetentionPeriod":"02:00:00"}]'


@pytest.fixture(autouse=True)
def _table(kusto) -> None:
    kusto.rows(".create table T (n:long)")


def put(kusto, value: int, *tags: str, more: str = "") -> list[list]:
    text = ",".join(f'"{tag}"' for tag in tags)
    return kusto.rows(f".ingest inline into table T with (tags='[{text}]'{more}) <| {value}")


def tags(kusto) -> list[str]:
    return sorted(row[0] for row in kusto.rows(".show table T extents | project Tags"))


def test_tags_go_after_their_period_and_not_before(kusto, kusto_emulator) -> None:
    kusto.rows(f".alter table T policy extent_tags_retention '{TWO_HOURS}'")
    put(kusto, 1, "ingest-by:a", "drop-by:b")
    before = kusto.one(".show table T extents | project ExtentId")
    kusto_emulator.clock.advance(2 * HOUR_S - 60)
    put(kusto, 2, "ingest-by:c")
    assert tags(kusto) == ["ingest-by:a\r\ndrop-by:b", "ingest-by:c"]
    kusto_emulator.clock.advance(120)
    assert tags(kusto) == ["drop-by:b", "ingest-by:c"]
    assert kusto.rows(f".show table T extents ({before})") == []  # a new extent, as documented
    # The evidence is gone, and with it the protection.
    put(kusto, 3, "ingest-by:a", more=", ingestIfNotExists='[\"a\"]'")
    assert kusto.one("T | count") == 3


def test_a_tables_policy_comes_before_its_databases(kusto, kusto_emulator) -> None:
    kusto.rows(f".alter database Demo policy extent_tags_retention '{TWO_HOURS}'")
    kusto.rows(".alter table T policy extent_tags_retention '[]'")
    put(kusto, 1, "ingest-by:a")
    kusto_emulator.clock.advance(3 * HOUR_S)
    assert tags(kusto) == ["ingest-by:a"]
    kusto.rows(".delete table T policy extent_tags_retention")
    assert kusto_emulator.upkeep.run().untagged == 1
    assert tags(kusto) == [""]


def test_a_merged_extent_is_as_old_as_its_newest_part(kusto, kusto_emulator) -> None:
    kusto.rows(f".alter table T policy extent_tags_retention '{TWO_HOURS}'")
    kusto.rows(".alter-merge table T policy retention softdelete = 3h")
    put(kusto, 1, "ingest-by:a")
    kusto_emulator.clock.advance(HOUR_S)
    put(kusto, 2, "ingest-by:b")
    assert kusto_emulator.upkeep.run().merged == 1
    kusto_emulator.clock.advance(1.5 * HOUR_S)
    assert tags(kusto) == ["ingest-by:a\r\ningest-by:b"]
    kusto_emulator.clock.advance(HOUR_S)
    assert (tags(kusto), kusto.one("T | count")) == ([""], 2)
    kusto_emulator.clock.advance(HOUR_S)
    assert (tags(kusto), kusto.one("T | count")) == ([], 0)


def test_rows_go_after_the_soft_delete_period_by_creation_time(kusto, kusto_emulator) -> None:
    kusto.rows(".alter-merge table T policy retention softdelete = 7d")
    day = 24 * HOUR_S
    old = (kusto_emulator.clock.now() - dt.timedelta(days=6)).isoformat()
    put(kusto, 1, more=f", creationTime='{old}'")
    put(kusto, 2)
    kusto_emulator.clock.advance(0.9 * day)
    assert kusto.one("T | count") == 2
    kusto_emulator.clock.advance(0.2 * day)
    assert kusto.rows("T") == [[2]]
    kusto_emulator.clock.advance(7 * day)
    assert (kusto.rows("T"), kusto.rows(".show table T extents")) == ([], [])
    # What is written later is as young as ever.
    put(kusto, 3)
    kusto_emulator.clock.advance(6 * day)
    assert kusto.rows("T") == [[3]]


def test_a_shorter_period_holds_for_what_is_there_and_zero_takes_all(kusto, kusto_emulator) -> None:
    put(kusto, 1)
    kusto_emulator.clock.advance(HOUR_S)
    kusto.rows(".alter-merge table T policy retention softdelete = 0d recoverability = disabled")
    assert kusto_emulator.upkeep.run().dropped == 1
    assert kusto.rows("T") == []
    with pytest.raises(KustoApiError, match="on a table only"):
        kusto.rows(".alter-merge database Demo policy retention softdelete = 0d")


def test_upkeep_that_is_switched_off_lets_everything_linger(kusto, kusto_emulator) -> None:
    kusto_emulator.upkeep.set(retention=False)
    kusto.rows(".alter-merge table T policy retention softdelete = 1h")
    put(kusto, 1)
    kusto_emulator.clock.advance(2 * HOUR_S)
    assert kusto.one("T | count") == 1
    assert kusto_emulator.upkeep.run().dropped == 1


def test_merges_run_in_the_background_where_wanted(kusto, kusto_emulator) -> None:
    for n in range(5):
        put(kusto, n, f"ingest-by:{n}", "drop-by:even" if n % 2 == 0 else "drop-by:odd")
    kusto_emulator.upkeep.set(merging=True, seconds=0.01)
    wait_until(lambda: len(tags(kusto)) == 2, 20, "two extents", poll_s=0.02)
    assert kusto.one("T | count") == 5
    merged = kusto.rows(
        ".show commands | where CommandType == 'ExtentsRebuild' | project Application, State"
    )
    assert merged == [["Kusto.Azure.DM.Svc", "Completed"]] * 2
    for n in range(5):  # no protection is lost
        put(kusto, n, more=f", ingestIfNotExists='[\"{n}\"]'")
    assert kusto.one("T | count") == 5


def test_a_table_whose_merge_policy_forbids_it_is_not_merged(kusto, kusto_emulator) -> None:
    kusto.rows('.alter table T policy merge \'{"AllowMerge": false, "AllowRebuild": false}\'')
    put(kusto, 1)
    put(kusto, 2)
    assert kusto_emulator.upkeep.run().merged == 0
    kusto.rows(".alter-merge table T policy merge '{\"AllowMerge\": true}'")
    assert kusto_emulator.upkeep.run().merged == 1
    kinds = kusto.rows(".show operations | distinct Operation | where Operation has 'ExtentsMerge'")
    assert kinds == [["ExtentsMerge"]]


def extent(number: int, hours: float = 0, rows: int = 1, tags: tuple[str, ...] = ()) -> Extent:
    created = dt.datetime(2030, 1, 1) + dt.timedelta(hours=hours)  # noqa: DTZ001
    return Extent(str(number), (number,), created, created, rows, 10.0 * MEGABYTE, tags)


NOW = dt.datetime(2030, 1, 3)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("found", "policy", "wanted"),
    [
        ([extent(1), extent(2, 25)], Merging(), []),
        ([extent(1), extent(2, 23)], Merging(), [("ExtentsRebuild", "12")]),
        (
            [extent(i) for i in range(5)],
            Merging(extents_max=2),
            [("ExtentsRebuild", "01"), ("ExtentsRebuild", "23")],
        ),
        ([extent(1, rows=10**6), extent(2, rows=10**6)], Merging(), [("ExtentsMerge", "12")]),
        ([extent(1, rows=9 * 10**6), extent(2, rows=9 * 10**6)], Merging(), []),
        ([extent(1), extent(2)], Merging(lookback=dt.timedelta(hours=1)), []),
        ([extent(1), extent(2)], Merging(lookback=None), [("ExtentsRebuild", "12")]),
        ([extent(1, tags=("a" * 600_000,)), extent(2, tags=("b" * 600_000,))], Merging(), []),
        (
            [extent(1, tags=("drop-by:a",)), extent(2), extent(3)],
            Merging(),
            [("ExtentsRebuild", "23")],
        ),
    ],
)
def test_the_merge_policy_bounds_what_is_merged(found, policy, wanted) -> None:
    chosen = merging.candidates(found, policy, NOW)
    assert [(kind, "".join(e.id for e in run)) for kind, run in chosen] == wanted


def test_the_batching_policy_is_read_with_its_defaults(kusto, kusto_emulator) -> None:
    given = json.dumps({"MaximumBatchingTimeSpan": "00:00:30", "MaximumNumberOfItems": 7})
    engine = kusto_emulator._service.engine
    table = engine.catalog.table("Demo", "T")
    with engine.reader() as q:
        assert batching(q, table) == Batching()
    kusto.rows(f".alter database Demo policy ingestionbatching '{given}'")
    with engine.reader() as q:
        assert batching(q, table) == Batching(dt.timedelta(seconds=30), 7, 1024 * MEGABYTE)


@pytest.mark.parametrize(
    ("policy", "given"),
    [
        ("extent_tags_retention", '[{"TagPrefix":"ingest-by","RetentionPeriod":"02:00:00"}]'),
        ("extent_tags_retention", '[{"TagPrefix":"a:b:","RetentionPeriod":"02:00:00"}]'),
        ("extent_tags_retention", '[{"TagPrefix":"a:"}]'),
        ("extent_tags_retention", '[{"TagPrefix":"a:","RetentionPeriod":"soon"}]'),
        ("extent_tags_retention", '[{"TagPrefix":"a:","RetentionPeriod":"999999999999d"}]'),
        ("extent_tags_retention", '{"TagPrefix":"a:"}'),
        ("extent_tags_retention", "[1]"),
        ("extent_tags_retention", '[{"TagPrefix":"a:","RetentionPeriod":"-1.00:00:00"}]'),
        ("ingestionbatching", '{"MaximumBatchingTimeSpan":"00:00:05"}'),
        ("ingestionbatching", '{"MaximumRawDataSizeMB":1}'),
        ("ingestionbatching", '{"MaximumNumberOfItems":25001}'),
        ("ingestionbatching", "[]"),
        ("merge", '{"Lookback":{"Kind":"Custom"}}'),
        ("merge", '{"Lookback":{"Kind":"Sometimes"}}'),
        ("merge", '{"MaxRangeInHours":"x"}'),
        ("merge", '"none"'),
        ("retention", '{"SoftDeletePeriod":"never"}'),
        ("retention", "not json"),
    ],
)
def test_a_policy_that_could_not_be_obeyed_is_refused(kusto, policy: str, given: str) -> None:
    with pytest.raises(KustoApiError, match=r"policy|Maximum|TagPrefix|timespan"):
        kusto.rows(f".alter table T policy {policy} ```{given}```")
    assert kusto.one(f".show table T policy {policy} | project Policy") == "null"


@pytest.mark.parametrize("period", ["00:00:00.5", "00:00:00.0000001"])
def test_a_period_of_less_than_a_second_is_not_the_period_of_zero(kusto, period: str) -> None:
    kusto.rows(f'.alter table T policy retention ```{{"SoftDeletePeriod":"{period}"}}```')
    shown = json.loads(kusto.one(".show table T policy retention | project Policy"))
    assert shown["SoftDeletePeriod"].startswith("00:00:00.")
    put(kusto, 1)  # with zero it would be refused


def test_a_lookback_longer_than_there_was_time_merges_all(kusto, kusto_emulator) -> None:
    long = '{"Lookback": {"Kind": "Custom", "CustomPeriod": "999999.00:00"}}'
    kusto.rows(f".alter table T policy merge '{long}'")
    put(kusto, 1)
    put(kusto, 2)
    assert kusto_emulator.upkeep.run().merged == 1


def test_upkeep_goes_on_after_a_round_that_failed(kusto, kusto_emulator, monkeypatch) -> None:
    rounds: list[None] = []

    def fail(*_: object) -> None:
        rounds.append(None)
        if len(rounds) == 1:
            raise ArithmeticError("not foreseen")

    monkeypatch.setattr(kusto_emulator.upkeep, "run", fail)
    kusto_emulator.upkeep.set(seconds=0.01)
    wait_until(lambda: len(rounds) > 2, 20, "a later round", poll_s=0.01)
