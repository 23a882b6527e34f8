"""What stands in the queues of queued ingestion: a blob to ingest, and how its ingestion ended.

Sources: https://learn.microsoft.com/kusto/api/netfx/kusto-ingest-client-rest (the documents of
messages) and kusto-ingest-client-status (levels and ways of reporting, words of the status table).
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .errors import KustoError
from .types import datetime_text

FAILURES_ONLY, REPORT_NOTHING, FAILURES_AND_SUCCESSES = 0, 1, 2
TO_QUEUE, TO_TABLE, TO_QUEUE_AND_TABLE = 0, 1, 2

SUCCEEDED = "Succeeded"
SKIPPED = "Skipped"
FAILED = "Failed"
IN_PROGRESS = "InProgress"
CANCELED = "Canceled"

PERMANENT, EXHAUSTED = "Permanent", "Exhausted"
DETAILS_LENGTH_MAX = 4096
"""So much of its details a report tells: a message of a queue holds 48 KB."""

# Properties of the request rather than of the data; whatever else is said goes to the ingestion.
_OF_THE_REQUEST = frozenset({"authorizationcontext", "mappingreference"})


@dataclass(frozen=True)
class Blob:
    """A blob on its way into a table.

    ``properties`` are ingestion properties as text, their names in lower case; ``raw_size`` is
    in bytes before compression, None where nobody said; ``flush`` seals the batch that the blob
    is in, ``alone`` keeps it out of any; ``operation`` is set where a REST request tracks it;
    ``entity`` is the place (partition key, row key) of its row in the status table.
    """

    id: str
    url: str
    database: str
    table: str
    properties: Mapping[str, str] = field(default_factory=dict)
    raw_size: int | None = None
    flush: bool = False
    alone: bool = False
    retain: bool = True
    report_level: int = REPORT_NOTHING
    report_method: int = TO_QUEUE
    entity: tuple[str, str] | None = None
    operation: str = ""
    token: str | None = None

    def document(self) -> str:
        """This as JSON; ``restored`` reads it back. Holds the URL with whatever access is in it."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class End:
    """How the ingestion of a blob ended; ``failure`` is Permanent or Exhausted for a failed one."""

    status: str
    at: dt.datetime
    operation_id: uuid.UUID
    activity_id: str
    code: str = ""
    failure: str = ""
    details: str = ""


def restored(document: str) -> Blob:
    """The blob out of its ``document``."""
    read = json.loads(document)
    entity = read.pop("entity")
    return Blob(**read, entity=None if entity is None else (entity[0], entity[1]))


def parse(content: str) -> Blob:
    """The blob that a message of the queue announces: JSON, in base64 or plain.

    Raises KustoError (BadRequest_CorruptedMessage) for what is no such document. A message
    without a database, a table or a blob is one: its ingestion fails, which can be reported.
    """
    document = _document(content)
    given = document.get("AdditionalProperties") or {}
    status = document.get("IngestionStatusInTable") or document.get("ingestionStatusInTable") or {}
    if not isinstance(given, dict) or not isinstance(status, dict):
        raise corrupted("'AdditionalProperties' is no object")
    status = {str(k).lower(): v for k, v in status.items()}
    entity = None
    if status.get("partitionkey") and status.get("rowkey"):
        entity = (str(status["partitionkey"]), str(status["rowkey"]))
    low = {str(k).lower(): v for k, v in given.items()}
    properties = property_texts({k: v for k, v in low.items() if k not in _OF_THE_REQUEST})
    if low.get("mappingreference"):
        properties["ingestionmappingreference"] = str(low["mappingreference"])
    token = low.get("authorizationcontext")
    return Blob(
        id=str(document.get("Id") or uuid.uuid4()),
        url=str(document.get("BlobPath") or ""),
        database=str(document.get("DatabaseName") or ""),
        table=str(document.get("TableName") or ""),
        properties=properties,
        raw_size=_whole(document.get("RawDataSize")) or None,
        flush=_true(document.get("FlushImmediately")),
        retain=_true(document.get("RetainBlobOnSuccess")),
        report_level=_whole(document.get("ReportLevel")),
        report_method=_whole(document.get("ReportMethod")),
        entity=entity,
        token=str(token) if token else "",
    )


