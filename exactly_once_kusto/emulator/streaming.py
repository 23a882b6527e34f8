"""Streaming ingestion: the body of one request, in the table when it is answered.

Sources: https://learn.microsoft.com/kusto/api/rest/streaming-ingest (request, formats),
https://learn.microsoft.com/azure/data-explorer/ingest-data-streaming (limits) and
https://learn.microsoft.com/kusto/management/streaming-ingestion-policy.
"""

from __future__ import annotations

import gzip
import io
import json
import uuid
import zlib

from . import policies
from .catalog import Table
from .engine import Engine
from .errors import KustoError, bad_request, too_large
from .loading import Ingestion
from .operations import Request
from .queue_messages import check_text
from .queued import Ingest
from .types import Result, columns

BYTES_MAX = 4 * 1024 * 1024
RESULT_COLUMNS = columns(
    "ConsumedRecordsCount:long, UpdatePolicyStatus:string, UpdatePolicyFailureCode:string, "
    "UpdatePolicyFailureReason:string"
)
FORMATS = ("csv", "tsv", "scsv", "sohsv", "psv", "json", "multijson", "avro")
GZIP = b"\x1f\x8b"
MAPPED = ("json", "multijson", "avro")


class StreamingIngestion:
    """Takes the bodies of requests in; safe to call from several threads."""

    def __init__(self, engine: Engine, ingest: Ingest) -> None:
        self._engine = engine
        self._ingest = ingest

    def run(self, request: Request, table: str, parameters: dict[str, str], body: bytes) -> Result:
        """Ingests the body, decompressed already; one row with the number of records.

        Raises KustoError: no policy allows it, the format or its mapping is missing, the data is
        larger than 4 MB, or can't be read.
        """
        given = {name.lower(): value for name, value in parameters.items()}
        known = self._engine.catalog.table(request.database, table)
        self._allowed(known)
        properties = _properties(given)
        target = (known.database, known.name)
        if given.get("sourcekind", "").lower() == "uri":
            ingestion = Ingestion(*target, (_source(body),), properties)
        elif len(body) > BYTES_MAX:
            raise too_large(f"streaming takes {BYTES_MAX} bytes at most")
        else:
            text = body.decode("utf-8", "replace")
            ingestion = Ingestion(*target, (), properties, text)
        _, result = self._ingest(ingestion, request, uuid.uuid4())
        extents = [row[0] for row in result.rows]
        with self._engine.reader() as q:
            found = q.execute(
                'SELECT coalesce(sum(row_count), 0)::BIGINT FROM "$emulator".ext '
                "WHERE id IN (SELECT unnest(?::UUID[]))",
                [extents],
            ).fetchone()
        count = found[0] if found else 0
        return Result(RESULT_COLUMNS, [(count, "Inactive", "Unknown", "")])

    def _allowed(self, table: Table) -> None:
        with self._engine.reader() as q:
            policy = policies.effective(q, table, "streamingingestion")
        if not (isinstance(policy, dict) and policy.get("IsEnabled") is True):
            raise KustoError(
                "BadRequest_StreamingIngestionPolicyNotEnabled",
                f"Streaming ingestion policy is not enabled for table '{table.name}' of database "
                f"'{table.database}': '.alter table {table.name} policy streamingingestion "
                """'{"IsEnabled": true}'' enables it""",
            )


def inflated(body: bytes, encoding: str) -> bytes:
    """The body without its Content-Encoding; no more of it than shows that it is too large.

    Raises KustoError where it is not of that encoding.
    """
    if encoding.lower() in ("", "identity"):
        return body
    if encoding.lower() not in ("gzip", "deflate"):
        raise bad_request(f"Content-Encoding '{encoding[:40]}' isn't gzip")
    try:
        if body.startswith(GZIP):  # files of gzip may follow one another
            return gzip.GzipFile(fileobj=io.BytesIO(body)).read(BYTES_MAX + 1)
        inflater = zlib.decompressobj()
        whole = inflater.decompress(body, BYTES_MAX + 1)
        if len(whole) <= BYTES_MAX and not inflater.eof:
            raise zlib.error("incomplete stream")
    except (zlib.error, OSError, EOFError) as error:
        raise KustoError(
            "BadRequest_InvalidArchive", f"The body is no {encoding}: {error}"
        ) from error
    return whole


def _properties(given: dict[str, str]) -> dict[str, str]:
    form = given.get("streamformat", "").lower()
    if not form:
        raise bad_request("parameter 'streamFormat' is missing")
    if form not in FORMATS:
        raise KustoError(
            "BadRequest_FormatNotSupported", f"format '{form[:40]}' isn't supported for streaming"
        )
    properties = {"format": form}
    if given.get("mappingname"):
        properties["ingestionmappingreference"] = given["mappingname"]
    elif form in MAPPED:
        raise KustoError(
            "BadRequest_MissingMappingtFailure",
            f"format '{form}' must be streamed with parameter 'mappingName'",
        )
    return properties


def _source(body: bytes) -> str:
    try:
        uri = json.loads(body)["sourceUri"]
        check_text(uri)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise bad_request("with 'sourceKind=uri' the body must be JSON with 'sourceUri'") from error
    if not isinstance(uri, str):
        raise bad_request("'sourceUri' must be a string")
    return uri
