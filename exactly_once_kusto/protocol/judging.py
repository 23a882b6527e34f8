"""From extents to a verdict: are all rows of a transaction in the target? Pure.

Rule: a tag alone means 'attempted' (I1). Rows are counted. An extent that a merge has made out of
several transactions bears all their tags; then the sum over all of them is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from exactly_once_kusto.protocol.outcome import Extent


class Verdict(Enum):
    """What the extents say of the rows that were expected."""

    ALL = "all"
    NONE = "none"
    FEWER = "fewer"
    MORE = "more"
    UNCHECKABLE = "uncheckable"


def judge(
    transaction: str, rows: int, extents: Iterable[Extent], rows_by_tag: Mapping[str, int]
) -> Verdict:
    """Compare the rows of the extents found for `transaction` with the `rows` it staged.

    `rows_by_tag` is what the ledger knows of other transactions. With a tag among them that the
    ledger does not know the sum proves nothing: UNCHECKABLE. More rows in extents of which an
    operation named none are UNCHECKABLE too: a merge with untagged rows leaves just that.
    """
    seen = tuple(extents)
    found = sum(extent.rows for extent in seen)
    others = {tag for extent in seen for tag in extent.tags if tag != transaction}
    if not seen or (found == 0 and not others):
        return Verdict.NONE
    if not others:
        merged = found > rows and not any(extent.named for extent in seen)
        return Verdict.UNCHECKABLE if merged else _compare(found, rows)
    if any(tag not in rows_by_tag for tag in others):
        return Verdict.UNCHECKABLE
    expected = rows + sum(rows_by_tag[tag] for tag in others)
    # Fewer than the sum may be missing from another transaction's extents that were not merged in.
    return Verdict.ALL if found == expected else Verdict.UNCHECKABLE


def _compare(found: int, rows: int) -> Verdict:
    if found == rows:
        return Verdict.ALL
    return Verdict.FEWER if found < rows else Verdict.MORE
