"""What the subtasks of a job were seen to do: the calls that Flink made, in order (acceptor.py)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """What one subtask was asked to do.

    Writers: `open`, `write` (consecutive ones are one), `prepare` with the names of the parts that
    it made. The coordinator: `open` with the restored checkpoint or None, `part` with its name,
    `snapshot`, `complete` and `abort` with the checkpoint, `end`.
    """

    name: str
    checkpoint: int | None = None
    parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Shown as it would be written."""
        inside = ", ".join(self.parts) if self.parts else self.checkpoint
        return self.name if inside is None else f"{self.name}({inside})"


@dataclass(frozen=True, slots=True)
class Seen:
    """One attempt: the calls of each writer subtask and those of the coordinator.

    A record may be empty (the task never opened) and may break off anywhere (it was killed).
    """

    writers: tuple[tuple[Call, ...], ...]
    coordinator: tuple[Call, ...]

    @property
    def calls(self) -> int:
        """How many there are."""
        return sum(map(len, self.writers)) + len(self.coordinator)

    @property
    def restored(self) -> tuple[int | None] | None:
        """The checkpoint that the coordinator restored; None where it never opened."""
        return (self.coordinator[0].checkpoint,) if self.coordinator else None


@dataclass(frozen=True, slots=True)
class SeenJob:
    """One submission: its attempts in order; those of which nothing was seen may be left out.

    Args:
        attempts: What was seen of each.
        start_from: The place in the history of the job that made the checkpoint or savepoint which
            the submission restored, and its number.
        savepoints: Numbers known to be savepoints of a job that went on.
        stops: Numbers known to be savepoints that the job was to stop with.
        concurrent: Flink's max-concurrent-checkpoints.
    """

    attempts: tuple[Seen, ...]
    start_from: tuple[int, int] | None = None
    savepoints: frozenset[int] = frozenset()
    stops: frozenset[int] = frozenset()
    concurrent: int = 1
