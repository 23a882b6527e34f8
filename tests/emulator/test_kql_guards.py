"""Where duckdb-kql alone would answer wrongly without a word: right here, or refused by name."""

from __future__ import annotations

import pytest
from azure.kusto.data.exceptions import KustoApiError


@pytest.fixture(scope="module")
def kusto(module_kusto):
    module_kusto.rows(
        ".create table G (k:long, s:string, dur:timespan, d:decimal, t:datetime, dy:dynamic, "
        "r:real, b:bool, i:int)"
    )
    module_kusto.rows(
        ".ingest inline into table G <| 1,x,01:30:00,0.1,2024-01-01T10:11:12.3,"
        '"{""a"":1}",1.5,true,3\n'
        "2,,2.03:00:00,0.25,2024-01-02,,2.5,false,4"
    )
    return module_kusto


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        # bin of a timespan is a timespan, of a datetime exact (bin-function)
        ("G | where k == 1 | project bin(dur, 1h)", [["01:00:00"]]),
        ("G | where k == 2 | extend x = bin(dur, 1d) | project x", [["2.00:00:00"]]),
        ("G | summarize n = count() by bin(dur, 1d) | sort by dur asc", [
            ["00:00:00", 1], ["2.00:00:00", 1]]),
        ("print bin(datetime(2024-01-01 00:00:00.3), 100ms)", [["2024-01-01T00:00:00.3000000Z"]]),
        ("G | where k == 1 | project dur / 2, dur * 2, dur / 30m", [["00:45:00", "03:00:00", 3.0]]),
        # a string that is missing is an empty string (null-values)
        ("G | join kind=leftouter (datatable(k:long, z:string)[2, 'q']) on k"
         " | where z == '' | project k, z", [[1, ""]]),
        ("union G, (datatable(z:string)['q']) | where z == '' | count", [[2]]),
        ("G | where k > 9 | summarize m = max(s) | where m == '' | count", [[1]]),
        ("G | lookup (datatable(k:long, z:string)[2, 'q']) on k | where z == '' | count", [[1]]),
        # literals (scalar-data-types/string)
        ("print h'abc', H\"d\", h@'c:\\x'", [["abc", "d", "c:\\x"]]),
        ("print \"a\\u0041\\x42\\n\", '\\U0001F600', 'a' \"b\" @'c'", [
            ["aAB\n", "\U0001f600", "abc"]]),
        ("print ```two\nlines 'of' \"text\"```", [["two\nlines 'of' \"text\""]]),
        ("print a = 'x // no comment' // a 'comment", [["x // no comment"]]),
        ("print d = dynamic({\"a\": \"\\u0041\\/\"}) | project d.a", [["A/"]]),
        # named arguments (user-defined-functions)
        ("let f = (a:long, c:long) { a * 10 + c }; print f(c=7, a=12)", [[127]]),
        ("let f = (a:long, b:long = 5, c:long = 6) { a * 100 + b * 10 + c }; print f(1, c=2)",
         [[152]]),
        # decimals are exact (scalar-data-types/decimal)
        ("print decimal(0.1) + decimal(0.2), decimal(0.1) * 3, gettype(decimal(1))", [
            ["0.3", "0.3", "decimal"]]),
        ("G | summarize sum(d), max(d) | extend sum_d * 2", [["0.35", "0.25", "0.70"]]),
        ("datatable(x:decimal)[decimal(0.12345678901234567890), decimal(null)] | project x + x", [
            ["0.24691357802469135780"], [None]]),
        ("print todecimal('1.50'), todecimal(3), todecimal('x')", [["1.50", "3", None]]),
        # one name with two types is two columns (union-operator)
        ("union (datatable(x:long)[1]), (datatable(x:string)['a']) | sort by x_string asc", [
            [1, ""], [None, "a"]]),
        ("datatable(x:long, y:long)[1, 2] | union (datatable(x:real, y:long)[1.5, 3])"
         " | sort by y asc", [[1, 2, None], [None, 3, 1.5]]),
        # what is no JSON is a string (parse-json-function)
        ("print todynamic('x'), parse_json('{\"a\":1}').a", [["x", 1]]),
        # JSON in a list stays JSON, and times are written as Kusto writes them
        ("G | where k == 1 | summarize make_list(dy), make_list(t), make_set(dur)", [
            [[{"a": 1}], ["2024-01-01T10:11:12.3000000Z"], ["01:30:00"]]]),
        ("print tolong(9007199254740993)", [[9007199254740993]]),
        # a bin whose size is negative is null (bin-function)
        ("print bin(7, -2), bin(7.5, -2), bin(-7, 2)", [[None, None, -8]]),
        # two ints make a long (numerical-operators)
        ("datatable(x:int)[2147483647] | project y = x * x | extend gettype(y)", [
            [4611686014132420609, "long"]]),
        # numbers of unnamed columns don't depend on what was rewritten
        ("datatable(x:int)[21] | project x + x, -x, x * x | getschema | project ColumnName", [
            ["Column1"], ["Column2"], ["Column3"]]),
        # a comparison with what is no number is false (IEEE 754)
        ("print r = 0.0 / 0 | project r > 1.0, r >= 1.0, 1 <= r, r < 1.0, r + 1 > 1.0, not(r > 1)",
         [[False, False, False, False, False, True]]),
        # null is no value, in JSON neither (null-values)
        ("print d = dynamic({'n': null, 'a': 1}) | project isnull(d.n), coalesce(d.n, d.a)", [
            [True, 1]]),
        ("print isnull(parse_json('null'))", [[True]]),
        ("datatable(x:timespan)[1h, timespan(null)] | summarize make_list(x),"
         " make_list_with_nulls(x)", [[["01:00:00"], ["01:00:00", None]]]),
        # no such day is null (make-datetime-function); words are no times
        ("print make_datetime(2024, 2, 30), todatetime('infinity'), todatetime('epoch')", [
            [None, None, None]]),
        # arrays: numbers sort as numbers, nulls last (array-sort-asc-function)
        ("print array_sort_asc(dynamic([10, 9, null, 100])), array_sort_desc(dynamic(['a', 'b']))",
         [[[9, 10, 100, None], ["b", "a"]]]),
        ("print array_concat(dynamic([1, null]), dynamic(['x']), dynamic([2]))", [
            [[1, None, "x", 2]]]),
        # JSON on the wire has no NaN
        ("print pack_array(0.0 / 0, 1.0 / 0)", [[["NaN", "Infinity"]]]),
        ("range x from datetime(2024-01-01) to datetime(2024-01-02) step 12h | count", [[3]]),
    ],
)  # fmt: skip
def test_what_would_be_wrong_is_right(kusto, query: str, rows: list[list]) -> None:
    assert kusto.table(query).raw_rows == rows


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("datatable(a:long, b:string)[1,'x',1,'x',2,'y'] | distinct * | count", [[2]]),
        ("G | where extent_tags() !has 'no' | distinct * | count", [[2]]),
        ("G | summarize take_any(*) by k | where k == 1 | project s, b", [["x", True]]),
        ("G | summarize arg_max(k, *) | project k, s, r", [[2, "", 2.5]]),
        ("G | where isnotnull(extent_id()) | summarize arg_min(k, *) | project k, s", [[1, "x"]]),
        ("range x from 1 to 100 step 1 | summarize percentiles(x, 5, 50, 95)", [[5, 50, 95]]),
        ("datatable(p:dynamic)[dynamic({'a':1,'b':null}), dynamic({'c':[2]})]"
         " | summarize make_bag(p)", [[{"a": 1, "b": None, "c": [2]}]]),
        ("G | project-keep k, d* | project-reorder dy, d*, * | getschema | project ColumnName", [
            ["dy"], ["dur"], ["d"], ["k"]]),
        ("print b=1, a2=2, a1=3 | project-reorder a* desc", [[2, 3, 1]]),
        ("print ab=1, ['x b']=2, c=3 | project-away a*", [[2, 3]]),
        ("print ab=1, ['a b']=2 | project-keep ['a b']", [[2]]),
        ("G | where isnotnull(extent_id()) | project-reorder s | extend e = isnotnull(extent_id())"
         " | summarize countif(e)", [[2]]),
        ("G | sort by k asc | extend p = prev(s), n = next(k, 1, -1), c = row_cumsum(k),"
         " row = row_number() | project p, n, c, row", [["", 2, 1, 1], ["x", -1, 3, 2]]),
        ("G | as X | count", [[2]]),
        ("range x from 1 to 3 step 1 | sample 2 | count", [[2]]),
        ("G | summarize count_distinct(s), countif(k > 1), sumif(k, b), avgif(r, b)", [
            [2, 1, 1, 1.5]]),
        ("print pack_all() | project print_0", [[{}]]),
    ],
)  # fmt: skip
def test_what_was_missing_is_there(kusto, query: str, rows: list[list]) -> None:
    assert kusto.table(query).raw_rows == rows


