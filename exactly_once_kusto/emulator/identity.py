"""Kusto identity tokens: what a queued message shows to prove who put it into the queue.

Source: https://learn.microsoft.com/kusto/api/netfx/kusto-ingest-client-rest#obtain-a-kusto-identity-token
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path

from .errors import KustoError
from .principals import Principal

KEY_FILE = "identity.key"


class IdentityTokens:
    """Gives tokens out and knows its own again, also after a restart on the same data."""

    def __init__(self, directory: Path) -> None:
        self._key = _key(directory / KEY_FILE)

    def issue(self, principal: Principal | None) -> str:
        """The token of a principal (None: where no roles are checked)."""
        named = None if principal is None else [principal.fqn, *principal.cluster_roles]
        document = json.dumps(named)
        shown = base64.urlsafe_b64encode(document.encode()).decode()
        return f"{shown}.{self._sign(shown)}"

    def read(self, token: str) -> Principal | None:
        """Whom a token was given to. Raises KustoError for one that isn't this emulator's."""
        shown, _, signature = token.partition(".")
        given, own = (text.encode("utf-8", "replace") for text in (signature, self._sign(shown)))
        if not hmac.compare_digest(given, own):
            why = "is not one of this emulator's" if token else "is missing"
            raise KustoError(
                "BadRequest_InvalidKustoIdentityToken",
                f"Invalid Kusto identity token: 'authorizationContext' {why}; ask for one with "
                "'.get kusto identity token'",
            )
        named = json.loads(base64.urlsafe_b64decode(shown))
        return None if named is None else Principal(named[0], tuple(named[1:]))

    def _sign(self, shown: str) -> str:
        return hmac.new(self._key, shown.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _key(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        key = secrets.token_bytes(32)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as output:
            output.write(key)
        return key
