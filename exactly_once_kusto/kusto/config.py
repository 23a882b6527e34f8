"""The sink's options, declared once: fields of `KustoSink`, keys in DDL, the shim's list, docs.

Standard library only: the wheel's build reads `OPTIONS` before anything is installed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from exactly_once_kusto.errors import OptionError
from exactly_once_kusto.kusto.units import (
    duration_text,
    parse_duration,
    parse_size,
    size_text,
)

Kind = Literal["text", "choice", "duration", "size", "count", "json"]
NAME_LENGTH_MAX = 1024  # query/schema-entities/entity-names.md
LATER = "is not in this version"


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its Python field, and what is told of it.

    `choices` are all values that the design knows; those that are not in `works` are refused by
    name.
    """

    field: str
    kind: Kind
    doc: str
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    works: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The key in DDL: `-` for `_`, and a duration's unit is in the value, not in the key."""
        field = self.field.removesuffix("_s") if self.kind == "duration" else self.field
        return field.replace("_", "-")


OPTIONS = (
    Option(
        "name",
        "text",
        "Under this name the ledger and the parts are kept; one running job a name. "
        "1 to 63 of `a-z 0-9 -`.",
        required=True,
    ),
    Option("cluster", "text", "The cluster's address, `https://...`.", required=True),
    Option("database", "text", "The target's database.", required=True),
    Option("table", "text", "The target table; it must exist.", required=True),
    Option(
        "staging",
        "text",
        "Where parts and ledger are kept: `https://ACCOUNT.blob.core.windows.net/CONTAINER`, or "
        "`file:///directory` that all workers and the target can read. No token in it.",
        required=True,
    ),
    Option(
        "commit",
        "choice",
        "How slices get into the table: `direct` is one `.ingest` command a transaction.",
        default="direct",
        choices=("direct", "queued", "move"),
        works=("direct",),
    ),
    Option(
        "auth",
        "choice",
        "Who the sink is to the target. `none` sends no token: for an emulator.",
        default="default",
        choices=(
            "none",
            "default",
            "managed-identity",
            "client-secret",
            "client-certificate",
            "workload-identity",
            "azure-cli",
        ),
        works=("none",),
    ),
    Option(
        "mapping",
        "json",
        "A JSON object from a column of the stream to the column of the table that it goes into; "
        "columns that are not in it go into the column of their own name.",
    ),
    Option(
        "format",
        "choice",
        "The format of the parts.",
        default="parquet",
        choices=("parquet", "csv", "json"),
        works=("parquet",),
    ),
    Option(
        "commit_wait_s",
        "duration",
        "How long a completed checkpoint waits for its rows to be in; less than the checkpoint "
        "timeout.",
        default=10.0,
    ),
    Option(
        "hold_size",
        "size",
        "Hold slices back until they have this many uncompressed bytes together, or are `hold-age` "
        "old; needs `hold-age`.",
        default=0,
    ),
    Option(
        "hold_age_s",
        "duration",
        "Hold slices back so long, or until they are `hold-size` large where that is set.",
        default=0.0,
    ),
    Option(
        "pending_slices_max",
        "count",
        "How many slices may wait in Flink's state; above that the writers are held back.",
        default=10_000,
    ),
    Option(
        "pending_bytes_max",
        "size",
        "How many uncompressed bytes may wait in staging; above that the writers are held back.",
        default=1 << 40,
    ),
    Option(
        "on_failure",
        "choice",
        "When the target refuses a transaction for good: `fail` stops the job, nothing is lost.",
        default="fail",
        choices=("fail", "quarantine"),
        works=("fail",),
    ),
    Option(
        "on_rewind",
        "choice",
        "When an older state is restored than what is committed: `refuse`, or `allow` (the rows "
        "since then will be there twice).",
        default="refuse",
        choices=("refuse", "allow", "roll-back"),
        works=("refuse", "allow"),
    ),
    Option(
        "settle_s",
        "duration",
        "How late records of operations may appear in the target. After a command whose answer "
        "was lost, so long is waited before another is sent.",
        default=60.0,
    ),
    Option(
        "part_size",
        "size",
        "Uncompressed bytes after which a writer begins another part.",
        default=1 << 30,
    ),
    Option(
        "group_size",
        "size",
        "Uncompressed bytes that one command takes at most; more of one checkpoint is cut.",
        default=1 << 30,
    ),
    Option("group_parts", "count", "Parts that one command takes at most.", default=500),
    Option(
        "access_lifetime_s",
        "duration",
        "How long the access lasts that the target gets to the blobs of one command. After a "
        "command whose answer was lost, nothing else is sent before it has expired.",
        default=900.0,
    ),
    Option(
        "staging_timeout_s",
        "duration",
        "How long a writer and the ledger try again while staging can't be reached, before the "
        "task fails; checkpoints wait meanwhile.",
        default=600.0,
    ),
    Option(
        "heartbeat_timeout_s",
        "duration",
        "After so long without a sign of life a worker is killed and its task fails: `1 s` at "
        "least.",
        default=30.0,
    ),
    Option("python", "text", "The workers' Python, where it is not `python.executable`."),
)

