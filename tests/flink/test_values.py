"""What the task makes of nested values and of those that Flink would round: without a cluster."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from exactly_once_kusto.flink.jar import jar_path

pytestmark = pytest.mark.flink
pytest.importorskip("pyflink")

TOLD = {
    "text": '["ä\\"\\\\\\n\\u0000😀",null,""]',
    # As it is: the sink refuses such a text by its column's name.
    "not utf-8": '["a\udcff"]',
    "keys": '{"ä\\"\\n":1}',
    "null key": "refused: column 'c': a MAP with a null key, which JSON does not have",
    "key not utf-8": "refused: column 'c': a MAP with the key 'a?', which is no UTF-8",
    "no entries": "{}",
    "integers": "[-9223372036854775808,9223372036854775807]",
    "doubles": "[-0.0,1.0E300,0.1,4.9E-324]",
    "infinity": "refused: column 'c': -Infinity inside it, which JSON does not have",
    "decimals": '["0.000000000000000001","-12345678901234567890.000000000000000000",null]',
    "bytes": '["AP8=",""]',
    "dates": '["0001-01-01","1970-01-01","9999-12-31"]',
    "year 0": "refused: column 'c': 0000-12-31 inside it, a time outside the years 1 to 9999",
    "times": '["00:00:00","23:59:59.999"]',
    "ticks": '["0001-01-01T00:00:00Z","9999-12-31T23:59:59.9999999Z"]',
    "nanoseconds": "refused: column 'c': 2024-01-02T03:04:05.123456789 inside it, with "
    "nanoseconds below 100, which would be cut in silence",
    "year 10000": "refused: column 'c': +10000-01-01 inside it, a time outside the years 1 to 9999",
    "rows": '{"a b":null,"r":{"x":null}}',
    "fits": "exact",
    "zero": "exact",
    "hundreds": "exact",
    "too wide": "refused: column 'c': 1E+4 does not fit DECIMAL(6, 2)",
    "too fine": "refused: column 'c': 0.001 would be rounded to 2 decimals",
    "in a list": "refused: column 'c': 1E+4 does not fit DECIMAL(6, 2)",
    "in a value": "refused: column 'c': 1E+4 does not fit DECIMAL(6, 2)",
    "in a key": "refused: column 'c': 1E+4 does not fit DECIMAL(6, 2)",
    "in a row": "refused: column 'c': 1E+4 does not fit DECIMAL(6, 2)",
    "in a named row": "refused: column 'c': 1E+4 does not fit DECIMAL(6, 2)",
    "whole": "exact",
    "cut": "refused: column 'c': 1969-12-31T23:59:59.999100 would be cut to a precision of 3",
    "cut sql": "refused: column 'c': 1969-12-31 23:59:59.999999 would be cut to a precision of 3",
    "cut instant": "refused: column 'c': 1969-12-31T23:59:59.999Z would be cut to a precision of 0",
    "cut milliseconds": "refused: column 'c': -1 would be cut to a precision of 0",
    "seconds": "exact",
    "cut time": "refused: column 'c': 01:02:03.000000100 would be cut to a precision of 3",
    "cut sql time": "refused: column 'c': ",
    "time": "exact",
    "huge": "refused: a row of about 67108",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, str]:
    """What ValuesCheck.java prints, by the names of its cases."""
    spec = find_spec("pyflink")
    assert spec
    assert spec.submodule_search_locations
    flink = Path(spec.submodule_search_locations[0]) / "lib"
    folder = str(tmp_path_factory.mktemp("classes"))
    path = os.pathsep.join([folder, str(jar_path()), f"{flink}/*"])
    source = str(Path(__file__).with_name("ValuesCheck.java"))
    subprocess.run(
        ["javac", "-encoding", "UTF-8", "-cp", path, "-d", folder, source], check=True, timeout=60
    )
    done = subprocess.run(
        ["java", "-Duser.timezone=UTC", "-cp", path, "exactlyonce.flink.ValuesCheck"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    lines = done.stdout.decode("utf-8", "surrogateescape").splitlines()
    return dict(line.split("\t", 1) for line in lines if "\t" in line)


def test_every_case_was_tried(made) -> None:
    assert list(made) == list(TOLD)


@pytest.mark.parametrize("case", TOLD)
def test_a_value_is_carried_exactly_or_refused(made, case) -> None:
    if TOLD[case].startswith("refused: "):
        assert made[case].startswith(TOLD[case])
    else:
        assert made[case] == TOLD[case]
