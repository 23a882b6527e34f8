"""Mutants that make names anew, or keep other slices than those that were sealed."""

from __future__ import annotations

from tests.mutants.mutant import Change, Mutant

COMMITTING = "protocol/committing.py"
COORDINATOR = "protocol/coordinator.py"
IDENTITY = "protocol/identity.py"
STAGE = "kusto/stage.py"
STAGED = "kusto/staged.py"
STORAGE = "testing/simulated_storage.py"

OVERWRITES = Change(
    STORAGE,
    "        if name in self._objects.content:\n            raise FileExistsError(name)\n",
    "",
)
COUNTED_NAMES = Change(
    STAGE,
    'self._part = f"{self._name}/parts/{self._nonce()}.parquet"',
    'self._part = f"{self._name}/parts/{len(self._sealed)}.parquet"',
)

STATE = (
    Mutant(
        "tag-from-checkpoint-number",
        "I4: the tag is made from the number of the oldest checkpoint",
        (
            Change(
                COMMITTING,
                "Transaction(transaction_id(self.name, moment.nonce), group)",
                "Transaction(\n"
                '            transaction_id(self.name, f"{abs(group[0].checkpoint):032x}"), group\n'
                "        )",
            ),
        ),
    ),
    Mutant(
        "slice-id-from-checkpoint-number",
        "I4: slices of one lineage are told apart by checkpoint number",
        (
            Change(
                IDENTITY,
                '    return f"{lineage[:8]}-{checkpoint}-{check_nonce(nonce)}-{index}"\n',
                '    return f"{lineage}-{checkpoint}-{index}"\n',
            ),
        ),
    ),
    Mutant(
        "slices-recomputed-on-restore",
        "I4: restored slices get new ids",
        (
            Change(
                COORDINATOR,
                "            self.backlog.add(state.slices)\n",
                "            again = [p for piece in state.slices for p in piece.parts]\n"
                "            number, lineage = event.restored.checkpoint, state.lineage\n"
                "            made = seal(again, number, lineage, self.settings, moment)\n"
                "            self.backlog.add(made)\n",
            ),
        ),
    ),
    Mutant(
        "part-names-counted",
        "Names never recur: parts are named by a number, and an upload replaces what is there "
        "(both guards)",
        (COUNTED_NAMES, OVERWRITES),
    ),
    Mutant(
        "changed-part-ingested",
        "Names never recur: as above, and length and mark are not compared before the command",
        (
            COUNTED_NAMES,
            OVERWRITES,
            Change(
                STAGED,
                "    if (found.length, found.etag) != (part.length, part.etag):\n",
                "    if (found.length, found.etag) == (-1, part.etag):\n",
            ),
        ),
    ),
    Mutant(
        "due-before-completion",
        "I3: slices are committed when they are sealed, before the checkpoint is complete",
        (
            Change(
                COORDINATOR,
                "        data = encode_state(state)\n",
                "        data = encode_state(state)\n"
                "        self.backlog.due_to = max(self.backlog.due_to, job.checkpoint)\n",
            ),
        ),
    ),
    Mutant(
        "only-the-notified-checkpoint",
        "Matrix, subsumed or not notified: only slices of the very checkpoint told are due",
        (
            Change(
                "protocol/backlog.py",
                "if piece.checkpoint <= self.due_to]",
                "if piece.checkpoint == self.due_to]",
            ),
        ),
    ),
    Mutant(
        "aborted-slices-dropped",
        "Matrix, aborted: the slices of an aborted checkpoint are forgotten",
        (
            Change(
                COORDINATOR,
                "            case ev.CheckpointAborted():\n                return []\n",
                "            case ev.CheckpointAborted(checkpoint):\n"
                "                gone = [p.id for p in self.slices if p.checkpoint == checkpoint]\n"
                "                self.backlog.forget(frozenset(gone))\n"
                "                return []\n",
            ),
        ),
    ),
    Mutant(
        "in-flight-not-in-state",
        "I1: a snapshot leaves out the slices of the transaction that is under way",
        (
            Change(
                COORDINATOR,
                "            tuple(self.slices),\n",
                "            tuple(\n"
                "                piece\n"
                "                for piece in self.slices\n"
                "                if self.commit is None\n"
                "                or piece not in self.commit.transaction.slices\n"
                "            ),\n",
            ),
        ),
    ),
    Mutant(
        "parts-taken-after-barrier",
        "I3: a snapshot takes all parts that came before the log answered, not before the barrier",
        (
            Change(
                COORDINATOR,
                "        parts, self.parts = tuple(self.parts), []\n"
                "        if self.input_ended and",
                "        parts: tuple[Part, ...] = ()\n        if self.input_ended and",
            ),
            Change(
                COORDINATOR,
                "        lineage = self.door.lineage\n"
                "        self.backlog.add(seal(job.parts, job.checkpoint,",
                "        lineage = self.door.lineage\n"
                "        parts, self.parts = tuple(self.parts), []\n"
                "        self.backlog.add(seal(parts, job.checkpoint,",
            ),
        ),
    ),
    Mutant(
        "ends-before-all-is-in",
        "I1: a bounded job ends after its final checkpoint, with slices waiting",
        (
            Change(
                COORDINATOR,
                "        if not due:\n            return self._finish(moment)\n",
                "        if not due or self._must_wait_for_all():\n"
                "            self.finished = self.finished or self._must_wait_for_all()\n"
                "        if not due:\n            return self._finish(moment)\n",
            ),
        ),
    ),
)