@pytest.mark.parametrize(
    ("query", "code", "named"),
    [
        ("G | project K", "SEM0100", "'K'"),
        ("G | project rowid", "SEM0100", "'rowid'"),
        ("G | where k == '1'", "SEM0064", "long and string"),
        ("G | where t > '2024-01-01'", "SEM0064", "datetime and string"),
        ("G | where k in ('1', '2')", "SEM0064", "long and string"),
        ("G | where s", "SEM0100", "must be a bool"),
        ("G | summarize count() by dy.a", "SEM0100", "dynamic"),
        ("G | sort by dy", "SEM0100", "dynamic"),
        ("G | extend s + 1", "SEM0062", "string and long"),
        ("G | join kind=inner (datatable(s:string)['1']) on $left.k == $right.s", "SEM0024", "'k'"),
        ("G | project-away nosuch", "SEM0100", "'nosuch'"),
        ("NoSuch | count", "SEM0100", "'NoSuch'"),
        ("G | summarize hll(k)", "SEM0260", "'hll'"),
        ("print geo_distance_2points(1, 2, 3, 4)", "SEM0260", "geo_distance_2points"),
        ("G | evaluate bag_unpack(dy)", "SYN0002", "EvaluateOperator"),
        ("search 'x'", "SYN0002", "SearchOperator"),
        ("G | make-series count() on t step 1d", "SYN0002", "MakeSeriesOperator"),
        ("G | where k = 1", "SYN0002", "'k ='"),
        ("G | where strlen(text = s) > 0", "SEM0100", "strlen"),
        ("print replace('a', 'b', 'c')", "SEM0260", "replace_regex"),
        ("print 'a", "SYN0002", "unterminated"),
        ("print '\\q'", "SYN0002", "escape"),
        ("G | extend row_number()", "SEM0100", "serialized"),
        ("let f = (a:long) { a }; print f(b=1)", "SEM0100", "'b'"),
        ("print __ek_same(1)", "SEM0260", "__ek_same"),
        ("G | where __ek_stage('x')", "SEM0100", "__ek_stage"),
        ("G | summarize avg(d)", None, "avg() of a decimal"),
        ("G | project d / 2", None, "'/' of a decimal"),
        ("G | project d + r", None, "decimal and a real"),
        ("print bin(decimal(1.5), 1)", None, "bin() of a decimal"),
        ("print decimal(0.12345678901234567890123456789012345)", None, "34 digits"),
        ("print 1tick", "SYN0002", "timespan"),
        ("G | summarize (a, b) = arg_max(k, s)", "SYN0002", "several names"),
        ("G | extend a = 1, (b, c) = dynamic([1, 2])", "SYN0002", "several names"),
        ("G | join kind=inner G on dy", "SEM0024", "dynamic"),
        ("G | summarize max(dy)", None, "max() of a dynamic"),
        ("G | summarize make_list(d)", None, "make_list() of a decimal"),
        ("G | project pack_all()", None, "of a decimal"),
        ("print real(nan) == 1.0", None, "isnan()"),
        ("print r = 0.0 / 0 | summarize max(r)", None, "isnan()"),
        ("print r = 0.0 / 0, k = 1 | summarize arg_max(r, k)", None, "isnan()"),
        ("print array_sort_asc(dynamic([1, 'a']))", None, "several kinds"),
        ("datatable(x:long)[9223372036854775807, 1] | summarize sum(x)", None, "range"),
        (
            "datatable(x:long)[9223372036854775807, 1] | serialize | extend row_cumsum(x)",
            None,
            "range",
        ),
        ("print datetime(9999-12-31) + 1d", None, "years 1 to 9999"),
        ("range x from 1 to 2 step 0.5", None, "range over reals"),
        ("range x from 1 to 2 step 0", "SEM0100", "step"),
    ],
)
def test_a_refusal_names_what_it_refuses(kusto, query: str, code: str | None, named: str) -> None:
    with pytest.raises(KustoApiError) as caught:
        kusto.rows(query)
    error = caught.value.get_api_error()
    assert error.code == "General_BadRequest"
    assert error.permanent
    assert named in error.description
    if code is not None:
        assert code in str(caught.value.http_response.json()["error"]["innererror"])


