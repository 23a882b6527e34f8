"""The coordinator's driver in the worker: frames in, events; actions out, port calls and frames.

One thread owns the state machine and takes events from one queue, so that it is never entered
twice. Port calls run in three lanes of one thread each (log, target, tidying), so that a slow
ingest holds up neither a checkpoint nor the ledger. It decides nothing: that is `protocol`.
"""

from __future__ import annotations

import heapq
import logging
import queue
import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from exactly_once_kusto.errors import WorkerError
from exactly_once_kusto.flink.backlog_report import BacklogReport
from exactly_once_kusto.flink.frames import (
    Channel,
    Hello,
    Kind,
    pack_json,
    pack_number,
    parse_number,
    parse_restore,
)
from exactly_once_kusto.flink.heartbeat import Pulse
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.coordinator import Coordinator
from exactly_once_kusto.protocol.ports import Brake, LedgerStore, Sink, Target
from exactly_once_kusto.protocol.steps import LogAction, PortAction, TargetAction, perform

LOG = logging.getLogger("exactly_once_kusto.coordinator")
EVENTS_MAX = 10_000
"""Events that may wait for the machine; a full queue stops the reading of frames."""
TICK_S = 1.0

Inbox = queue.Queue[ev.Event | BaseException]


@dataclass(slots=True)
class Lane:
    """Performs actions one after the other in a thread of its own."""

    name: str
    inbox: Inbox
    log: LedgerStore
    target: Target
    brake: Brake
    pulse: Pulse
    todo: queue.Queue[PortAction] = field(default_factory=queue.Queue)

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        threading.Thread(target=self._work, name=self.name, daemon=True).start()

    def _work(self) -> None:
        while True:
            action = self.todo.get()
            try:
                with self.pulse.call(f"{type(action).__name__} in the lane {self.name!r}"):
                    outcome = perform(action, self.log, self.target, self.brake)
                self.inbox.put(outcome)
            except BaseException as error:
                self.inbox.put(error)


def run_coordinator(channel: Channel, hello: Hello, sink: Sink, pulse: Pulse) -> None:
    """Serve one coordinator operator until the channel ends; the process ends with it.

    Raises:
        ExactlyOnceError: the machine stopped; the caller sends it to Flink.
    """
    inbox: Inbox = queue.Queue(EVENTS_MAX)
    log, target, brake = sink.ledger(), sink.target(hello.columns), sink.brake()
    kinds = ("log", "target", "tidy")
    lanes = {kind: Lane(kind, inbox, log, target, brake, pulse) for kind in kinds}
    for lane in lanes.values():
        lane.start()
    threading.Thread(target=_read, args=(channel, hello, inbox), name="frames", daemon=True).start()
    machine = Coordinator(sink.name, log.address, sink.settings)
    _turn(machine, inbox, lanes, channel, pulse)


def _turn(
    machine: Coordinator, inbox: Inbox, lanes: dict[str, Lane], channel: Channel, pulse: Pulse
) -> None:
    wakes: list[tuple[float, int, str]] = []
    report = BacklogReport()
    count = 0
    while True:
        gauges = report.look(machine, time.time(), time.monotonic())
        if gauges is not None:
            channel.send(Kind.METRICS, pack_json(gauges))
        event = _next_event(inbox, wakes)
        if event is None:
            continue
        if isinstance(event, BaseException):
            raise event
        with pulse.call(f"the machine, given {type(event).__name__},"):
            for action in machine.handle(event, _moment()):
                if isinstance(action, ev.Wake):
                    count += 1
                    heapq.heappush(wakes, (time.monotonic() + action.delay_s, count, action.key))
                else:
                    _act(action, lanes, channel)


def _next_event(
    inbox: Inbox, wakes: list[tuple[float, int, str]]
) -> ev.Event | BaseException | None:
    left = TICK_S if not wakes else min(TICK_S, wakes[0][0] - time.monotonic())
    if left <= 0:
        return ev.Woken(heapq.heappop(wakes)[2])
    try:
        return inbox.get(timeout=left)
    except queue.Empty:
        return None


def _moment() -> ev.Moment:
    return ev.Moment(time.time(), secrets.token_hex(16), random.random())


def _act(action: ev.Action, lanes: dict[str, Lane], channel: Channel) -> None:
    match action:
        case ev.Say(level, message):
            LOG.log(logging.getLevelNamesMapping()[level], message)
        case ev.Ready():
            channel.send(Kind.OPENED)
        case ev.KeepState(_, data):
            channel.send(Kind.STATE, data)
        case ev.Release(checkpoint):
            channel.send(Kind.COMPLETED, pack_number(checkpoint))
        case ev.Stop(error):
            raise error
        case ev.Wake():
            raise AssertionError("wake-ups are kept by the loop")
        case _ if isinstance(action, LogAction):
            lanes["log"].todo.put(action)
        case _ if isinstance(action, TargetAction):
            lanes["target"].todo.put(action)
        case _:
            lanes["tidy"].todo.put(action)


def _read(channel: Channel, hello: Hello, inbox: Inbox) -> None:
    """Turn frames into events until the channel ends or breaks."""
    try:
        while True:
            frame = channel.receive(TICK_S)
            if frame is not None:
                inbox.put(_event(*frame, hello))
    except BaseException as error:
        inbox.put(error)


def _event(kind: int, payload: bytes, hello: Hello) -> ev.Event:
    match kind:
        case Kind.RESTORE:
            return _opened(payload, hello)
        case Kind.PART:
            return ev.PartArrived(payload)
        case Kind.END:
            return ev.InputEnded()
    numbered: dict[int, Callable[[int], ev.Event]] = {
        Kind.SNAPSHOT: ev.SnapshotAsked,
        Kind.COMPLETE: ev.CheckpointCompleted,
        Kind.ABORTED: ev.CheckpointAborted,
    }
    if kind not in numbered:
        raise WorkerError(f"a coordinator can't take frames of kind {kind}")
    return numbered[kind](parse_number(payload))


def _opened(payload: bytes, hello: Hello) -> ev.Opened:
    checkpoint, states = parse_restore(payload)
    restored = None if checkpoint is None else ev.Restored(checkpoint, tuple(states))
    return ev.Opened(
        hello.job, hello.operator, hello.host, hello.attempt, restored, batch=hello.batch
    )