BY_FIELD = {option.field: option for option in OPTIONS}
BY_KEY = {option.key: option for option in OPTIONS}


def parse_options(options: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields that DDL options mean; nothing is filled in.

    Raises:
        OptionError: an option is unknown, missing or malformed.
    """
    unknown = sorted(set(options) - set(BY_KEY))
    if unknown:
        raise OptionError(f"option '{unknown[0]}' is unknown; the options are {', '.join(BY_KEY)}")
    missing = [o.key for o in OPTIONS if o.required and o.key not in options]
    if missing:
        raise OptionError(f"option '{missing[0]}' is missing; it is required")
    return {BY_KEY[key].field: _parse(BY_KEY[key], text) for key, text in options.items()}


def format_options(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return fields as DDL options: what is required, and what is not the default."""
    return {
        option.key: _format(option.kind, fields[option.field])
        for option in OPTIONS
        if option.required or fields[option.field] != option.default
    }


def check_field(option: Option, value: object) -> None:
    """Refuse a value that an option can't have, or not in this version.

    Raises:
        OptionError: names option, value and what works.
    """
    if option.required and not value:
        raise OptionError(f"option '{option.key}' is missing; it is required")
    if value is None and option.default is None:
        return
    if option.kind in ("text", "choice") and not isinstance(value, str):
        raise _wrong(option, value, "give a text")
    if option.kind == "choice":
        _check_choice(option, str(value))
    if option.kind in ("duration", "size", "count"):
        _check_number(option, value)


def check_hold(size: int, age_s: float) -> None:
    """Refuse to hold slices back for ever.

    Raises:
        OptionError: a size without an age.
    """
    if size and not age_s:
        raise OptionError(
            "option 'hold-size': without 'hold-age' the last slices of a quiet stream would be "
            "held back for ever; set 'hold-age' too, e.g. '1 min'"
        )


def check_cluster(cluster: str) -> None:
    """Refuse what is not the bare address of a cluster, without repeating what may be a token.

    Raises:
        OptionError: another form.
    """
    example = "give the address alone, for example 'https://name.region.kusto.windows.net'"
    try:
        parts = urlsplit(cluster)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise OptionError(f"option 'cluster' is no address; {example}") from error
    if "@" in cluster or ";" in cluster or "?" in cluster or "#" in cluster:
        raise OptionError(
            "option 'cluster' has '@', '?', ';' or '#' in it, beside which a secret may stand "
            f"(it is not shown); {example}"
        )
    plain = cluster.isprintable() and " " not in cluster
    if parts.scheme not in ("http", "https") or not host or not plain or parts.path.strip("/"):
        raise OptionError(f"option 'cluster': {cluster!r} is no cluster's address; {example}")


def check_entity(option: str, name: str) -> None:
    """Refuse what can't name a database or a table (query/schema-entities/entity-names.md).

    Raises:
        OptionError: empty, too long, or with control characters.
    """
    if not name.strip() or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        shown = name if len(name) <= 80 else f"{name[:80]}..."
        raise OptionError(
            f"option '{option}': {shown!r} can't name a {option}; use 1 to {NAME_LENGTH_MAX} "
            "printable characters"
        )


def check_mapping(mapping: object) -> dict[str, str]:
    """Return the mapping as a dict of its own.

    Raises:
        OptionError: not an object from text to text, or two columns go into one.
    """
    if not isinstance(mapping, Mapping) or not all(
        isinstance(text, str) and text for pair in mapping.items() for text in pair
    ):
        raise OptionError(
            f"option 'mapping': {mapping!r} is not an object from column names to column names; "
            'give JSON such as {"amount": "Amount"}'
        )
    targets = list(mapping.values())
    for target in targets:
        if targets.count(target) > 1:
            raise OptionError(f"option 'mapping': two columns go into '{target}'; keep one")
        if len(target) > NAME_LENGTH_MAX or not target.isprintable():
            raise OptionError(f"option 'mapping': {target[:80]!r} can't name a column")
    return dict(mapping)


def _check_choice(option: Option, value: str) -> None:
    if value in option.works:
        return
    works = " or ".join(repr(word) for word in option.works)
    if value not in option.choices:
        raise OptionError(f"option '{option.key}': {value!r} is unknown; use {works}")
    hint = ", against an emulator" if option.field == "auth" else ""
    raise OptionError(f"option '{option.key}': {value!r} {LATER}; use {works}{hint}")


def _check_number(option: Option, value: object) -> None:
    whole = option.kind in ("size", "count")
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise _wrong(option, value, "give a whole number" if whole else "give seconds, a number")
    if not 0 <= value < float("inf"):
        raise _wrong(option, value, "it can't be negative or endless")
    if option.field == "part_size" and not 1 << 20 <= value <= 4 << 30:
        # Kusto takes 6 GB a blob at most (includes/cross-repo/ingestion-size-limit.md).
        raise _wrong(option, size_text(int(value)), "use '1 mb' to '4 gb'")
    if option.field == "heartbeat_timeout_s" and value < 1:
        raise _wrong(option, duration_text(value), "use '1 s' or more")
    if option.field == "group_size" and not 1 << 20 <= value <= 1 << 40:
        raise _wrong(option, size_text(int(value)), "use '1 mb' to '1 tb'")
    if option.field == "group_parts" and not 1 <= value <= 5000:
        # Kusto advises to stay below 5,000 blobs a command (ingest-into-command.md).
        raise _wrong(option, value, "use 1 to 5000")
    if option.field == "access_lifetime_s" and not 10 <= value <= 86_400:
        raise _wrong(option, duration_text(value), "use '10 s' to '1 d'")
    if option.field.startswith("pending_") and value < 1:
        raise _wrong(option, value, "at least one slice has to wait for its commit")


def _wrong(option: Option, value: object, step: str) -> OptionError:
    return OptionError(f"option '{option.key}': {value!r} can't be used; {step}")


def _parse(option: Option, text: str) -> Any:  # noqa: ANN401 - one of the kinds
    try:
        match option.kind:
            case "duration":
                return parse_duration(text)
            case "size":
                return parse_size(text)
            case "count":
                return int(text)
            case "json":
                return json.loads(text)
            case _:
                return text
    except ValueError as error:
        step = "give JSON" if option.kind == "json" else "give it in another form"
        raise OptionError(f"option '{option.key}': {error}; {step}") from error


def _format(kind: Kind, value: Any) -> str:  # noqa: ANN401 - one of the kinds
    match kind:
        case "duration":
            return duration_text(value)
        case "size":
            return size_text(value)
        case "json":
            return json.dumps(value, sort_keys=True, ensure_ascii=False)
        case _:
            return str(value)
