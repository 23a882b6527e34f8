"""Mutants that begin where another run, or a person, should have been asked."""

from __future__ import annotations

from tests.mutants.mutant import Change, Mutant

ADMISSION = "protocol/admission.py"
COORDINATOR = "protocol/coordinator.py"
LANE = "protocol/log_lane.py"
LEDGER = "protocol/ledger.py"
LOG = "storage/log.py"
OPENING = "protocol/opening.py"

DOOR = (
    Mutant(
        "position-not-in-state",
        "Rewind: the state does not say how far the log had come",
        (
            Change(
                COORDINATOR,
                "            self.ledger.position,\n            tuple(self.slices),\n",
                "            0,\n            tuple(self.slices),\n",
            ),
        ),
    ),
    Mutant(
        "guard-by-checkpoint-number",
        "Rewind: the guard compares checkpoint numbers, of whatever lineage",
        (
            Change(
                OPENING,
                "        if known.lineage == lineage\n"
                "        and known.first > floor\n"
                "        and any(piece.id not in held for piece in known.transaction.slices)\n",
                "        if accepted < known.first\n"
                "        and any(\n"
                "            piece.checkpoint > (newcomer.restored or 0) and piece.id not in held\n"
                "            for piece in known.transaction.slices\n"
                "        )\n",
            ),
        ),
    ),
    Mutant(
        "guard-counts-retries",
        "Rewind: the guard counts later attempts of older transactions, whose slices the state "
        "holds (both guards)",
        (
            Change(
                LEDGER,
                "        known.attempts.append(Attempt(entry.attempt,",
                "        known.first = number\n"
                "        known.attempts.append(Attempt(entry.attempt,",
            ),
            Change(
                OPENING,
                "        and any(piece.id not in held for piece in known.transaction.slices)\n",
                "        and (\n"
                "            len(known.attempts) > 1\n"
                "            or any(piece.id not in held for piece in known.transaction.slices)\n"
                "        )\n",
            ),
        ),
    ),
    Mutant(
        "no-rewind-guard",
        "Rewind: an older state begins without a question",
        (
            Change(
                OPENING,
                "        if known.lineage == lineage\n",
                "        if known.lineage == lineage != known.lineage\n",
            ),
        ),
    ),
    Mutant(
        "door-not-checked-again",
        "Who may run: `start` is appended on the reading before the preflight",
        (
            Change(
                COORDINATOR,
                "return None if self.lane.own_start is not None else self.door.decide(moment)",
                "return None if self.lane.own_start is not None else (\n"
                "                    self.door.first or self.door.decide(moment)\n"
                "                )",
            ),
            Change(
                ADMISSION,
                "            return [ev.CheckTarget()]\n",
                "            self.first = answer if isinstance(answer, Start) else None\n"
                "            return [ev.CheckTarget()]\n",
            ),
            Change(
                ADMISSION,
                '    lineage: str = ""\n',
                '    lineage: str = ""\n    first: Start | None = None\n',
            ),
        ),
    ),
    Mutant(
        "start-before-rewind-check",
        "Rewind: `start` is appended first, the guard asked behind it",
        (
            Change(
                ADMISSION,
                "        if not isinstance(answer, ExactlyOnceError):\n"
                "            return [ev.CheckTarget()]\n",
                "        if not isinstance(answer, ExactlyOnceError) or isinstance(\n"
                "            answer, opening.RewindError\n"
                "        ):\n"
                "            return [ev.CheckTarget()]\n",
            ),
            Change(
                COORDINATOR,
                "return None if self.lane.own_start is not None else self.door.decide(moment)",
                "return self.door.decide_late(moment, self.lane.own_start)",
            ),
            Change(
                ADMISSION,
                "    def survey(self,",
                "    def decide_late(\n"
                "        self, moment: ev.Moment, own_start: int | None\n"
                "    ) -> Start | RewindAccepted | ExactlyOnceError | None:\n"
                "        answer = self.decide(moment)\n"
                "        if own_start is not None:\n"
                "            return answer if isinstance(answer, ExactlyOnceError) else None\n"
                "        if isinstance(answer, opening.RewindError):\n"
                "            return opening.start_entry(self._newcomer(), self.lineage, moment)\n"
                "        return answer\n"
                "\n"
                "    def survey(self,",
            ),
        ),
    ),
    Mutant(
        "no-fencing",
        "Who may run: a run that reads a later `start` goes on",
        (
            Change(
                LANE,
                "            if self.own_start is not None and isinstance(entry, Start):\n",
                "            if self.own_start == 0 and isinstance(entry, Start):\n",
            ),
        ),
    ),
    Mutant(
        "fenced-process-snapshots",
        "Who may run: a run that reads a later `start` before a snapshot still takes it",
        (
            Change(
                LANE,
                "            if self.own_start is not None and isinstance(entry, Start):\n",
                "            sealing = isinstance(self.current, jobs.Seal)\n"
                "            if self.own_start is not None and isinstance(entry, Start) "
                "and not sealing:\n",
            ),
        ),
    ),
    Mutant(
        "number-taken-not-noticed",
        "The ledger: who finds a number taken believes that the entry is its own",
        (
            Change(
                LOG,
                "        return self.store.create(entry, data) or self.store.read(entry) == data\n",
                "        self.store.create(entry, data)\n        return True\n",
            ),
        ),
    ),
    Mutant(
        "failover-takes-name-back",
        "Who may run: a job whose name was taken takes it back when Flink restarts it",
        (
            Change(
                OPENING,
                "    if start.job == newcomer.job or own is None:\n        return None\n"
                "    return NameTakenError(\n"
                "        f\"sink '{newcomer.name}' is in the hands",
                "    if newcomer.job:\n        return None\n"
                "    return NameTakenError(\n"
                "        f\"sink '{newcomer.name}' is in the hands",
            ),
        ),
    ),
    Mutant(
        "end-not-read",
        "Who may run: the name of a job that has ended counts as taken",
        (
            Change(
                OPENING,
                "    if ledger.ended(start):\n        return _check_ended_batch",
                "    if newcomer.batch:\n        return _check_ended_batch",
            ),
        ),
    ),
    Mutant(
        "failover-mints-a-lineage",
        "Rewind: a failover before the first checkpoint begins a new lineage",
        (
            Change(
                OPENING,
                "    return fresh if last is None or ledger.ended(last) else last.lineage\n",
                "    return fresh\n",
            ),
        ),
    ),
)
