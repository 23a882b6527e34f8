"""Every Flink type has a place in Kusto, or is refused by the column's name."""

from __future__ import annotations

import pytest

from exactly_once_kusto.errors import OptionError, TypeRefusedError
from exactly_once_kusto.kusto.columns import create_command, plan_columns
from exactly_once_kusto.protocol.ports import Column


@pytest.mark.parametrize(
    ("flink", "kusto"),
    [
        ("BOOLEAN", ("bool",)),
        ("TINYINT", ("int", "long")),
        ("SMALLINT", ("int", "long")),
        ("INT", ("int", "long")),
        ("INTEGER", ("int", "long")),
        ("BIGINT", ("long",)),
        ("FLOAT", ("real",)),
        ("DOUBLE", ("real",)),
        ("DECIMAL(34, 10)", ("decimal",)),
        ("DECIMAL(5,0)", ("decimal",)),
        ("CHAR(3)", ("string",)),
        ("VARCHAR(2147483647)", ("string",)),
        ("STRING", ("string",)),
        ("DATE", ("datetime",)),
        ("TIME(0)", ("string",)),
        ("TIMESTAMP(3)", ("datetime",)),
        ("TIMESTAMP(9) WITHOUT TIME ZONE", ("datetime",)),
        ("TIMESTAMP(3) WITH LOCAL TIME ZONE", ("datetime",)),
        ("TIMESTAMP_LTZ(6)", ("datetime",)),
        ("BINARY(3)", ("string",)),
        ("VARBINARY(2147483647)", ("string",)),
        ("BYTES", ("string",)),
        ("ARRAY<INT>", ("dynamic",)),
        ("MAP<STRING, ARRAY<INT NOT NULL>>", ("dynamic",)),
        ("ROW<`a` INT, `b c` TIMESTAMP(3) 'a comment, > and ''all'''>", ("dynamic",)),
    ],
)
def test_a_carried_type_goes_into(flink, kusto):
    assert plan_columns([Column("c", flink)], None)[0].goes_into == kusto


@pytest.mark.parametrize(
    "flink",
    [
        "MULTISET<INT>",
        "INTERVAL DAY(2) TO SECOND(6)",
        "TIMESTAMP(3) WITH TIME ZONE",
        "RAW('java.lang.Object', '...')",
        "DECIMAL(35, 0)",
        "VARIANT",
        "NULL",
        "DATE WITHOUT TIME ZONE",
    ],
)
def test_other_types_are_refused_by_the_column_s_name(flink):
    with pytest.raises(TypeRefusedError) as caught:
        plan_columns([Column("ok", "INT"), Column("bad", flink), Column("worse", "VARIANT")], None)
    assert f"'bad' {flink}" in str(caught.value)
    assert "'worse' VARIANT" in str(caught.value)
    assert "'ok'" not in str(caught.value)
    assert "CAST" in str(caught.value)


def test_a_wide_decimal_is_told_the_limit():
    with pytest.raises(TypeRefusedError, match=r"'d' DECIMAL\(38, 18\) \(a decimal .* 34 digits"):
        plan_columns([Column("d", "DECIMAL(38, 18)")], None)


def test_a_mapping_renames_and_the_rest_keep_their_names():
    columns = [Column("id", "BIGINT"), Column("amount", "DOUBLE")]
    assert [c.target for c in plan_columns(columns, {"amount": "Amount"})] == ["id", "Amount"]


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({"amuont": "x"}, "there is no column 'amuont' in the stream; it has id, amount"),
        ({"amount": "id"}, "two columns go into 'id'"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(mapping, says):
    with pytest.raises(OptionError, match=says):
        plan_columns([Column("id", "BIGINT"), Column("amount", "DOUBLE")], mapping)


def test_no_columns_are_refused():
    with pytest.raises(OptionError, match="no columns"):
        plan_columns([], None)


def test_the_command_that_makes_the_table():
    plan = plan_columns([Column("id", "BIGINT"), Column("my name", "STRING")], None)
    assert create_command("T", plan) == ".create table ['T'] (['id']:long, ['my name']:string)"
