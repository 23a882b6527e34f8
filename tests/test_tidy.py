"""House rules that a machine can see."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "exactly_once_kusto"
SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_no_file_is_too_long_to_read() -> None:
    long = {str(p): n for p in SOURCES if (n := p.read_text("utf-8").count("\n")) > 400}
    assert long == {}


def test_no_function_is_too_long_to_read() -> None:
    found = [
        f"{path}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _body(node) > 70
    ]
    assert found == []


def _body(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    start = first.end_lineno if documented else node.lineno
    assert node.end_lineno is not None
    assert start is not None
    return node.end_lineno - start


def test_no_module_is_named_after_nothing() -> None:
    banned = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
    assert [p for p in SOURCES if p.stem in banned] == []


def test_nothing_is_left_open_in_the_code() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")
    found = [f"{p}: {m}" for p in SOURCES for m in marks if m in p.read_text("utf-8")]
    assert found == []


def _loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(output.stdout.split())


def test_the_front_door_loads_nothing_of_the_sink() -> None:
    loaded = _loaded_after("import exactly_once_kusto")
    heavy = {"pyarrow", "azure.kusto.data", "pyflink", "duckdb"}
    assert not heavy & loaded
    assert not {m for m in loaded if m.startswith("exactly_once_kusto.")}


def test_the_emulator_loads_nothing_of_the_sink() -> None:
    loaded = _loaded_after("import exactly_once_kusto.emulator")
    ours = {m for m in loaded if m.startswith("exactly_once_kusto.")}
    assert {m for m in ours if not m.startswith("exactly_once_kusto.emulator")} == set()


def test_the_pytest_plugin_is_light() -> None:
    loaded = _loaded_after("import exactly_once_kusto.emulator.fixtures")
    assert not {"duckdb", "uvicorn", "starlette"} & loaded


def test_public_names_are_sorted_and_can_be_had() -> None:
    import exactly_once_kusto

    assert list(exactly_once_kusto.__all__) == sorted(exactly_once_kusto.__all__)
    for name in exactly_once_kusto.__all__:
        assert getattr(exactly_once_kusto, name) is not None
