"""`KustoSink`: what is asked for, and the stations put together. No logic of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from exactly_once_kusto.kusto import config
from exactly_once_kusto.kusto.columns import plan_columns
from exactly_once_kusto.kusto.outside import RealOutside
from exactly_once_kusto.protocol.identity import check_name
from exactly_once_kusto.protocol.ports import Column, Settings
from exactly_once_kusto.storage.address import check_address
from exactly_once_kusto.storage.brake import StoredBrake
from exactly_once_kusto.storage.log import Log

if TYPE_CHECKING:
    import pyarrow as pa

    from exactly_once_kusto.kusto.stage import Stage
    from exactly_once_kusto.kusto.target import KustoTarget


@dataclass(frozen=True, kw_only=True)
class KustoSink:
    """Writes every row of a stream into a Kusto table exactly once; a `protocol.ports.Sink`.

    The fields are the options (`config.OPTIONS` says what each means); in DDL they are written
    with `-` for `_`. Holds no credentials, and `asdict` of it is JSON.

    Raises:
        OptionError: an option is missing, malformed or not in this version.
    """

    name: str
    cluster: str
    database: str
    table: str
    staging: str
    commit: str = "direct"
    auth: str = "default"
    mapping: Mapping[str, str] | None = None
    format: str = "parquet"
    commit_wait_s: float = 10.0
    hold_size: int = 0
    hold_age_s: float = 0.0
    pending_slices_max: int = 10_000
    pending_bytes_max: int = 1 << 40
    on_failure: str = "fail"
    on_rewind: str = "refuse"
    settle_s: float = 60.0
    part_size: int = 1 << 30
    group_size: int = 1 << 30
    group_parts: int = 500
    access_lifetime_s: float = 900.0
    staging_timeout_s: float = 600.0
    heartbeat_timeout_s: float = 30.0
    python: str | None = None

    def __post_init__(self) -> None:
        for option in config.OPTIONS:
            # First of all, so that no other error shows an address with a token.
            if option.field == "staging" and isinstance(self.staging, str) and self.staging:
                object.__setattr__(self, "staging", check_address(self.staging))
            config.check_field(option, getattr(self, option.field))
        check_name(self.name)
        config.check_hold(self.hold_size, self.hold_age_s)
        config.check_cluster(self.cluster)
        object.__setattr__(self, "cluster", self.cluster.rstrip("/"))
        config.check_entity("database", self.database)
        config.check_entity("table", self.table)
        if self.mapping is not None:
            object.__setattr__(self, "mapping", config.check_mapping(self.mapping))

    @property
    def settings(self) -> Settings:
        """Return what the coordinator goes by."""
        return Settings(
            mode=self.commit,
            on_rewind=self.on_rewind,
            commit_wait_s=self.commit_wait_s,
            settle_s=self.settle_s,
            group_bytes_max=self.group_size,
            group_parts_max=self.group_parts,
            hold_bytes=self.hold_size,
            hold_age_s=self.hold_age_s,
            pending_slices_max=self.pending_slices_max,
            pending_bytes_max=self.pending_bytes_max,
            log_wait_s=self.staging_timeout_s,
        )

    def check(self, columns: Sequence[Column]) -> None:
        """Refuse columns that can't be carried or mapped, without any I/O.

        Raises:
            TypeRefusedError: columns of a type that Kusto has no place for.
            OptionError: the mapping does not fit the columns.
        """
        plan_columns(columns, self.mapping)

    def writer(self, columns: Sequence[Column], schema: pa.Schema) -> Stage:
        """Return a writer for batches of `schema`."""
        from exactly_once_kusto.kusto.destination import Destination
        from exactly_once_kusto.kusto.encode import Encoding
        from exactly_once_kusto.kusto.stage import Stage

        plan = plan_columns(columns, self.mapping)
        destination = Destination.of(self, plan)
        return Stage(
            RealOutside().store(self.staging, self.staging_timeout_s),
            self.name,
            Encoding(plan, schema),
            destination.text(),
            self.part_size,
            RealOutside().nonce,
        )

    def ledger(self) -> Log:
        """Return the log under this sink's name."""
        return Log(RealOutside().store(self.staging), self.name)

    def brake(self) -> StoredBrake:
        """Return the sign by which the coordinator holds the writers back."""
        return StoredBrake(RealOutside().store(self.staging), self.name)

    def target(self, columns: Sequence[Column]) -> KustoTarget:
        """Return the target, for the coordinator and for a writer's preflight."""
        from exactly_once_kusto.kusto.target import KustoTarget

        return KustoTarget(self, plan_columns(columns, self.mapping))

    def to_options(self) -> dict[str, str]:
        """Return the options as DDL has them: what is required, and what is not the default."""
        return config.format_options(asdict(self))


def from_options(options: Mapping[str, str]) -> KustoSink:
    """Return the sink that a table's options ask for; the factory that workers are told.

    Raises:
        OptionError: an option is unknown, missing, malformed or not in this version.
    """
    return KustoSink(**config.parse_options(options))
