"""Kusto's errors: one class, and a constructor for each cause that the emulator knows.

Shape: https://learn.microsoft.com/kusto/api/rest/response-v2#http-response-body-on-request-failure
Codes: https://learn.microsoft.com/azure/data-explorer/error-codes
"""

from __future__ import annotations

import datetime as dt
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
        """The JSON body of the reply."""
        context = {
            "timestamp": dt.datetime.now(dt.UTC).isoformat(timespec="microseconds"),
            "serviceAlias": "EMULATOR",
            "clientRequestId": client_request_id,
            "activityId": activity_id,
            "subActivityId": activity_id,
            "parentActivityId": activity_id,
        }
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
                "@message": self.message,
                "@errorCode": self.inner,
                "@permanent": self.permanent,
            }
        return {"error": error}


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


def throttled(message: str = "the emulator was told to throttle") -> KustoError:
    """HTTP 429."""
    return KustoError(
        "TooManyRequests",
        f"Request is denied due to throttling: {message}",
        status=429,
        permanent=False,
        type_name="Kusto.Data.Exceptions.KustoRequestThrottledException",
        title="Request was throttled.",
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


def internal_error(message: str) -> KustoError:
    """A failure of the emulator itself; transient, as the service's are."""
    return KustoError(
        "General_InternalServerError",
        message,
        status=500,
        permanent=False,
        type_name="Kusto.Data.Exceptions.KustoServiceException",
        title="An internal server error occurred.",
    )