def property_texts(given: Mapping[str, Any]) -> dict[str, str]:
    """Ingestion properties as an ingest command writes them: text, lists as JSON; no nulls."""
    texts: dict[str, str] = {}
    for name, value in given.items():
        if isinstance(value, bool):
            texts[name.lower()] = str(value).lower()
        elif isinstance(value, str):
            texts[name.lower()] = value
        elif value is not None:
            texts[name.lower()] = json.dumps(value)
    return texts


def check_text(document: object) -> None:
    """Raises ValueError for JSON with half a surrogate pair, which nothing could store or send."""
    json.dumps(document, ensure_ascii=False).encode()


def unfit(blob: Blob) -> KustoError | None:
    """Why the blob can't be ingested, by what its message alone says; None where it may be."""
    if not blob.database:
        return KustoError("BadRequest_EmptyDatabaseName", "Database name is empty")
    if not blob.table:
        return KustoError("BadRequest_InvalidOrEmptyTableName", "Table name is empty")
    if not blob.url:
        return KustoError("BadRequest_EmptyBlobUri", "Blob Uri is empty")
    if {"ingestionmapping", "ingestionmappingreference"} <= blob.properties.keys():
        return KustoError(
            "BadRequest_DuplicateMapping",
            "Ingestion properties include both ingestionMapping and ingestionMappingReference",
        )
    return None


def told_again(blob: Blob) -> Blob:
    """The blob as a second delivery of its message brings it: nobody tracks that one."""
    return replace(blob, operation="")


def report(blob: Blob, end: End, path: str) -> dict[str, Any]:
    """The message for the queue of successes or failures; ``path`` is the URL without secrets."""
    common = {
        "OperationId": str(end.operation_id),
        "Database": blob.database,
        "Table": blob.table,
        "IngestionSourceId": blob.id,
        "IngestionSourcePath": path,
        "RootActivityId": end.activity_id,
    }
    moment = datetime_text(end.at)
    if end.status != FAILED:
        return {**common, "SucceededOn": moment}
    return {
        **common,
        "FailedOn": moment,
        "Details": end.details[:DETAILS_LENGTH_MAX],
        "ErrorCode": end.code,
        "FailureStatus": end.failure,
        "OriginatesFromUpdatePolicy": False,
        "ShouldRetry": end.failure != PERMANENT,
    }


def entity_of(blob: Blob, end: End, path: str) -> dict[str, Any]:
    """What the blob's row of the status table becomes."""
    shown: dict[str, Any] = {
        "Status": end.status,
        "IngestionSourceId": blob.id,
        "IngestionSourcePath": path,
        "Database": blob.database,
        "Table": blob.table,
        "UpdatedOn": end.at.replace(tzinfo=dt.UTC),
        "OperationId": str(end.operation_id),
        "ActivityId": end.activity_id,
    }
    if end.status == FAILED:
        shown |= {
            "ErrorCode": end.code,
            "FailureStatus": end.failure,
            "Details": end.details[:DETAILS_LENGTH_MAX],
            "OriginatesFromUpdatePolicy": False,
        }
    return shown


def corrupted(why: str) -> KustoError:
    """The message, or the body of a request, is not what it should be."""
    return KustoError("BadRequest_CorruptedMessage", f"Message is corrupted: {why}")


def _document(content: str) -> dict[str, Any]:
    try:
        text = base64.b64decode(content, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        text = content
    try:
        document = json.loads(text)
        check_text(document)
    except (ValueError, RecursionError) as error:
        raise corrupted(f"it is no JSON ({type(error).__name__})") from error
    if not isinstance(document, dict):
        raise corrupted("it is no JSON object")
    return document


def _true(value: object) -> bool:
    return str(value).lower() == "true"


def _whole(value: object) -> int:
    try:
        return int(str(value)) if value is not None else 0
    except ValueError as error:
        raise corrupted(f"'{str(value)[:40]}' is no number") from error
