"""Access to one object for whoever is told: minted when it is needed, short-lived, never stored."""

from __future__ import annotations

from datetime import UTC, datetime

from exactly_once_kusto.storage.address import account_key, blobs, local_path


def expires(address: str) -> bool:
    """Whether access to an object of this kind of storage ends by itself."""
    return blobs(address) is not None


def readable(address: str, until: float) -> str:
    """Return what reads the object at `address` until then (seconds since the epoch): a secret.

    A directory's file is its path, which never expires. A blob's is its URL with a service SAS for
    this one blob that reads and nothing else (Azure Storage: Create a service SAS).

    Raises:
        OptionError: the environment has no key for the account.
    """
    found = blobs(address)
    if found is None:
        path = local_path(address)
        assert path is not None
        return path
    from azure.storage.blob import BlobSasPermissions, generate_blob_sas

    token = generate_blob_sas(
        account_name=found.account,
        container_name=found.container.rpartition("/")[2],
        blob_name=found.name,
        account_key=account_key(address),
        permission=BlobSasPermissions(read=True),
        expiry=datetime.fromtimestamp(until, UTC),
        protocol="https,http" if found.is_azurite else "https",
    )
    return f"{address}?{token}"
