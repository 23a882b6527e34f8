"""Mutants that group begun slices anew, or do not list those of a batch."""

from __future__ import annotations

from tests.mutants.mutant import Change, Mutant

COMMITTING = "protocol/committing.py"
COORDINATOR = "protocol/coordinator.py"
GROUPING = "protocol/grouping.py"
LEDGER = "protocol/ledger.py"

BEGUN_IS_FREE = (
    Change(
        GROUPING,
        "        if ledger.transaction_of(piece.id) is None:\n",
        "        if not ledger.is_committed(piece.id):\n",
    ),
    Change(
        LEDGER,
        "        return any(self.transaction_of(piece.id) for piece in transaction.slices)\n",
        "        return any(self.is_committed(piece.id) for piece in transaction.slices)\n",
    ),
)
"""Slices that an intent names may be grouped as long as they are not committed."""

GROUPS = (
    Mutant(
        "no-adoption",
        "Commit 1: slices that an intent names are grouped anew after a restore",
        (
            Change(
                COMMITTING,
                "        begun = (self.ledger.transaction_of(piece.id) for piece in due)\n",
                "        begun = iter(())\n",
            ),
            *BEGUN_IS_FREE,
        ),
    ),
    Mutant(
        "regrouped-after-rewind",
        "Commit 1: a begun transaction of which the restored state holds only some slices is "
        "grouped anew",
        (
            Change(
                COMMITTING,
                "        known = next((each for each in begun if each is not None), None)\n",
                "        held = set(due)\n"
                "        whole = (e for e in begun if e and held.issuperset("
                "e.transaction.slices))\n"
                "        known = next(whole, None)\n",
            ),
            *BEGUN_IS_FREE,
        ),
    ),
    Mutant(
        "batch-without-entry",
        "Batch: a run commits its own parts without listing them",
        (
            Change(
                COORDINATOR,
                "        return self.lane.add(jobs.ListBatch(parts), moment)\n",
                "        self.backlog.add(seal(parts, BATCH, self.door.lineage, self.settings, "
                "moment))\n"
                "        self.final_checkpoint = BATCH\n"
                "        return self._completed(BATCH, moment)\n",
            ),
        ),
    ),
    Mutant(
        "repetition-commits-its-own-parts",
        "Batch: a repetition commits its own parts beside those that are listed",
        (
            Change(
                COORDINATOR,
                '            said = [ev.Say("INFO", text), ev.Delete(surplus)]\n',
                '            said = [ev.Say("INFO", text)]\n'
                "            more = seal(surplus, BATCH, self.door.lineage, self.settings, "
                "moment)\n"
                "            self.backlog.add(more)\n",
            ),
        ),
    ),
)
