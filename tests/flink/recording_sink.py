"""The directory sink, and a line for every call that Flink makes: what the simulator must explain.

Every worker process writes a file of its own, one line a call, written before the call goes on, so
that SIGKILL keeps all that had an effect: `<folder>/calls/<role>-<subtask>-<attempt>-<pid>.jsonl`.
The names are those of `exactly_once_kusto.testing.acceptor`; calls of ports stand among them as
`port`.

Option `folder` as in the directory sink. While a file `<folder>/hold/<point>` exists, who comes to
the point waits (a minute at most): `write-<subtask>`, `seal-<subtask>`, and the coordinator's
`read`, `submit`, `look` ...
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from exactly_once_kusto.cluster import wait_until
from exactly_once_kusto.flink import coordinator_loop, writer_loop
from exactly_once_kusto.flink.frames import Channel, Hello
from exactly_once_kusto.flink.heartbeat import Pulse
from exactly_once_kusto.protocol import events as ev
from exactly_once_kusto.protocol.coordinator import Coordinator
from exactly_once_kusto.protocol.ports import Column, LedgerStore, Settings, Sink, Target, Writer
from exactly_once_kusto.protocol.slices import Part, decode_part
from exactly_once_kusto.storage.brake import StoredBrake
from exactly_once_kusto.testing.acceptor import Call, Seen, SeenJob
from tests.flink.directory_sink import DirectorySink

FACTORY = f"{__name__}:from_options"
OF_ANOTHER_SINK = {"cluster", "database", "table", "staging", "auth", "settle", "access-lifetime"}
"""Options that the road's job gives to every sink."""
HOLD_S_MAX = 60.0


@dataclass
class Recorder:
    """Writes the calls of this process, and waits where the test says so."""

    folder: Path
    descriptor: int = -1
    subtask: int = 0
    writing: bool = False

    def begin(self, hello: Hello) -> None:
        calls = self.folder / "calls"
        calls.mkdir(parents=True, exist_ok=True)
        name = f"{hello.role}-{hello.subtask}-{hello.attempt}-{os.getpid()}.jsonl"
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND
        self.descriptor, self.subtask = os.open(calls / name, flags), hello.subtask

    def say(self, call: str, **more: Any) -> None:
        line = {"call": call, **more, "at": round(time.time(), 3)}
        os.write(self.descriptor, (json.dumps(line) + "\n").encode())
        self.writing = call == "write"

    def wait_at(self, point: str) -> None:
        held = self.folder / "hold" / point
        wait_until(lambda: not held.exists(), HOLD_S_MAX, f"{held} to be removed", 0.02)


RECORDER = Recorder(Path())


def from_options(options: Mapping[str, str]) -> Sink:
    own = {key: value for key, value in options.items() if key not in OF_ANOTHER_SINK}
    RECORDER.folder = Path(own["folder"])
    _observe_loops()
    _observe_coordinator()
    return RecordingSink(DirectorySink(own["name"], own["folder"]))


def _observe_loops() -> None:
    """Learn from the worker's loop which task it serves: a sink isn't told."""
    run_writer, run_coordinator = writer_loop.run_writer, coordinator_loop.run_coordinator

    def writer(channel: Channel, hello: Hello, sink: Sink, pulse: Pulse) -> None:
        RECORDER.begin(hello)
        RECORDER.say("open", job=hello.job, parallelism=hello.parallelism, batch=hello.batch)
        run_writer(channel, hello, sink, pulse)

    def coordinator(channel: Channel, hello: Hello, sink: Sink, pulse: Pulse) -> None:
        RECORDER.begin(hello)
        run_coordinator(channel, hello, sink, pulse)

    writer_loop.run_writer = writer
    coordinator_loop.run_coordinator = coordinator


def _observe_coordinator() -> None:
    handle = Coordinator.handle

    def observed(machine: Coordinator, event: ev.Event, moment: ev.Moment) -> list[ev.Action]:
        _say_event(event)
        return handle(machine, event, moment)

    Coordinator.handle = observed  # type: ignore[method-assign]


