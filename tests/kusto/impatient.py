"""The sink with timeouts so short that a test can outlast all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exactly_once_kusto import KustoSink
from exactly_once_kusto.kusto.columns import plan_columns
from exactly_once_kusto.kusto.config import parse_options
from exactly_once_kusto.kusto.target import KustoTarget
from exactly_once_kusto.protocol.ports import Column

FACTORY = f"{__name__}:from_options"
ANSWER_TIMEOUT_S = 1.0
ACCESS_LIFETIME_S = 2.0
SETTLE_S = 0.5
OPTIONS = {"settle_s": SETTLE_S, "commit_wait_s": 0.1, "access_lifetime_s": 10.0}


class ImpatientSink(KustoSink):
    """As it is, but for what can't be an option."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "access_lifetime_s", ACCESS_LIFETIME_S)

    def target(self, columns: Sequence[Column]) -> KustoTarget:
        return KustoTarget(self, plan_columns(columns, self.mapping), ANSWER_TIMEOUT_S)


def from_options(options: Mapping[str, str]) -> ImpatientSink:
    return ImpatientSink(**parse_options(options))
