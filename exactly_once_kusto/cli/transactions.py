"""Reads ledgers and prints their transactions. Reading only: it appends nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from exactly_once_kusto.cli.console import print_json
from exactly_once_kusto.protocol.entries import decode_entry
from exactly_once_kusto.protocol.ledger import Known, Ledger
from exactly_once_kusto.storage.address import open_store
from exactly_once_kusto.storage.log import Log


def read_ledger(staging: str, name: str) -> Ledger:
    """Return the folded ledger of one sink.

    Raises:
        DecodeError: an entry is damaged or of a newer version.
        StorageUnavailableError: the log can't be read.
    """
    ledger = Ledger()
    for number, data in Log(open_store(staging), name).read(0):
        ledger.apply(number, decode_entry(number, data))
    return ledger


def rows_of(staging: str, name: str | None) -> Iterator[dict[str, Any]]:
    """Yield one object per transaction, oldest first, sink by sink."""
    for sink in [name] if name is not None else _sinks(staging):
        for known in read_ledger(staging, sink).transactions.values():
            yield _row(sink, known)


def _sinks(staging: str) -> list[str]:
    """The sinks that have a ledger with a first entry."""
    first = f"/ledger/{1:020}.json"
    names = open_store(staging).list("")
    return sorted(name.removesuffix(first) for name in names if name.endswith(first))


def print_transactions(staging: str, name: str | None, as_json: bool) -> None:
    """Print the transactions: a JSON object a line, or a table."""
    count = 0
    for row in rows_of(staging, name):
        count += 1
        if as_json:
            print_json(row)
        else:
            checkpoints = row["checkpoints"]
            span = f"{checkpoints[0]}-{checkpoints[-1]}" if checkpoints[1:] else f"{checkpoints[0]}"
            print(
                f"{row['id']}  {row['state']:9}  checkpoints {span:>9}  {row['rows']:>10} rows  "
                f"{row['parts']:>4} parts  {row['attempts']} attempt(s)"
            )
    if not as_json:
        print(f"{count} transaction(s)")


def _row(sink: str, known: Known) -> dict[str, Any]:
    transaction = known.transaction
    return {
        "id": transaction.id,
        "name": sink,
        "table": _table(transaction.destination),
        "lineage": known.lineage,
        "checkpoints": sorted({piece.checkpoint for piece in transaction.slices}),
        "state": _state(known),
        "mode": known.mode,
        "rows": transaction.rows,
        "bytes": sum(part.length for part in transaction.parts),
        "parts": len(transaction.parts),
        "attempts": len(known.attempts),
        "intended_at": known.intended_at,
        "committed_at": None if known.committed is None else known.committed.time,
    }


def _table(destination: str) -> str:
    """The table that a Kusto destination names; other sinks' destinations as they are."""
    try:
        return str(json.loads(destination)["table"])
    except (ValueError, KeyError, TypeError):
        return destination


def _state(known: Known) -> str:
    if known.committed is not None:
        return "committed"
    return "running" if known.attempts[-1].operation is not None else "intent"
