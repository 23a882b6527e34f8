"""A sink on the framework whose target is a directory: what is visible is what can be listed.

Options: `folder`; `trouble` makes a writer misbehave on its first batch (`raise`, `refuse`,
`exit`, `hang`, `print`) or the target unfit (`preflight`).
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from exactly_once_kusto.errors import OptionError, TargetError, TypeRefusedError, ValueRefusedError
from exactly_once_kusto.protocol.outcome import (
    Accepted,
    Access,
    Completed,
    Extent,
    OperationStatus,
    Sighting,
    Skipped,
    Submission,
    Transaction,
)
from exactly_once_kusto.protocol.ports import Column, Settings
from exactly_once_kusto.protocol.slices import Part
from exactly_once_kusto.storage.brake import StoredBrake
from exactly_once_kusto.storage.local_directory import LocalDirectory

FACTORY = f"{__name__}:from_options"


def from_options(options: Mapping[str, str]) -> DirectorySink:
    unknown = set(options) - {"name", "folder", "trouble"}
    if unknown:
        raise OptionError(f"unknown options: {', '.join(sorted(unknown))}")
    for key in ("name", "folder"):
        if not options.get(key):
            raise OptionError(f"option '{key}' is missing")
    return DirectorySink(options["name"], options["folder"], options.get("trouble", ""))


@dataclass(frozen=True)
class DirectorySink:
    name: str
    folder: str
    trouble: str = ""

    @property
    def settings(self) -> Settings:
        return Settings(settle_s=0.0, backoff_first_s=0.01, backoff_max_s=0.1)

    def to_options(self) -> dict[str, str]:
        return {"name": self.name, "folder": self.folder, "trouble": self.trouble}

    def check(self, columns: Sequence[Column]) -> None:
        for column in columns:
            if column.name == "refused":
                raise TypeRefusedError(f"column 'refused' {column.type} is not for this sink")

    def writer(self, columns: Sequence[Column], schema: pa.Schema) -> DirectoryWriter:
        return DirectoryWriter(self, schema)

    def ledger(self) -> DirectoryLedger:
        return DirectoryLedger(Path(self.folder) / self.name / "ledger")

    def brake(self) -> StoredBrake:
        return StoredBrake(LocalDirectory(Path(self.folder)), self.name)

    def target(self, columns: Sequence[Column]) -> DirectoryTarget:
        return DirectoryTarget(self)


class DirectoryWriter:
    def __init__(self, sink: DirectorySink, schema: pa.Schema) -> None:
        self._sink = sink
        self._schema = schema
        self._open: tuple[Path, pq.ParquetWriter] | None = None
        self._rows = 0
        self._raw_bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        if self._sink.trouble == "raise":
            raise ZeroDivisionError("division by the sink")
        if self._sink.trouble == "refuse":
            raise ValueRefusedError("column 'name': a string is too long")
        if self._sink.trouble == "exit":
            os._exit(9)
        if self._sink.trouble == "hang":
            threading.Event().wait()
        if self._sink.trouble == "print":
            print("printed by the sink")
            os.write(1, b"written by the sink to descriptor 1\n")
        if self._open is None:
            parts = Path(self._sink.folder) / self._sink.name / "parts"
            parts.mkdir(parents=True, exist_ok=True)
            path = parts / f"{uuid.uuid4().hex}.parquet"
            self._open = (path, pq.ParquetWriter(path, self._schema, compression="zstd"))
        self._open[1].write_batch(batch)
        self._rows += batch.num_rows
        self._raw_bytes += batch.nbytes

    def seal(self) -> Sequence[Part]:
        if self._open is None:
            return ()
        path, writer = self._open
        writer.close()
        part = Part(
            path.as_uri(), path.stat().st_size, path.stem, self._rows, self._raw_bytes, "visible"
        )
        self._open, self._rows, self._raw_bytes = None, 0, 0
        return (part,)

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open[0].unlink()


class DirectoryLedger:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        return self._folder.as_uri()

    def read(self, after: int) -> Sequence[tuple[int, bytes]]:
        paths = sorted(self._folder.glob("*.json"))
        return [(int(p.stem), p.read_bytes()) for p in paths if int(p.stem) > after]

    def append(self, number: int, data: bytes) -> bool:
        path = self._folder / f"{number:020}.json"
        draft = self._folder / f"{uuid.uuid4().hex}.tmp"
        draft.write_bytes(data)
        try:
            os.link(draft, path)
        except FileExistsError:
            return path.read_bytes() == data
        finally:
            draft.unlink()
        return True


class DirectoryTarget:
    def __init__(self, sink: DirectorySink) -> None:
        self._sink = sink
        self._visible = Path(sink.folder) / "visible"
        self._visible.mkdir(parents=True, exist_ok=True)

    def preflight(self) -> None:
        if self._sink.trouble == "preflight":
            raise TargetError(f"{self._visible} is not fit for the job")

    def mint(self, transaction: Transaction, attempt: int) -> Access:
        return Access("test")

    def submit(self, transaction: Transaction, attempt: int) -> Submission:
        draft = self._visible / f".{uuid.uuid4().hex}"
        draft.mkdir()
        for i, part in enumerate(transaction.parts):
            source = Path(part.address.removeprefix("file://"))
            (draft / f"{i}.parquet").write_bytes(source.read_bytes())
        operation = f"{transaction.id}-{attempt}"
        (draft / "operation").write_text(operation)
        try:
            draft.rename(self._home(transaction))  # fails where the tag is taken
        except OSError:
            for path in draft.iterdir():
                path.unlink()
            draft.rmdir()
        return Accepted(operation)

    def poll(self, transaction: Transaction, operation: str) -> OperationStatus:
        done = (self._home(transaction) / "operation").read_text() == operation
        return Completed() if done else Skipped()

    def look(
        self, transaction: Transaction, operations: Sequence[str], since: float, until: float
    ) -> Sighting:
        home = self._home(transaction)
        if not home.exists():
            return Sighting((), busy=False)
        rows = sum(pq.read_metadata(path).num_rows for path in home.glob("*.parquet"))
        return Sighting((Extent(home.name, rows, (transaction.id,)),), busy=False)

    def delete(self, parts: Sequence[Part]) -> None:
        for part in parts:
            Path(part.address.removeprefix("file://")).unlink(missing_ok=True)

    def _home(self, transaction: Transaction) -> Path:
        return self._visible / transaction.id.replace("/", "_")


def ledger(folder: Path) -> list[dict[str, Any]]:
    """The entries of the ledger, as they are written."""
    return [json.loads(path.read_bytes()) for path in sorted(folder.glob("t/ledger/*.json"))]


def visible(folder: Path) -> pa.Table:
    """All that was ever committed."""
    tables = [pq.read_table(path) for path in sorted(folder.glob("visible/[!.]*/*.parquet"))]
    return pa.concat_tables(tables) if tables else pa.table({})
