"""Options: declared once, refused with option, value and next step, and never with a secret."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exactly_once_kusto import KustoSink
from exactly_once_kusto.errors import OptionError
from exactly_once_kusto.kusto.config import OPTIONS
from exactly_once_kusto.kusto.sink import from_options

GOOD = {
    "name": "payments",
    "cluster": "http://127.0.0.1:8080",
    "database": "Demo",
    "table": "Payments",
    "staging": "file:///data/staging",
    "auth": "none",
}


def test_fields_and_options_are_the_same_in_the_same_order_with_the_same_defaults():
    fields = dataclasses.fields(KustoSink)
    assert [field.name for field in fields] == [option.field for option in OPTIONS]
    for field, option in zip(fields, OPTIONS, strict=True):
        assert (field.default is dataclasses.MISSING) == option.required, field.name
        if not option.required:
            assert field.default == option.default, field.name
            assert type(field.default) is type(option.default), field.name


def test_keys_in_ddl():
    assert [option.key for option in OPTIONS] == [
        *("name", "cluster", "database", "table", "staging", "commit", "auth", "mapping", "format"),
        *("commit-wait", "hold-size", "hold-age", "pending-slices-max", "pending-bytes-max"),
        *("on-failure", "on-rewind", "settle", "part-size", "group-size", "group-parts"),
        *("access-lifetime",),
        *("staging-timeout", "heartbeat-timeout", "python"),
    ]


def test_neither_the_options_nor_the_sink_import_pyarrow_or_azure():
    code = (
        "import sys\n"
        "from exactly_once_kusto.kusto.sink import from_options\n"
        "from exactly_once_kusto.protocol.ports import Column\n"
        f"from_options({GOOD!r}).check([Column('id', 'BIGINT')])\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('pyarrow', 'azure', 'requests')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


def test_the_options_need_only_the_standard_library():
    code = (
        "import sys\n"
        "from exactly_once_kusto.kusto import config\n"
        "ours = [m for m in sys.modules if m.startswith('exactly_once_kusto')]\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] not in sys.stdlib_module_names"
        " and m not in ours and not m.startswith('_') and m != 'site'))"
    )
    # -S: no site-packages at all, as in an isolated build.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


def test_a_sink_is_json_and_comes_back_from_its_options():
    sink = KustoSink(
        **GOOD,
        mapping={"amount": "Amount"},
        commit_wait_s=2.5,
        settle_s=0.25,
        on_rewind="allow",
        part_size=64 << 20,
        python="/opt/python",
    )
    assert json.loads(json.dumps(dataclasses.asdict(sink)))["mapping"] == {"amount": "Amount"}
    options = sink.to_options()
    assert options == {
        **GOOD,
        "mapping": '{"amount": "Amount"}',
        "commit-wait": "2500 ms",
        "settle": "250 ms",
        "on-rewind": "allow",
        "part-size": "64 mb",
        "python": "/opt/python",
    }
    assert from_options(options) == sink


def test_defaults_are_left_out_and_addresses_get_one_form():
    sink = KustoSink(
        **{**GOOD, "cluster": "http://127.0.0.1:8080/", "staging": "file:///data//staging/"}
    )
    assert sink.to_options() == GOOD


def test_settings_come_from_the_options():
    settings = from_options({**GOOD, "settle": "5 s", "commit-wait": "1 min"}).settings
    assert (settings.settle_s, settings.commit_wait_s, settings.mode) == (5.0, 60.0, "direct")


REFUSED = [
    ({"table": ""}, "option 'table' is missing"),
    ({"tabel": "x"}, "option 'tabel' is unknown; the options are name, cluster,"),
    ({"name": "Pay Ments"}, "option 'name': 'Pay Ments' can't name a sink; use 1 to 63"),
    ({"cluster": "kusto"}, "option 'cluster': 'kusto' is no cluster's address; give the address"),
    ({"cluster": "ftp://kusto"}, "is no cluster's address"),
    ({"cluster": "https://kusto/db"}, "is no cluster's address"),
    ({"cluster": "http://[::1"}, "option 'cluster' is no address"),
    ({"database": " "}, "option 'database': ' ' can't name a database; use 1 to 1024"),
    ({"table": "a\nb"}, "can't name a table"),
    ({"table": "x" * 1025}, "can't name a table"),
    ({"staging": "https://a.blob.core.windows.net/c"}, "is no such address; use file:///"),
    ({"group-size": "1 kb"}, "option 'group-size': '1 kb' can't be used; use '1 mb' to '1 tb'"),
    ({"group-parts": "0"}, "option 'group-parts': 0 can't be used; use 1 to 5000"),
    ({"access-lifetime": "9 s"}, "option 'access-lifetime': '9 s' can't be used; use '10 s' to"),
    ({"commit": "queued"}, "option 'commit': 'queued' is not in this version; use 'direct'"),
    ({"commit": "move"}, "option 'commit': 'move' is not in this version; use 'direct'"),
    ({"commit": "dierct"}, "option 'commit': 'dierct' is unknown; use 'direct'"),
    ({"auth": "default"}, "'default' is not in this version; use 'none', against an emulator"),
    ({"auth": "azure-cli"}, "'azure-cli' is not in this version; use 'none'"),
    ({"format": "csv"}, "option 'format': 'csv' is not in this version; use 'parquet'"),
    ({"on-failure": "quarantine"}, "'quarantine' is not in this version; use 'fail'"),
    ({"on-rewind": "roll-back"}, "is not in this version; use 'refuse' or 'allow'"),
    ({"hold-size": "1 mb"}, "option 'hold-size': without 'hold-age' the last slices of a quiet"),
    ({"pending-slices-max": "0"}, "option 'pending-slices-max': 0 can't be used; at least one"),
    ({"pending-bytes-max": "0 b"}, "option 'pending-bytes-max': 0 can't be used; at least one"),
    ({"heartbeat-timeout": "999 ms"}, "option 'heartbeat-timeout': '999 ms' can't be used; use"),
    ({"pending-slices-max": "five"}, "option 'pending-slices-max': invalid literal"),
    ({"settle": "soon"}, "option 'settle': 'soon' is not a duration such as '10 s'"),
    ({"part-size": "1 kb"}, "option 'part-size': '1 kb' can't be used; use '1 mb' to '4 gb'"),
    ({"part-size": "8 gb"}, "use '1 mb' to '4 gb'"),
    ({"mapping": "{"}, "option 'mapping': Expecting property name"),
    ({"mapping": "[1]"}, "option 'mapping': [1] is not an object from column names"),
    ({"mapping": '{"a": 1}'}, "is not an object from column names"),
    ({"mapping": '{"a": "x", "b": "x"}'}, "option 'mapping': two columns go into 'x'"),
]


@pytest.mark.parametrize(("given", "says"), REFUSED, ids=[str(given) for given, _ in REFUSED])
def test_refused_options_say_which_value_and_what_to_do(given, says):
    with pytest.raises(OptionError) as caught:
        from_options({**GOOD, **given})
    assert says in str(caught.value)


@pytest.mark.parametrize("missing", ["name", "cluster", "database", "table", "staging"])
def test_a_missing_option_is_named(missing):
    with pytest.raises(OptionError, match=f"option '{missing}' is missing"):
        from_options({key: text for key, text in GOOD.items() if key != missing})


def test_without_auth_the_error_says_what_works():
    with pytest.raises(OptionError, match="'default' is not in this version; use 'none'"):
        from_options({key: text for key, text in GOOD.items() if key != "auth"})


@pytest.mark.parametrize(
    ("field", "value"),
    [("settle_s", "1 s"), ("settle_s", -1.0), ("settle_s", float("nan")), ("commit", 3)],
)
def test_values_of_another_kind_are_refused_in_python_too(field, value):
    with pytest.raises(OptionError, match=f"option '{field.removesuffix('_s')}'"):
        KustoSink(**{**GOOD, field: value})


SECRETS = [
    {"cluster": "https://user:SECRET@kusto"},
    {"cluster": "https://kusto?token=SECRET"},
    {"cluster": "Data Source=https://kusto;AppKey=SECRET"},
    {"cluster": "https://kusto#SECRET"},
    {"staging": "https://a.blob.core.windows.net/c?sig=SECRET"},
    {"staging": "https://a.blob.core.windows.net/c;SECRET"},
    {"staging": "https://u:SECRET@a.blob.core.windows.net/c"},
    {"staging": "file:///data?SECRET", "table": ""},
]


@pytest.mark.parametrize("given", SECRETS, ids=str)
def test_what_may_be_a_secret_is_refused_and_not_repeated(given):
    with pytest.raises(OptionError) as caught:
        from_options({**GOOD, **given})
    assert "SECRET" not in str(caught.value)
    assert "option" in str(caught.value)


@given(st.dictionaries(st.sampled_from([o.key for o in OPTIONS]), st.text(max_size=20)))
def test_any_text_is_a_sink_or_an_error_of_an_option(given):
    try:
        sink = from_options({**GOOD, **given})
    except OptionError:
        return
    assert from_options(sink.to_options()) == sink
