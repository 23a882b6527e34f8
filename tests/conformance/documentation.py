"""Runs the examples of Kusto's documentation against the emulator, and says which are right.

``python -m tests.conformance.documentation CHECKOUT`` takes a checkout of
https://github.com/MicrosoftDocs/dataexplorer-docs, runs every example that brings its own rows
through Microsoft's SDK, and compares with what the page prints. An example is *right*, *refused*
(an error of the service's shape) or *wrong*. What is wrong must be in
``documentation_exceptions.json`` with the reason; else the exit code is 1. It is 1 too where an
exception isn't wrong any more.
"""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import json
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.kusto.data import ClientRequestProperties, KustoClient, KustoConnectionStringBuilder
from azure.kusto.data.exceptions import KustoApiError, KustoServiceError

from exactly_once_kusto.emulator import KustoEmulator

from .documentation_cells import same_table
from .documentation_examples import Example, examples

EXCEPTIONS = Path(__file__).with_name("documentation_exceptions.json")
TIMEOUT_S = 30
# Errors of a query that is wrong or not supported; anything else is the emulator's own failure.
_REFUSALS = ("General_BadRequest", "BadRequest_NotSupported")
_SORTED = re.compile(r"\b(sort|order|top)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Outcome:
    """What became of one example: right, refused, wrong or elsewhere, and why."""

    example: Example
    verdict: str
    reason: str = ""


def run(client: KustoClient, database: str, example: Example) -> Outcome:
    """Runs one example. Never raises for what the service answers."""
    properties = ClientRequestProperties()
    properties.set_option(
        ClientRequestProperties.request_timeout_option_name, dt.timedelta(seconds=TIMEOUT_S)
    )
    try:
        tables = client.execute(database, example.query, properties).primary_results
    except KustoApiError as error:
        found = error.get_api_error()
        if re.search(r"resolve table expression|resolve database", found.description):
            return Outcome(example, "elsewhere", found.description)
        refused = found.code in _REFUSALS and found.permanent
        return Outcome(example, "refused" if refused else "wrong", found.description)
    except KustoServiceError as error:
        return Outcome(example, "wrong", f"{type(error).__name__}: {error}")
    columns = [(column.column_name, column.column_type) for column in tables[0].columns]
    rows = tables[0].raw_rows
    ordered = bool(_SORTED.search(example.query))
    differs = same_table(example.header, example.rows, columns, rows, example.partial, ordered)
    return Outcome(example, "right" if differs is None else "wrong", differs or "")


def exceptions() -> dict[str, str]:
    """Examples that are known to differ, each with its reason."""
    loaded: dict[str, str] = json.loads(EXCEPTIONS.read_text("utf-8"))
    return loaded


def outcomes(checkout: Path) -> list[Outcome]:
    """All self-contained examples of a checkout, run on an emulator of their own."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        KustoEmulator(Path(scratch) / "kusto", databases=["Samples"]) as emulator,
        KustoClient(KustoConnectionStringBuilder(emulator.cluster)) as client,
    ):
        return [
            run(client, "Samples", example)
            for example in examples(checkout)
            if example.self_contained
        ]


def report(found: list[Outcome], known: dict[str, str], verbose: bool) -> int:
    """Prints the numbers and what is wrong; the process's exit code."""
    counts = collections.Counter(outcome.verdict for outcome in found)
    wrong = {outcome.example.key: outcome for outcome in found if outcome.verdict == "wrong"}
    mended = {o.example.key for o in found if o.verdict == "right"} & known.keys()
    print(
        f"{len(found) - counts['elsewhere']} self-contained examples: {counts['right']} right, "
        f"{counts['refused']} refused, {counts['wrong']} wrong "
        f"({len(wrong.keys() & known.keys())} of them known, {len(wrong.keys() - known.keys())} "
        "not)"
    )
    if verbose:
        refused: dict[str, list[str]] = collections.defaultdict(list)
        for outcome in found:
            if outcome.verdict == "refused":
                refused[outcome.reason].append(outcome.example.key)
        for reason, keys in sorted(refused.items(), key=lambda item: -len(item[1])):
            print(f"refused {len(keys)}: {reason}  [{keys[0]}]")
    for key in sorted(wrong.keys() - known.keys()):
        print(f"WRONG {key} (line {wrong[key].example.line}): {wrong[key].reason}")
    for key in sorted(mended):
        print(f"no longer wrong, take it out of {EXCEPTIONS.name}: {key}")
    return 1 if wrong.keys() - known.keys() or mended else 0


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="directory of MicrosoftDocs/dataexplorer-docs")
    parser.add_argument("--verbose", action="store_true", help="say what is refused, and why")
    parser.add_argument("--json", type=Path, help="write every outcome there")
    given: Any = parser.parse_args(arguments)
    found = outcomes(given.checkout)
    if given.json:
        listed = [{"key": o.example.key, "verdict": o.verdict, "why": o.reason} for o in found]
        given.json.write_text(json.dumps(listed, indent=1) + "\n", "utf-8")
    return report(found, exceptions(), given.verbose)


if __name__ == "__main__":
    sys.exit(main())
