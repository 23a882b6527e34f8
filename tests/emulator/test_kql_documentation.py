"""The script that runs the documentation's examples: what it reads, and what it takes for right."""

from __future__ import annotations

import pytest

from tests.conformance.documentation import exceptions, main
from tests.conformance.documentation_cells import same_table, same_value
from tests.conformance.documentation_examples import examples

PAGE = """# some()

```kusto
StormEvents | count
```

**Output**

|Count|
|--|
|59066|

```kusto
datatable(a:long, b:string)
[1, "x|y"]
```

**Output**

| a | b |
|--:|---|
| 1 | x\\|y |
| ... | ... |

```kusto
print no_output = 1
```

## Next
"""


def test_examples_are_read_with_their_tables(tmp_path) -> None:
    page = tmp_path / "data-explorer" / "kusto" / "query" / "some.md"
    page.parent.mkdir(parents=True)
    page.write_text(PAGE)
    first, second = examples(tmp_path)
    assert not first.self_contained
    assert second.self_contained
    assert (second.header, second.rows, second.partial) == (("a", "b"), (("1", "x\\|y"),), True)
    assert second.key.startswith("query/some.md ")


@pytest.mark.parametrize(
    ("cell", "value", "kusto", "same"),
    [
        ("0.67", 0.6666666, "real", True),
        ("0.67", 0.69, "real", False),
        ("1,234", 1234, "long", True),
        ("", None, "long", True),
        ("0", None, "long", False),
        ("2024-01-01 10:00:00.0000000", "2024-01-01T10:00:00.0000000Z", "datetime", True),
        ("2024-01-01 10:00:01", "2024-01-01T10:00:00.0000000Z", "datetime", False),
        ("1.02:03:04", "1.02:03:04", "timespan", True),
        ("1:02:03", "02:02:03", "timespan", False),
        ('{"b": 2, "a": 1.0}', {"a": 1, "b": 2}, "dynamic", True),
        ('["x"]', ["y"], "dynamic", False),
        ("`x\\|y`", "x|y", "string", True),
        ("x", "X", "string", False),
        ("true", True, "bool", True),
        ("1", False, "bool", False),
    ],
)
def test_a_cell_is_a_value_or_it_is_not(cell, value, kusto, same) -> None:
    assert same_value(cell, value, kusto) is same


@pytest.mark.parametrize(
    ("columns", "rows", "partial", "ordered", "differs"),
    [
        ([("a", "long")], [[1], [2]], False, True, None),
        ([("a", "long")], [[2], [1]], False, False, None),
        ([("a", "long")], [[2], [1]], False, True, "row 0"),
        ([("a", "long")], [[1]], False, True, "1 rows instead of 2"),
        ([("a", "long")], [[3], [2], [1]], True, True, None),
        ([("b", "long")], [[1], [2]], False, True, "column 'b' instead of 'a'"),
        ([("a", "long"), ("b", "long")], [[1, 1]], False, True, "columns"),
    ],
)
def test_a_table_is_the_printed_one_or_it_is_not(columns, rows, partial, ordered, differs) -> None:
    found = same_table(("a",), (("1",), ("2",)), columns, rows, partial, ordered)
    assert found is None if differs is None else differs in found


def test_every_exception_has_its_reason() -> None:
    listed = exceptions()
    assert list(listed) == sorted(listed)
    assert all(key.count(" ") >= 1 and reason.endswith(".") for key, reason in listed.items())


def test_what_is_wrong_and_not_listed_fails_the_script(tmp_path, capsys) -> None:
    page = tmp_path / "data-explorer" / "kusto" / "query" / "some.md"
    page.parent.mkdir(parents=True)
    page.write_text("```kusto\nprint a=1\n```\n\n**Output**\n\n|a|\n|--|\n|2|\n")
    assert main([str(tmp_path)]) == 1
    assert "1 wrong (0 of them known, 1 not)" in capsys.readouterr().out
    page.write_text("```kusto\nprint a=2\n```\n\n**Output**\n\n|a|\n|--|\n|2|\n")
    assert main([str(tmp_path)]) == 0
    assert "1 right" in capsys.readouterr().out
