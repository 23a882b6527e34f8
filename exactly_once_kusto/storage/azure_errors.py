"""The one map from the storage SDK's errors to ours: what can pass by itself, and what can't.

Source: Azure Storage, Common REST API error codes; Blob service error codes.
"""

from __future__ import annotations

from typing import NoReturn

from azure.core.exceptions import AzureError, ClientAuthenticationError

from exactly_once_kusto.errors import StagingError, StorageUnavailableError

TAKEN = ("BlobAlreadyExists", "ConditionNotMet")
"""The answers to `If-None-Match: *` where the name is taken.

Not the SDK's ResourceExistsError, which a container that is being deleted is too.
"""

AWAY = (408, 429, 500, 502, 503, 504)
PASSING_CODES = ("ContainerBeingDeleted", "AccountBeingCreated", "ServerBusy")
BLOCKS_GONE = "InvalidBlockList"


def code_of(error: AzureError) -> str:
    """Return the service's own word for what is wrong; '' where there is none."""
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))


def is_taken(error: AzureError) -> bool:
    """Whether this is the answer to `If-None-Match: *` where there is a blob already."""
    return code_of(error) in TAKEN


def is_without_blocks(error: AzureError) -> bool:
    """Whether a block list names blocks that the service does not have (any more)."""
    return code_of(error) == BLOCKS_GONE


def refuse(verb: str, address: str, error: AzureError) -> NoReturn:
    """Raise an error of the SDK with what it was about and what to do; no secret is in it.

    Where signing is the matter the SDK's own error is left out, not only unsaid: the service's text
    repeats the signature that it has refused, and tracebacks go to logs.

    Raises:
        StagingError: it can't go until a person has changed something.
        StorageUnavailableError: any other; the same call may succeed later.
    """
    status, code = getattr(error, "status_code", None), code_of(error)
    answer = type(error).__name__ if status is None else f"HTTP {status} {code}".rstrip()
    said = f"can't {verb} {address}: {answer}"
    if isinstance(error, ClientAuthenticationError) or status in (401, 403):
        raise StagingError(
            f"{said}; the workers' key (AZURE_STORAGE_KEY) is not the account's, a firewall keeps "
            "them out, or their clock is wrong"
        ) from None
    if status is None:
        raise StorageUnavailableError(
            f"{said}, the storage does not answer; look whether the account can be reached from "
            "here"
        ) from error
    if code == "ContainerNotFound":
        raise StagingError(f"{said}; create the container, it is never made by the sink") from error
    if is_without_blocks(error):
        raise StorageUnavailableError(
            f"{said}; the service has forgotten blocks that were uploaded (it does after a week); "
            "start again from the last checkpoint"
        ) from error
    if status in AWAY or code in PASSING_CODES:
        raise StorageUnavailableError(f"{said}; the service is busy or has a fault") from error
    raise StagingError(f"{said}; check the address and the account's kind") from error
