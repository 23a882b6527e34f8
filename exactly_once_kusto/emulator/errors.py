"""Kusto's errors: one class, and a constructor for each cause that the emulator knows.

Shape: https://learn.microsoft.com/kusto/api/rest/response-v2#http-response-body-on-request-failure
Codes: https://learn.microsoft.com/azure/data-explorer/error-codes
"""

from __future__ import annotations

import datetime as dt
import os
import threading
from typing import Any

BAD_REQUEST = "Kusto.Data.Exceptions.KustoBadRequestException"


class KustoError(Exception):
    """A failure as the service reports it: code, message, permanence and HTTP status."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 400,
        permanent: bool = True,
        type_name: str = BAD_REQUEST,
        title: str = "Request is invalid and cannot be executed.",
        inner: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.permanent = permanent
        self.type_name = type_name
        self.title = title
        self.inner = inner

    def body(
        self, client_request_id: str, activity_id: str, database: str | None
    ) -> dict[str, Any]:
        """The JSON body of the reply: OneApiErrors, with the cause within where one is known."""
        context = _context(client_request_id, activity_id)
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.title,
            "@type": self.type_name,
            "@message": self.message,
            "@context": context,
            "@permanent": self.permanent,
        }
        if database is not None:
            error["@database"] = database
        if self.inner is not None:
            error["innererror"] = {
                "code": self.inner,
                "message": self.message,
                "@type": self.type_name,
                "@message": self.message,
                "@context": context,
                "@permanent": self.permanent,
                "@errorCode": self.inner,
                "@errorMessage": self.message,
            }
            error["@type"] = BAD_REQUEST
        return {"error": error}


def _context(client_request_id: str, activity_id: str) -> dict[str, Any]:
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    return {
        "timestamp": f"{now.isoformat(timespec='microseconds')}0Z",
        "serviceAlias": "EMULATOR",
        "machineName": "emulator",
        "processName": "exactly-once-kusto",
        "processId": os.getpid(),
        "threadId": threading.get_native_id(),
        "clientRequestId": client_request_id,
        "activityId": activity_id,
        "subActivityId": activity_id,
        "activityType": "GW.Http.CallContext",
        "parentActivityId": activity_id,
        "activityStack": f"(Activity stack: CRID={client_request_id} ARID={activity_id})",
    }


def syntax_error(message: str) -> KustoError:
    """The text is no command or query."""
    return KustoError(
        "General_BadRequest",
        f"Syntax error: {message}",
        type_name="Kusto.Data.Exceptions.SyntaxException",
        inner="SYN0002",
    )


def semantic_error(message: str, code: str = "SEM0100") -> KustoError:
    """The query names what doesn't exist or mixes what doesn't fit."""
    return KustoError(
        "General_BadRequest",
        f"Request is invalid and cannot be processed: Semantic error: {code}: {message}",
        type_name="Kusto.Data.Exceptions.SemanticException",
        inner=code,
    )


def not_found(kind: str, name: str) -> KustoError:
    """An entity of a command doesn't exist.

    Status 400, although the documentation lists 404 for it: the SDK reads 404 as 'no such
    endpoint' and would hide the message.
    """
    return KustoError(
        "BadRequest_EntityNotFound",
        f"Entity ID '{name}' of kind '{kind}' was not found.",
        type_name="Kusto.Data.Exceptions.EntityNotFoundException",
    )


def not_supported(what: str) -> KustoError:
    """Something that the service has and the emulator hasn't."""
    return KustoError("BadRequest_NotSupported", f"{what} is not supported by this emulator")


def bad_request(message: str) -> KustoError:
    """A request that makes no sense, for a cause without a code of its own."""
    return KustoError("General_BadRequest", f"Bad request: {message}")


def throttled(
    reason: str = "the emulator was told to throttle", command_type: str | None = "DataIngestPull"
) -> KustoError:
    """HTTP 429, in the words of the capacity policy; of a query where there is no command type.

    Source: https://learn.microsoft.com/kusto/management/capacity-policy (message and exception).
    """
    what, exception = "management command", "ControlCommandThrottledException"
    origin = f" CommandType: '{command_type}', Capacity: 18, Origin: 'CapacityPolicy/Ingestion'."
    if command_type is None:
        what, exception, origin = "query", "QueryThrottledException", ""
    return KustoError(
        "Too many requests",
        f"The {what} was aborted due to throttling. Retrying after some backoff might succeed."
        f"{origin} ({reason})",
        status=429,
        permanent=False,
        type_name=f"Kusto.DataNode.Exceptions.{exception}",
        title="Request is denied due to throttling.",
    )


def too_large(why: str) -> KustoError:
    """HTTP 413; permanent, so that a managed streaming client tells it to its caller."""
    return KustoError(
        "Payload too large",
        f"Request payload is too large: {why}",
        status=413,
        type_name="Kusto.Data.Exceptions.KustoRequestPayloadTooLargeException",
        title="Request payload is too large.",
    )


def timed_out(seconds: float) -> KustoError:
    """A query ran into its deadline."""
    return KustoError(
        "Timeout",
        f"Query execution has exceeded the allowed limits: timeout of {seconds:g} seconds",
        status=504,
        permanent=False,
        type_name="Kusto.Data.Exceptions.KustoRequestTimeoutException",
        title="Request timed out.",
    )


def result_too_large(limit: str) -> KustoError:
    """A query's result is longer than the service hands out.

    Source: https://learn.microsoft.com/kusto/concepts/result-truncation (message) and
    https://learn.microsoft.com/kusto/api/netfx/kusto-data-client-errors (code, exception).
    """
    return KustoError(
        "LimitsExceeded",
        f"Query result set has exceeded the internal {limit} (E_QUERY_RESULT_SET_TOO_LARGE).",
        permanent=False,
        type_name=("Kusto.Data.Exceptions.KustoServicePartialQueryFailureLimitsExceededException"),
        title="Query execution has exceeded the allowed limits (80DA0003).",
    )


def internal_error(message: str) -> KustoError:
    """A failure of the emulator itself; transient, as the service's are."""
    return KustoError(
        "General_InternalServerError",
        message,
        status=520,
        permanent=False,
        type_name="Kusto.Data.Exceptions.KustoServiceException",
        title="An internal server error occurred.",
    )
