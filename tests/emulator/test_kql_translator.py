"""The translator's process: bounded in time and memory, and replaced when it is lost."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.emulator.catalog import Catalog, DecimalWidth, Table
from exactly_once_kusto.emulator.errors import KustoError
from exactly_once_kusto.emulator.translate_job import Job
from exactly_once_kusto.emulator.translator import TranslatorProcess
from exactly_once_kusto.emulator.types import Column

CATALOG = Catalog(
    ("Demo",),
    {("Demo", "T"): Table(1, "Demo", "T", (Column("k", "long"),), (DecimalWidth(),))},
)
WAIT_S = 20.0


@pytest.fixture(scope="module")
def translator():
    translator = TranslatorProcess()
    yield translator
    translator.close()


def test_a_query_becomes_sql_against_the_catalog_it_is_given(translator) -> None:
    found = translator.translate(
        Job("T | where k > 1 and now() > ago(1h)", "Demo"), CATALOG, WAIT_S
    )
    assert '"Demo"."T"' in found.sql
    assert found.clock_slot is not None
    with pytest.raises(KustoError, match="'T'"):
        translator.translate(Job("T | count", "Demo"), Catalog(("Demo",), {}), WAIT_S)
    assert translator.translate(Job("T | count", "Demo"), CATALOG, WAIT_S).clock_slot is None


def test_a_translation_is_remembered_until_the_catalog_changes(translator) -> None:
    job = Job("T | summarize count() by k", "Demo")
    first = translator.translate(job, CATALOG, WAIT_S)
    assert translator.translate(job, CATALOG, WAIT_S) is first
    assert translator.translate(job, Catalog(("Demo",), dict(CATALOG.tables)), WAIT_S) is not first


def test_a_translator_that_is_killed_is_replaced(translator) -> None:
    translator.translate(Job("print 1", "Demo"), CATALOG, WAIT_S)
    lost = translator.pid
    os.kill(lost, signal.SIGKILL)
    wait_until(lambda: _ended(lost), WAIT_S, "the end of the translator", poll_s=0.01)
    assert "2" in translator.translate(Job("print 2", "Demo"), CATALOG, WAIT_S).sql
    assert translator.pid != lost


def test_a_translator_that_does_not_answer_is_ended_at_the_deadline(translator) -> None:
    translator.translate(Job("print 3", "Demo"), CATALOG, WAIT_S)
    os.kill(translator.pid, signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(KustoError, match=r"timeout of 0\.5 seconds") as caught:
        translator.translate(Job("print 4", "Demo"), CATALOG, 0.5)
    assert caught.value.code == "Timeout"
    assert time.monotonic() - begun < 5
    assert translator.translate(Job("print 4", "Demo"), CATALOG, WAIT_S).sql


def test_a_translator_that_is_killed_in_the_middle_costs_one_query_at_most(translator) -> None:
    translator.translate(Job("print 6", "Demo"), CATALOG, WAIT_S)
    slow = "let f = (x:long) { x + x }; print " + "f(" * 30 + "1" + ")" * 30
    raised: list[KustoError] = []

    def ask() -> None:
        try:
            translator.translate(Job(slow, "Demo"), CATALOG, 3)
        except KustoError as error:
            raised.append(error)

    asking = threading.Thread(target=ask)
    lost, spent = translator.pid, _processor_time(translator.pid)
    asking.start()
    wait_until(lambda: _processor_time(lost) > spent + 10, WAIT_S, "a translation", poll_s=0.01)
    os.kill(lost, signal.SIGKILL)
    asking.join(WAIT_S)
    assert [error.code for error in raised] == ["Timeout"]
    assert translator.translate(Job("print 7", "Demo"), CATALOG, WAIT_S).sql
    assert translator.pid != lost


@pytest.mark.parametrize(
    "text",
    [
        "print " + "strcat(" * 12 + "'a'" + ", 'b')" * 12,
        "print " + "(" * 500 + "1" + ")" * 500,
        "print " + "-" * 3000 + "1",
        "print x = 1" + " | extend x = x + 1" * 2000,
        "let f = (x:long) { x + x }; print " + "f(" * 30 + "1" + ")" * 30,
        "print dynamic(" + "[" * 5000 + "]" * 5000 + ")",
        "datatable(x:string)[" + ",".join(["'" + "y" * 5000 + "'"] * 300) + "]",
        "print '" + "z" * 1_100_000 + "'",
    ],
    ids=["strcat", "brackets", "minus", "operators", "doubling", "json", "rows", "long"],
)
def test_a_query_that_would_blow_up_is_refused_and_the_next_is_answered(translator, text) -> None:
    with pytest.raises(KustoError):
        translator.translate(Job(text, "Demo"), CATALOG, 3)
    assert translator.translate(Job("print 5", "Demo"), CATALOG, WAIT_S).sql


def test_the_process_ends_with_its_owner() -> None:
    owned = TranslatorProcess()
    owned.translate(Job("print 1", "Demo"), CATALOG, WAIT_S)
    pid = owned.pid
    owned.close()
    wait_until(lambda: _ended(pid), WAIT_S, "the end of the translator", poll_s=0.01)
    with pytest.raises(KustoError, match="stopping"):
        owned.translate(Job("print 2", "Demo"), CATALOG, WAIT_S)


def _processor_time(pid: int) -> int:
    """Ticks (hundredths of a second) that the process has used."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def _ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
