"""The demo's verdict compares rows: equal counts with other rows are a failure."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from exactly_once_kusto.cli import flights
from exactly_once_kusto.cli.demo import judge

SOURCE = Counter({("a", 1): 1, ("b", 2): 1, ("twin", 3): 2})
LINE = [
    *[
        "2013",
        "1",
        "2",
        "NA",
        "1545",
        "NA",
        "NA",
        "1910",
        "NA",
        "AA",
        "133",
        "NA",
        "JFK",
        "LAX",
        "NA",
        "2475",
        "15",
        "45",
    ]
]
LINE.append("2013-01-02T20:00:00Z")


def test_the_last_line_is_exactly_as_promised() -> None:
    verdict = judge(SOURCE, SOURCE, transactions=7, kills=1, finished=True)
    assert str(verdict) == (
        "rows in 4 | rows out 4 | lost 0 | duplicated 0 | transactions 7 | kills 1 | OK"
    )


@pytest.mark.parametrize(
    ("sink", "lost", "duplicated"),
    [
        (Counter({("a", 1): 1, ("b", 2): 2, ("twin", 3): 1}), 1, 1),
        (Counter({("a", 1): 1, ("b", 9): 1, ("twin", 3): 2}), 1, 1),
        (Counter({("a", 1): 1, ("b", 2): 1, ("twin", 3): 3}), 0, 1),
        (Counter({("a", 1): 1, ("twin", 3): 2}), 1, 0),
    ],
)
def test_wrong_rows_fail_also_where_the_counts_agree(sink, lost, duplicated) -> None:
    verdict = judge(SOURCE, sink, transactions=7, kills=1, finished=True)
    assert (verdict.lost, verdict.duplicated, verdict.ok) == (lost, duplicated, False)
    assert str(verdict).endswith("| FAILED")


@pytest.mark.parametrize(("kills", "finished"), [(0, True), (1, False)])
def test_a_demo_that_showed_nothing_fails(kills: int, finished: bool) -> None:
    assert not judge(SOURCE, SOURCE, transactions=7, kills=kills, finished=finished).ok


def test_na_is_null_and_every_column_has_its_type() -> None:
    row = flights.parse(LINE)
    assert len(row) == len(flights.FIELDS) == 19
    by_name = dict(zip([f.name for f in flights.FIELDS], row, strict=True))
    assert by_name["dep_time"] is None
    assert by_name["tailnum"] is None
    assert by_name["distance"] == 2475
    assert by_name["time_hour"] == datetime(2013, 1, 2, 20, tzinfo=UTC)
    assert flights.normal(row)[11] == "", "Kusto has no null string"
    assert flights.normal(row)[3] is None


def test_the_whole_file_has_the_rows_the_demo_promises() -> None:
    rows = sum(1 for _ in flights.read_rows(flights.zip_path()))
    assert rows == flights.ROWS
