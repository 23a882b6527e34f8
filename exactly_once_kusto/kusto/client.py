"""One request to Kusto, one answer: explicit timeouts, no retry below, one map of errors.

`azure-kusto-data` 6.0 sends a request once: `requests` retries nothing by default, redirects are
off, and the client itself has no loop. That is made explicit here, because an attempt is one
request: a retry in secret could be a second ingest command.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import requests.adapters
import urllib3.exceptions
from azure.kusto.data import (
    ClientRequestProperties,
    KustoClient,
    KustoConnectionStringBuilder,
)
from azure.kusto.data.exceptions import (
    KustoClientError,
    KustoError,
    KustoNetworkError,
    KustoServiceError,
    KustoThrottlingError,
)
from urllib3.util.retry import Retry

from exactly_once_kusto.errors import TargetError, TargetUnavailableError
from exactly_once_kusto.kusto.outside import Row
from exactly_once_kusto.protocol.outcome import Lost, NotSent, Refused

CONNECT_TIMEOUT_S = 10.0
SERVER_TIMEOUT_S = 60.0
"""What Kusto may take for one command; an async ingestion is not a part of it."""
ANSWER_TIMEOUT_S = SERVER_TIMEOUT_S + 30.0
"""How long nothing may come from the cluster until an answer counts as lost."""
TEXT_LENGTH_MAX = 2000

LITERAL = re.compile(r"""\bh('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
TOKEN = re.compile(r"([a-z]+://[^\s'\"?;]*)[?;][^\s'\"]*")
NAMED = re.compile(r"(?i)\b(sig|accountkey|sharedaccesssignature)=[^&;\s'\"]+")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """An error that Kusto itself answered: the request was not carried out."""

    message: str
    permanent: bool


class Client:
    """Talks to one cluster without a token. Safe to use from several threads.

    A cluster that says nothing holds a call no longer than both timeouts together.
    """

    def __init__(
        self,
        cluster: str,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self.cluster = cluster
        self._client = KustoClient(KustoConnectionStringBuilder(cluster))
        for scheme in ("http://", "https://"):
            # The SDK has one timeout for both, and no way to ask that nothing be sent twice.
            adapter = _SendOnce(connect_timeout_s, answer_timeout_s)
            self._client._session.mount(scheme, adapter)

    def close(self) -> None:
        """Close the connections. Harmless twice."""
        self._client.close()

    def submit(self, database: str, command: str) -> list[Row] | NotSent | Refused | Lost:
        """Send a command that changes something, once. Raises nothing for its outcome."""
        try:
            return self._rows(database, command)
        except KustoClientError as error:
            # Raised where a token is acquired, before anything is sent.
            return NotSent(readable(error))
        except KustoNetworkError as error:
            text = f"{self.cluster}: {readable(_root(error))}"
            return NotSent(text) if never_connected(error) else Lost(text)
        except KustoError as error:
            answer = answered(error)
            if answer is None:
                return Lost(f"{self.cluster}: {readable(error)}")
            return Refused(answer.message, answer.permanent)

    def read(self, database: str, command: str) -> list[Row]:
        """Return the rows of a command that only reads.

        Raises:
            TargetError: Kusto refuses it for good; has Kusto's own text.
            TargetUnavailableError: no answer, or one that may be another later.
        """
        try:
            return self._rows(database, command)
        except KustoError as error:
            answer = answered(error)
            if answer is not None and answer.permanent:
                raise TargetError(
                    f"{self.cluster}, database '{database}', refuses '{_head(command)}': "
                    f"{answer.message}"
                ) from error
            cause = answer.message if answer is not None else readable(_root(error))
            raise TargetUnavailableError(
                f"{self.cluster} did not answer '{_head(command)}': {cause}"
            ) from error

    def _rows(self, database: str, command: str) -> list[Row]:
        properties = ClientRequestProperties()
        properties.set_option(
            ClientRequestProperties.request_timeout_option_name, timedelta(seconds=SERVER_TIMEOUT_S)
        )
        try:
            result = self._client.execute_mgmt(database, command, properties)
            return [row.to_dict() for row in result.primary_results[0]]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            # An answer, but not of the form that the SDK reads.
            raise KustoServiceError(f"an answer that can't be read ({error!r})") from error


class _SendOnce(requests.adapters.HTTPAdapter):
    """Sends a request once, and does not wait for a connection as long as for an answer."""

    def __init__(self, connect_timeout_s: float, answer_timeout_s: float) -> None:
        self._timeouts_s = (connect_timeout_s, answer_timeout_s)
        super().__init__(pool_maxsize=8, max_retries=Retry(0, read=False))

    def send(self, request: Any, **given: Any) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Send `request` with a timeout of its own for the connection."""
        given["timeout"] = self._timeouts_s
        return super().send(request, **given)


def never_connected(error: BaseException) -> bool:
    """Whether an exception proves that no connection was made, so that nothing was sent.

    Refused, unknown host, timeout of the connection, or a certificate that is not trusted.
    """
    return any(
        isinstance(
            cause,
            (
                urllib3.exceptions.NewConnectionError,
                urllib3.exceptions.ConnectTimeoutError,
                requests.exceptions.ConnectTimeout,
                ssl.SSLCertVerificationError,
            ),
        )
        for cause in _causes(error)
    )


def answered(error: KustoError) -> Answer | None:
    """Return what Kusto answered if that proves that the request was not started; else None.

    4xx with Kusto's error body (api/rest/response.md), 429, 401. A 5xx may come from a gateway
    in front of a command that runs.
    """
    if isinstance(error, KustoThrottlingError):
        return Answer("the cluster throttles (HTTP 429)", permanent=False)
    response = getattr(error, "http_response", None)
    status = getattr(response, "status_code", 0)
    if status == 401:
        return Answer(
            "the cluster asks for a token (HTTP 401); auth=none is for emulators only", True
        )
    body = _error_body(response)
    if not 400 <= status < 500 or body is None:
        return None
    code, text = body.get("code", ""), body.get("@message") or body.get("message") or ""
    # Not said: then it is tried again, with back-off.
    return Answer(redact(f"{code}: {text}"), body.get("@permanent") is True)


def redact(text: str) -> str:
    """Return a text without what may be a secret, and not endlessly long.

    Cut are the ends of addresses, what `h'...'` holds, and signatures and keys by their names.
    """
    clean = LITERAL.sub("h'***'", TOKEN.sub(r"\1?...", text))
    clean = NAMED.sub(r"\1=***", clean)
    return clean if len(clean) <= TEXT_LENGTH_MAX else f"{clean[:TEXT_LENGTH_MAX]}..."


def readable(error: BaseException) -> str:
    """Return an exception's type and text for a person."""
    return redact(f"{type(error).__name__}: {error}")


def _error_body(response: Any) -> dict[str, Any] | None:  # noqa: ANN401
    try:
        body = response.json()["error"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return body if isinstance(body, dict) and "@type" in body else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Return the exceptions that an exception was made of."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop()
        if not isinstance(cause, BaseException) or any(cause is other for other in seen):
            continue
        seen.append(cause)
        yield cause
        waiting += [cause.__cause__, getattr(cause, "reason", None), *cause.args]


def _root(error: BaseException) -> BaseException:
    return error.__cause__ if isinstance(error, KustoNetworkError) and error.__cause__ else error


def _head(command: str) -> str:
    """Return the words of a command that tell which one it is, and nothing of its literals."""
    words = re.split(r"[('|\[]", command, maxsplit=1)[0].split()
    return " ".join(words[:3])
