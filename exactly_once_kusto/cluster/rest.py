"""A client of Flink's REST API: bounded requests, and answers as frozen values.

Paths and fields: Flink's documentation, 'Operations > REST API', version v1.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from exactly_once_kusto.cluster.errors import RestError, RestUnreachableError

REQUEST_TIMEOUT_S = 10.0
_ANSWER_BYTES_MAX = 64 * 1024 * 1024
# 'Service temporarily unavailable due to an ongoing leader election': the JobManager starts.
_NOT_YET = (503,)
# Proxies of the environment are for the world outside, not for 127.0.0.1.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class RestClient:
    """Asks the JobManager at `url`; no request takes longer than `timeout_s`."""

    def __init__(self, url: str, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401 - JSON
        """Returns the JSON that `GET path` answers.

        Raises:
            RestUnreachableError: There was no answer in time.
            RestError: The answer is an error.
        """
        question = f"?{urllib.parse.urlencode(query)}" if query else ""
        return self._ask("GET", path + question, None)

    def post(self, path: str, body: Mapping[str, object]) -> Any:  # noqa: ANN401 - JSON
        """Returns the JSON that `POST path` answers; raises as `get` does."""
        return self._ask("POST", path, body)

    def patch(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Returns the JSON that `PATCH path` answers; raises as `get` does."""
        return self._ask("PATCH", path, None)

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None) -> Any:  # noqa: ANN401
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        try:
            with _OPENER.open(request, timeout=self.timeout_s) as response:
                content = response.read(_ANSWER_BYTES_MAX)
        except urllib.error.HTTPError as error:
            with error:
                text = _error_text(error.read(_ANSWER_BYTES_MAX))
            message = f"{method} {path}: {error.code}: {text}"
            if error.code in _NOT_YET:
                raise RestUnreachableError(message) from None
            raise RestError(message, error.code) from None
        except (OSError, ValueError) as error:
            raise RestUnreachableError(f"{method} {self.url}{path}: {error}") from error
        return json.loads(content) if content else {}


def _error_text(content: bytes) -> str:
    text = content.decode("utf-8", "replace")
    try:
        errors = json.loads(text)["errors"]
    except (ValueError, KeyError, TypeError):
        return text.strip()
    return "\n".join(str(error).strip() for error in errors)