def _say_event(event: ev.Event) -> None:
    match event:
        case ev.Opened(restored=restored):
            number = None if restored is None else restored.checkpoint
            RECORDER.say("open", job=event.job, checkpoint=number, batch=event.batch)
        case ev.PartArrived(data):
            RECORDER.say("part", parts=[decode_part(data).etag])
        case ev.SnapshotAsked(checkpoint):
            RECORDER.say("snapshot", checkpoint=checkpoint)
        case ev.CheckpointCompleted(checkpoint):
            RECORDER.say("complete", checkpoint=checkpoint)
        case ev.CheckpointAborted(checkpoint):
            RECORDER.say("abort", checkpoint=checkpoint)
        case ev.InputEnded():
            RECORDER.say("end")


@dataclass(frozen=True)
class RecordingSink:
    inner: DirectorySink

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def settings(self) -> Settings:
        return self.inner.settings

    def check(self, columns: Sequence[Column]) -> None:
        self.inner.check(columns)

    def writer(self, columns: Sequence[Column], schema: pa.Schema) -> Writer:
        return RecordingWriter(self.inner.writer(columns, schema))

    def ledger(self) -> LedgerStore:
        return RecordingPort(self.inner.ledger())  # type: ignore[return-value]

    def brake(self) -> StoredBrake:
        return self.inner.brake()

    def target(self, columns: Sequence[Column]) -> Target:
        return RecordingPort(self.inner.target(columns))  # type: ignore[return-value]


@dataclass
class RecordingWriter:
    inner: Writer

    def write(self, batch: pa.RecordBatch) -> None:
        RECORDER.wait_at(f"write-{RECORDER.subtask}")
        if not RECORDER.writing:
            RECORDER.say("write")
        self.inner.write(batch)

    def seal(self) -> Sequence[Part]:
        RECORDER.wait_at(f"seal-{RECORDER.subtask}")
        parts = self.inner.seal()
        RECORDER.say("prepare", parts=[part.etag for part in parts])
        return parts

    def close(self) -> None:
        self.inner.close()


class RecordingPort:
    """A coordinator's port: says what it is asked, waits where it is held, then asks the inner."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not callable(method) or RECORDER.descriptor < 0:
            return method

        def observed(*arguments: Any) -> Any:
            kind = json.loads(arguments[1])["kind"] if name == "append" else None
            RECORDER.say("port", name=name, entry=kind)
            RECORDER.wait_at(name)
            return method(*arguments)

        return observed


def seen(folder: Path) -> list[SeenJob]:
    """What was seen of each job so far, in the order in which they opened."""
    files = sorted(filter(None, map(_file, (folder / "calls").glob("*.jsonl"))))
    jobs = {job: 0 for _, job, *_ in files}
    return [_job([file for file in files if file[1] == job]) for job in jobs]


File = tuple[float, str, int, str, int, int, tuple[Call, ...]]
"""When it began, job, attempt, role, subtask, parallelism (a writer's file), and the calls."""


def _file(path: Path) -> File | None:
    role, subtask, attempt, _ = path.stem.split("-")
    whole = path.read_text().rpartition("\n")[0].splitlines()  # the last line may be half there
    lines = [line for line in map(json.loads, whole) if line["call"] != "port"]
    if not lines:
        return None
    calls = tuple(
        Call(line["call"], line.get("checkpoint"), tuple(line.get("parts", ()))) for line in lines
    )
    first = lines[0]
    writers = first.get("parallelism", 1)
    return first["at"], first["job"], int(attempt), role, int(subtask), writers, calls


def _job(files: list[File]) -> SeenJob:
    attempts: dict[int, dict[tuple[str, int], tuple[Call, ...]]] = {}
    writers: dict[int, int] = {}
    for _, _, attempt, role, subtask, parallelism, calls in files:
        attempts.setdefault(attempt, {})[role, subtask] = calls
        writers[attempt] = max(parallelism, writers.get(attempt, 1))
    return SeenJob(
        tuple(
            Seen(
                tuple(tasks.get(("writer", i), ()) for i in range(writers[attempt])),
                tasks.get(("coordinator", 0), ()),
            )
            for attempt, tasks in sorted(attempts.items())
        )
    )
