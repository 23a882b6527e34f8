"""What the sink sends to Kusto, read and answered: its texts, and the answers' columns.

Stands where `kusto.client.Client` stands, behind the map from HTTP to outcomes. Only the texts of
`kusto.command` are understood; any other is a mistake of the sink or of this model.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from exactly_once_kusto.errors import TargetError, TargetUnavailableError
from exactly_once_kusto.kusto.outside import Row
from exactly_once_kusto.protocol.outcome import Lost, NotSent, Refused
from exactly_once_kusto.testing.simulated_kusto import Extent, Ingest, Service
from exactly_once_kusto.testing.world import Gate

LITERAL = r"'((?:[^'\\]|\\.)*)'"
SOURCE = re.compile("h" + LITERAL)
PROPERTY = re.compile(r"(\w+)=" + LITERAL)
GUIDS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
TIMES = re.compile(r"datetime\(([^)]*)\)")
TAGS = re.compile(r"tags has 'ingest-by:([^']*)'")

TAKEN, REQUEST_LOST, REPLY_LOST, LATE, THROTTLED, NOT_SENT = range(6)
"""What may become of a request that changes something; of others only whether they fail."""


class SimulatedRequests:
    """The `Requests` of one process to the simulated cluster."""

    __slots__ = ("_gate", "_schema", "_service")

    def __init__(self, service: Service, gate: Gate, schema: str) -> None:
        self._service = service
        self._gate = gate
        self._schema = schema

    def submit(self, database: str, command: str) -> list[Row] | NotSent | Refused | Lost:
        """Take an ingest command, or lose it on one of its ways."""
        service, fault = self._service, self._gate.enter("submit") % 6
        service.requests += 1
        if service.requests == service.habits.lost:
            fault = service.habits.loss
        if not service.reachable or fault == NOT_SENT:
            self._gate.leave("submit")
            return NotSent("the simulated cluster can't be reached")
        answer = self._take(_read_ingest(command), fault)
        self._gate.leave("submit")
        return answer

    def read(self, database: str, command: str) -> list[Row]:
        """Answer a command that only reads."""
        head, answer = self._answering(command)
        fault = self._gate.enter(head)
        if fault or not self._service.reachable:
            raise TargetUnavailableError("the simulated cluster did not answer")
        rows = answer(command)
        self._gate.leave(head)
        return rows

    def close(self) -> None:
        """Nothing is open."""

    def _take(self, asked: Ingest, fault: int) -> list[Row] | Refused | Lost:
        if fault == REQUEST_LOST:
            return Lost("the request was lost")
        if fault == LATE:
            self._service.late.append(replace(asked, sent=self._service.world.now))
            return Lost("no answer in time")
        if fault == THROTTLED:
            return Refused("the cluster throttles", permanent=False)
        operation = self._service.start(asked)
        if fault == REPLY_LOST:
            return Lost("the answer was lost")
        return [{"OperationId": operation.id}]

    def _answering(self, command: str) -> tuple[str, Callable[[str], list[Row]]]:
        for start, answer in (
            (".show operations |", self._running),
            (".show operations ", self._record),
            (".show operation ", self._details),
            (".show ingestion failures", self._failures),
            (".show table ", self._table),
            (".show database ", self._no_policy),
        ):
            if command.startswith(start):
                return start, answer
        raise ValueError(f"the simulated Kusto does not know {command!r}")

    def _running(self, command: str) -> list[Row]:
        times = [datetime.fromisoformat(text).timestamp() for text in TIMES.findall(command)]
        since, until = (*times, math.inf)[:2]
        return [{"Running": self._service.running_between(since, until)}]

    def _record(self, command: str) -> list[Row]:
        found = self._service.record(GUIDS.findall(command)[0])
        return [] if found is None else [{"State": found.state, "Status": found.status}]

    def _details(self, command: str) -> list[Row]:
        found = self._service.record(GUIDS.findall(command)[0])
        if found is None or found.state not in ("Completed", "PartiallySucceeded"):
            raise TargetError("there are no details of this operation")
        return [{"ExtentId": extent} for extent in found.extents]

    def _failures(self, command: str) -> list[Row]:
        found = self._service.record(GUIDS.findall(command)[0])
        if found is None or not found.code:
            return []
        kind = "Permanent" if found.permanent else "Transient"
        return [{"ErrorCode": found.code, "Details": found.status, "FailureKind": kind}]

    def _table(self, command: str) -> list[Row]:
        if " extents where " in command:
            tag = TAGS.findall(command)[0]
            return [_row(each) for each in self._service.tagged(tag)]
        if " extents (" in command:
            extents = self._service.extents
            return [_row(extents[g]) for g in GUIDS.findall(command) if g in extents]
        if " schema as json" in command:
            return [{"Schema": self._schema}]
        return self._policy(command)

    def _policy(self, command: str) -> list[Row]:
        habits = self._service.habits
        if "extent_tags_retention" in command and habits.tags_kept_s is not None:
            kept = {"TagPrefix": "ingest-by:", "RetentionPeriod": _period(habits.tags_kept_s)}
            return [{"Policy": json.dumps([kept])}]
        if "policy retention" in command and habits.rows_kept_s is not None:
            return [{"Policy": json.dumps({"SoftDeletePeriod": _period(habits.rows_kept_s)})}]
        return self._no_policy(command)

    def _no_policy(self, command: str) -> list[Row]:
        return [{"Policy": "null"}]


def _read_ingest(command: str) -> Ingest:
    located, _, given = command.partition(") with (")
    properties = {name: _plain(text) for name, text in PROPERTY.findall(given)}
    tags = json.loads(properties.get("tags", "[]"))
    refuses = json.loads(properties.get("ingestIfNotExists", "[]"))
    sources = []
    for text in SOURCE.findall(located):
        address, _, until = _plain(text).partition("?until=")
        sources.append((address, float(until) if until else math.inf))
    tag = tags[0].removeprefix("ingest-by:") if tags else ""
    return Ingest(tuple(sources), tag, refuses[0] if refuses else "")


def _period(kept_s: float) -> str:
    days, seconds = divmod(int(kept_s), 86_400)
    return f"{days}.{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _plain(literal: str) -> str:
    return re.sub(r"\\(.)", r"\1", literal) if "\\" in literal else literal


def _row(extent: Extent) -> Row:
    tags = "\n".join(f"ingest-by:{tag}" for tag in extent.tags)
    return {
        "ExtentId": extent.id,
        "RowCount": len(extent.rows),
        "Tags": tags,
        "MinCreatedOn": extent.created,
        "MaxCreatedOn": extent.newest,
    }