def test_decimals_of_no_common_scale_are_compared_and_written_but_not_calculated_with(
    kusto,
) -> None:
    kusto.rows(".create table Wide (d:decimal)")
    wide = ["1234567890123456789012345678901234", "0.0000000000000000001", "5"]
    kusto.rows(".ingest inline into table Wide <| " + "\n".join(wide))
    assert sorted(r for (r,) in kusto.rows("Wide | project tostring(d)")) == sorted(wide)
    assert kusto.rows("Wide | summarize dcount(d), countif(isnull(d))") == [[3, 0]]
    for call in ("todouble(d)", "strcat(d, '')", "pack_array(d)"):
        with pytest.raises(KustoApiError, match=r"decimal"):
            kusto.rows(f"Wide | project {call}")


def test_a_wildcard_over_tables_that_disagree_on_a_type_is_refused(kusto) -> None:
    kusto.rows(".create table Mixed1 (x:long)")
    kusto.rows(".create table Mixed2 (x:string)")
    with pytest.raises(KustoApiError, match="several types"):
        kusto.rows("union Mixed*")
    assert kusto.rows("union Mixed1, Mixed2 | getschema | project ColumnName") == [
        ["x_long"], ["x_string"]]  # fmt: skip


def test_a_commands_result_is_piped_into_all_of_the_language(kusto) -> None:
    assert kusto.rows(
        ".show tables | where TableName == 'G' | project-keep Table* | distinct *"
    ) == [["G"]]
    assert kusto.rows(".show table G extents | summarize sum(RowCount), dcount(ExtentId)") == [
        [2, 1]]  # fmt: skip
    with pytest.raises(KustoApiError, match="'NoColumn'"):
        kusto.rows(".show tables | where NoColumn == 1")
