"""Names of sinks, lineages, slices and transactions: minted once, never recomputed.

Rule: nothing here is derived from a checkpoint number alone. After a restore from an older
savepoint the same number means different rows, and a tag made from it would make Kusto skip
them in silence (docs/guarantee.md, I4). Numbers are for people, the random part is the truth.
"""

from __future__ import annotations

import re

from exactly_once_kusto.errors import OptionError

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
NONCE = re.compile(r"[0-9a-f]{32}")


def check_name(name: str) -> str:
    """Return `name` if it may name a sink: 1-63 of `a-z 0-9 -`, not beginning with `-`.

    Raises:
        OptionError: the name has another form.
    """
    if not NAME.fullmatch(name):
        raise OptionError(
            f"option 'name': {name!r} can't name a sink; use 1 to 63 characters of a-z, "
            "0-9 and '-', beginning with a letter or digit, for example 'payments'"
        )
    return name


def check_nonce(nonce: str) -> str:
    """Return `nonce` if it has 128 bits as 32 hex digits; anything else is a programming error."""
    if not NONCE.fullmatch(nonce):
        raise ValueError(f"a nonce has 32 hex digits, this one is {nonce!r}")
    return nonce


def slice_id(lineage: str, checkpoint: int, nonce: str, index: int) -> str:
    """Mint a slice's id. `nonce` is fresh for the snapshot; `index` tells its slices apart."""
    return f"{lineage[:8]}-{checkpoint}-{check_nonce(nonce)}-{index}"


def transaction_id(name: str, nonce: str) -> str:
    """Mint a transaction's id; it is also the value of its `ingest-by:` tag.

    Plain characters only (`a-z 0-9 -`), so that no tag, query or log has to escape it.
    """
    return f"{check_name(name)}-{check_nonce(nonce)}"
