"""Nonsense of every kind: an answer in Kusto's words, no crash, no hang, and the process stays up.

How long each test goes on is EOK_FUZZ_S (seconds); EOK_SEED repeats a run whose seed was printed.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.kusto.data.exceptions import KustoApiError, OneApiError
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from exactly_once_kusto.emulator.errors import KustoError
from exactly_once_kusto.emulator.parser import is_command, parse
from exactly_once_kusto.emulator.process import EmulatorProcess

from .conftest import Kusto

SECONDS = float(os.environ.get("EOK_FUZZ_S", "0"))
SHORT_S, LONG_S = SECONDS or 2.0, SECONDS or 30.0
EXAMPLE_S = 20.0
EXAMPLES = 100
LOGGED: dict[int, int] = {}
"""How much of a process's log was looked at."""

WORDS = [
    *(".create", ".create-merge", ".create-or-alter", ".drop", ".clear", ".ingest", ".append"),
    *(".set", ".set-or-append", ".show", ".alter", ".alter-merge", ".delete", ".move", ".replace"),
    *(".merge", ".cancel", ".add", ".get", ".execute", "table", "tables", "database", "databases"),
    *(
        "extents",
        "extent",
        "tags",
        "data",
        "inline",
        "async",
        "into",
        "from",
        "to",
        "with",
        "where",
    ),
    *("has", "contains", "policy", "retention", "merge", "ingestion", "csv", "json", "parquet"),
    *("mapping", "mappings", "operations", "operation", "details", "failures", "commands", "none"),
    *("cluster", "principals", "principal", "roles", "admins", "users", "ingestors", "viewers"),
    *(
        "ifexists",
        "cslschema",
        "schema",
        "as",
        "version",
        "softdelete",
        "hot",
        "all",
        "and",
        "limit",
    ),
    *("T", "U", "Demo", "n", "long", "string", "dynamic", "format", "creationTime"),
]
PIECES = [
    *("(", ")", "[", "]", "{", "}", ",", ";", ":", "=", "==", "!=", "!", "|", "<|", "<", ">", "."),
    *("'", '"', "'x'", '"x"', "h'x'", "@'x'", "h@'x'", "```", "```x```", "~~~", "//", "\n", "\\"),
    *(
        "['a b']",
        "['",
        "'[\"x\"]'",
        "'[]'",
        "'{}'",
        "'\\u12'",
        "'\\ud83d'",
        "0",
        "1d",
        "7.00:00:00",
    ),
    *("guid(", "datetime(", "datetime(2020-01-01)", "00000000-0000-0000-0000-000000000000"),
    *(
        "print 1",
        "T",
        "T | count",
        "range n from 1 to 3 step 1",
        "let x = 1;",
        "datatable(n:long)[1]",
    ),
    *("\0", "\ufeff", "\u202e", "é", "😀", "٣", "\x85", "\x1f"),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    # A process of its own: a crash is an end of it, not of the tests.
    with EmulatorProcess(tmp_path_factory.mktemp("fuzz") / "kusto") as process:
        kusto = Kusto(process.cluster)
        kusto.rows(".create table T (n:long, s:string, d:dynamic)")
        kusto.rows(".create table U (n:long, s:string, d:dynamic)")
        kusto.client.close()
        yield process
        assert_alive(process)


def assert_alive(process: EmulatorProcess) -> None:
    kusto = Kusto(process.cluster)
    assert kusto.one("print 1") == 1
    kusto.client.close()
    log = (process.data / "emulator.log").read_text("utf-8", "replace")
    new, LOGGED[process.pid] = log[LOGGED.get(process.pid, 0) :], len(log)
    assert "Traceback" not in new, new[:4000]


def fuzz(check: Callable[..., None], strategy: SearchStrategy, seconds: float) -> None:
    """Runs the check on examples until the time is over, with seeds that are printed."""
    number = int(os.environ.get("EOK_SEED") or random.randrange(10**9))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        print(f"EOK_SEED={number}")
        bounded = settings(
            max_examples=EXAMPLES,
            deadline=EXAMPLE_S * 1000,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        seed(number)(bounded(given(strategy)(check)))()
        number += 1


def commands() -> SearchStrategy[str]:
    piece = st.one_of(st.sampled_from(WORDS), st.sampled_from(PIECES), st.text(max_size=4))
    space = st.sampled_from([" ", " ", " ", ""])
    joined = st.lists(st.tuples(piece, space), max_size=25).map(
        lambda parts: "".join(a + b for a, b in parts)
    )
    begun = st.tuples(st.sampled_from([w for w in WORDS if w[0] == "."]), joined)
    return st.one_of(begun.map(" ".join), joined, damaged())


def damaged() -> SearchStrategy[str]:
    """Good commands with a few characters cut out, doubled or replaced."""

    def damage(given: tuple[str, list[tuple[int, int, str]]]) -> str:
        text, changes = given
        for at, length, put in changes:
            at %= len(text) + 1
            text = text[:at] + put + text[at + length :]
        return text

    change = st.tuples(
        st.integers(0, 200), st.integers(0, 6), st.one_of(st.just(""), st.sampled_from(PIECES))
    )
    return st.tuples(st.sampled_from(GOOD), st.lists(change, min_size=1, max_size=4)).map(damage)


GOOD = [
    ".create table T (n:long, ['a b']:string) with (folder='x', docstring=\"y\")",
    ".ingest inline into table T with (tags='[\"ingest-by:x\"]', ingestIfNotExists='[\"x\"]') <| 1",
    '.ingest inline into table T [1,"x"] [2,y]',
    ".ingest async into table T (h'/nowhere', @'/else') with (format='parquet')",
    ".show table T extents (00000000-0000-0000-0000-000000000000) where tags has 'x' and tags "
    "!contains 'y'",
    ".alter-merge table T policy retention softdelete = 1d recoverability = disabled",
    ".alter table T policy merge '{\"AllowMerge\": false}'",
    '.create table T ingestion json mapping "M" \'[{"column":"n","path":"$.a[0]"}]\'',
    ".move async extents from table T to table U (00000000-0000-0000-0000-000000000000)",
    ".replace extents in table T <| {.show table U extents}, {.show table T extents}",
    ".drop extents <| .show table T extents where tags has 'x'",
    ".drop table T extent tags ('x', 'y')",
    ".show operations | where State == 'Failed' | summarize count() by Operation",
    ".set-or-append async U with (tags='[\"a\"]') <| T | where n > 1 | extend s = strcat(s, 'x')",
    ".add table T ingestors ('aadapp=x;y') skip-results 'why'",
    "T | where n in (1, 2) and s has 'x' | summarize arg_max(n, *), dcount(s) by bin(n, 10)",
    "let f = (x:long) { x + 1 }; T | extend y = f(n) | join kind=leftouter (U | project n) on n",
    "T | mv-expand d to typeof(long) | parse s with 'a' x:long 'b' | top 3 by x desc nulls last",
    "print dynamic({\"a\": [1, 2]}).a[0], 1d + 2h, todatetime('2020'), strcat('\\u00e9', @'\\')",
]


def refusal(call: Callable[[], object]) -> KustoError | OneApiError | None:
    """The error that the call ends in, or None where it succeeds."""
    try:
        call()
    except KustoError as error:
        return error
    except KustoApiError as error:
        return error.get_api_error()
    return None


def parsed(text: str) -> None:
    error = refusal(lambda: parse(text)) if is_command(text) else None
    assert error is None or (error.message and error.permanent)


def test_the_parser_reads_or_refuses_whatever_it_is_given() -> None:
    fuzz(parsed, commands(), SHORT_S)


NESTED = ["guid(", "(", "[", "['", "{", "'a' ", "not(", "strcat(", "-"]


@pytest.mark.parametrize("piece", NESTED)
def test_deep_nesting_is_refused_and_not_followed(running: EmulatorProcess, piece: str) -> None:
    nested(running, piece, 1_000)


@pytest.mark.slow
@pytest.mark.parametrize("piece", NESTED)
def test_nesting_without_end_is_given_up_at_the_deadline(
    running: EmulatorProcess, piece: str
) -> None:
    nested(running, piece, 20_000)


def nested(process: EmulatorProcess, piece: str, depth: int) -> None:
    kusto = Kusto(process.cluster)
    for text in (f".show operations {piece * depth}", f"print {piece * depth}1"):
        with pytest.raises(KustoApiError) as caught:
            kusto.rows(text)
        # 504: it was given up at its deadline.
        assert caught.value.http_response.status_code in (400, 504)
    kusto.client.close()
    assert_alive(process)


def answered(process: EmulatorProcess, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of one request on a connection of its own."""
    connection = http.client.HTTPConnection(
        process.cluster.removeprefix("http://"), timeout=EXAMPLE_S
    )
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def sends(process: EmulatorProcess) -> Callable[[str], None]:
    def send(text: str) -> None:
        body = json.dumps({"db": "Demo", "csl": text}).encode()
        for path in ("/v1/rest/mgmt", "/v2/rest/query"):
            status, answer = answered(process, "POST", path, body)
            assert status in (200, 400, 504), (text, status, answer[:1000])
            if status == 400:
                error = json.loads(answer)["error"]
                assert error["@permanent"] is True, (text, error)
                assert {"code", "message", "@type", "@message", "@context"} <= set(error)

    return send


def test_every_text_gets_a_result_or_an_error_in_kustos_shape(running: EmulatorProcess) -> None:
    fuzz(sends(running), commands(), SHORT_S)


def bodies() -> SearchStrategy[bytes]:
    leaf = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.floats())
    tree = st.recursive(
        leaf, lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner))
    )
    request = st.fixed_dictionaries(
        {"csl": st.one_of(tree, st.just("print 1"))},
        optional={
            "db": st.one_of(tree, st.just("Demo")),
            "properties": st.one_of(
                tree,
                st.fixed_dictionaries(
                    {}, optional={"Options": tree, "Parameters": tree, "extra": tree}
                ),
                st.fixed_dictionaries({"Options": st.dictionaries(st.just("servertimeout"), tree)}),
            ),
        },
    )
    return st.one_of(st.binary(max_size=200), st.one_of(request, tree).map(_dumped))


def _dumped(document: object) -> bytes:
    return json.dumps(document).encode()


PATHS = [
    *("/v1/rest/mgmt", "/v2/rest/query", "/v1/rest/query", "/emulator/faults", "/", "/v9/x"),
    *("/v1/rest/ingest/Demo/T?streamFormat=csv", "/v1/rest/ingest/Demo/%00?x=%ff"),
    *("/v1/rest/ingestion/queued/Demo/T", "/v1/rest/ingestion/configuration"),
]


def requests() -> SearchStrategy[tuple[str, str, bytes]]:
    methods = st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "DELETE"])
    return st.tuples(methods, st.sampled_from(PATHS), bodies())


def sends_requests(process: EmulatorProcess) -> Callable[[tuple[str, str, bytes]], None]:
    def send(given: tuple[str, str, bytes]) -> None:
        method, path, body = given
        if path == "/emulator/faults" and method in ("PUT", "POST"):
            method = "DELETE"  # a fault would do what it says
        status, answer = answered(process, method, path, body)
        assert status < 500, (given, status, answer[:1000])

    return send


def test_every_request_body_is_answered(running: EmulatorProcess) -> None:
    fuzz(sends_requests(running), requests(), SHORT_S)


@pytest.mark.parametrize(
    "command",
    [
        ".alter table T policy retention '{}'",
        ".alter table T policy merge '{}'",
        ".alter table T policy extent_tags_retention '{}'",
        ".alter table T policy update '{}'",
        ".create table T ingestion csv mapping 'M' '{}'",
        ".ingest inline into table T with (tags='{}') <| 1,2,3",
        ".ingest inline into table T with (format='json') <| {}",
        "print todynamic('{}')",
        "print dynamic({})",
    ],
)
def test_json_that_is_nested_too_deeply_does_no_harm(
    running: EmulatorProcess, command: str
) -> None:
    text = command.replace("{}", "[" * 50_000)
    body = json.dumps({"db": "Demo", "csl": text}).encode()
    path = "/v2/rest/query" if text.startswith("print") else "/v1/rest/mgmt"
    status, answer = answered(running, "POST", path, body)
    assert status in (200, 400, 504), answer[:1000]
    assert_alive(running)


@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_is_nested_too_deeply_is_refused(running: EmulatorProcess, path: str) -> None:
    for body in (b"[" * 100_000, b'{"db":"Demo","csl":' + b'{"a":' * 100_000):
        status, _ = answered(running, "POST", path, body)
        assert 400 <= status < 500 or path.endswith("configuration")
    assert_alive(running)


def parquet() -> bytes:
    buffer = io.BytesIO()
    table = pa.table({"n": [1, 2, 3], "s": ["a", "b", None], "d": ["{}", "[1]", None]})
    pq.write_table(table, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["parquet", "csv", "json", "multijson"])
def test_a_damaged_file_is_read_or_refused(
    running: EmulatorProcess, tmp_path: Path, form: str
) -> None:
    good = {
        "parquet": parquet(),
        "csv": b'1,"x",{}\n2,y,[1]\n',
        "json": b'{"n":1,"s":"x","d":{}}\n{"n":2}\n',
        "multijson": b'[{"n":1,"s":"x","d":{}},\n{"n":2}]\n',
    }[form]
    kusto = Kusto(running.cluster)
    path = tmp_path / "damaged"

    def ingest(changes: list[tuple[int, int, bytes]]) -> None:
        content = good
        for at, length, put in changes:
            at %= len(content) + 1
            content = content[:at] + put + content[at + length :]
        path.write_bytes(content)
        told = refusal(
            lambda: kusto.rows(f".ingest into table T ('{path}') with (format='{form}')")
        )
        assert told is None or told.permanent is True, content
        assert told is None or told.code.startswith(("BadRequest_", "Stream_")), (content, told)

    change = st.tuples(st.integers(0, 2000), st.integers(0, 8), st.binary(max_size=8))
    fuzz(ingest, st.lists(change, min_size=1, max_size=3), SHORT_S)
    kusto.client.close()
    assert_alive(running)


@pytest.mark.parametrize(
    "mapping",
    [
        *("", "x", "[", "{}", "[]", "[1]", "[null]", "null", '[{"Column":1}]', '[{"Column":"n"}]'),
        '[{"Column":"n","Properties":"x"}]',
        '[{"Column":"n","Properties":{"Path":"$["}}]',
        '[{"Column":"n","Properties":{"Path":5}}]',
        '[{"Column":"n","Properties":{"Path":"$..n"}}]',
        '[{"Column":"n","Properties":{"Path":"$[99999999999999999999]"}}]',
        '[{"Column":"n","Properties":{"Ordinal":[]}}]',
        '[{"Column":"n","Properties":{"Ordinal":"-1"}}]',
        '[{"Column":"n","Properties":{"Ordinal":1e30}}]',
        '[{"Column":"n","Properties":{"ConstValue":{"a":1}}}]',
        '[{"Column":"n","Properties":{"Path":"$.n","Transform":[]}}]',
        f"[{'[' * 5000}]",
    ],
)
@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_malformed_mapping_is_used_or_refused(
    running: EmulatorProcess, form: str, mapping: str
) -> None:
    kusto = Kusto(running.cluster)
    escaped = mapping.replace("'", "\\'")
    data = "1,2,3" if form == "csv" else '{"n":1}'
    told = refusal(
        lambda: kusto.rows(
            f".ingest inline into table T with (format='{form}', ingestionMapping='{escaped}') <| "
            f"{data}"
        )
    )
    assert told is None or (told.code.startswith("BadRequest_") and told.permanent), told
    kusto.client.close()
    assert_alive(running)


@pytest.mark.slow
@pytest.mark.timeout(0)  # as long as EOK_FUZZ_S says; every example has its own deadline
def test_much_of_everything(running: EmulatorProcess) -> None:
    fuzz(parsed, commands(), LONG_S)
    fuzz(sends(running), commands(), LONG_S)
    fuzz(sends_requests(running), requests(), LONG_S)
    assert_alive(running)
