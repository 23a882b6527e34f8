"""Queued ingestion by REST: what a request means, and what its tracking tells.

Sources: https://learn.microsoft.com/kusto/management/data-ingestion/queued-ingest-use-http,
queued-ingest-status-http and queued-ingest-configuration-http.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from .errors import KustoError, bad_request
from .queue_commands import known
from .queue_messages import (
    CANCELED,
    FAILED,
    IN_PROGRESS,
    SKIPPED,
    SUCCEEDED,
    Blob,
    check_text,
    property_texts,
)
from .queue_store import Tracked
from .queued import QueuedIngestion
from .sources import SOURCE_BYTES_MAX
from .types import datetime_text

BLOBS_MAX = 20
URL_LENGTH_MAX = 8192
_STATES = (SUCCEEDED, FAILED, IN_PROGRESS, CANCELED)
_OF_THE_REQUEST = ("enabletracking", "skipbatching", "deleteafterdownload", "ignoresizelimit")


class RestIngestion:
    """Answers the three endpoints as JSON values; safe to call from several threads."""

    def __init__(self, queued: QueuedIngestion) -> None:
        self._queued = queued

    def configuration(self) -> dict[str, Any]:
        """Where to put blobs, with access, and the limits of a request."""
        paths = [{"path": address} for address in self._queued.reports.containers()]
        return {
            "containerSettings": {
                "containers": paths,
                "lakeFolders": [],
                "refreshInterval": "01:00:00",
                "preferredUploadMethod": "Storage",
            },
            "ingestionSettings": {
                "maxBlobsPerBatch": BLOBS_MAX,
                "maxDataSize": SOURCE_BYTES_MAX,
                "preferredIngestionMethod": "REST",
            },
        }

    def submit(self, database: str, table: str, body: bytes) -> dict[str, Any]:
        """Queues the blobs of a request: on disk when this returns. Raises KustoError."""
        document = _document(body)
        given = document.get("properties")
        if not isinstance(given, dict) or not given.get("format"):
            raise bad_request("'properties' must be an object with 'format'")
        low = {str(name).lower(): value for name, value in given.items()}
        operation = _operation_id() if low.get("enabletracking") is True else ""
        properties = {k: v for k, v in low.items() if k not in _OF_THE_REQUEST}
        texts = property_texts(properties)
        blobs = [
            _blob(each, database, table, texts, low, operation)
            for each in _blobs(document.get("blobs"))
        ]
        self._queued.accept(blobs, body.decode("utf-8", "replace"))
        return {"ingestionOperationId": operation}

    def status(self, database: str, table: str, operation: str, details: bool) -> dict[str, Any]:
        """How the blobs of a tracked request go. Raises KustoError (404) for an unknown one."""
        blobs = known(self._queued, operation)
        if any(b.database != database or b.table != table for b in blobs):
            raise bad_request(f"operation '{operation}' is of another table than '{table}'")
        shown: dict[str, Any] = {
            "startTime": datetime_text(min(b.arrived for b in blobs)),
            "lastUpdated": datetime_text(max(b.updated for b in blobs)),
            "status": {state: sum(_state(b) == state for b in blobs) for state in _STATES},
        }
        if details:
            shown["details"] = [_details(b) for b in blobs]
        return shown


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
        check_text(document)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the body is no JSON: {type(error).__name__}") from error
    if not isinstance(document, dict):
        raise bad_request("the body must be a JSON object with 'blobs' and 'properties'")
    return document


def _blobs(given: object) -> list[Mapping[str, Any]]:
    if not isinstance(given, list) or not given:
        raise bad_request("'blobs' must be a list of at least one blob")
    if len(given) > BLOBS_MAX:
        raise bad_request(f"{len(given)} blobs in one request; {BLOBS_MAX} are the most")
    for each in given:
        if not isinstance(each, dict) or not isinstance(each.get("url"), str) or not each["url"]:
            raise KustoError("BadRequest_EmptyBlobUri", "a blob needs 'url', a string")
        if len(each["url"]) > URL_LENGTH_MAX:
            raise KustoError("BadRequest_InvalidBlobUri", "the URL of a blob is too long")
    return given


def _blob(
    given: Mapping[str, Any],
    database: str,
    table: str,
    properties: Mapping[str, str],
    request: Mapping[str, Any],
    operation: str,
) -> Blob:
    size = given.get("rawSize")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        raise bad_request("'rawSize' must be a number of bytes")
    source = given.get("sourceId") or str(uuid.uuid4())
    try:
        uuid.UUID(str(source))
    except ValueError as error:
        raise bad_request(f"'sourceId' must be a guid, not '{str(source)[:40]}'") from error
    return Blob(
        id=str(source),
        url=given["url"],
        database=database,
        table=table,
        properties=properties,
        raw_size=size or None,
        alone=request.get("skipbatching") is True,
        retain=request.get("deleteafterdownload") is not True,
        operation=operation,
    )


def _operation_id() -> str:
    return f"00000001;00000001;{uuid.uuid4()}"


def _state(blob: Tracked) -> str:
    # There is no word for 'skipped' in this interface: the rows of that tag are in the table.
    return SUCCEEDED if blob.state == SKIPPED else blob.state


def _details(blob: Tracked) -> dict[str, Any]:
    shown = {
        "sourceId": blob.source,
        "url": blob.path,
        "status": _state(blob),
        "startTime": datetime_text(blob.arrived),
        "lastUpdated": datetime_text(blob.updated),
    }
    if blob.state == FAILED:
        shown |= {
            "errorCode": blob.code,
            "failureStatus": blob.failure,
            "details": blob.details,
        }
    return shown
