"""Mutants that do things in another order, or clean up too early."""

from __future__ import annotations

from tests.mutants.mutant import Change, Mutant

COMMIT = "protocol/commit.py"
COORDINATOR = "protocol/coordinator.py"
CONCLUDES_UNSEEN = "return self._conclude(Sighting((), busy=False))"

ORDER = (
    Mutant(
        "no-intent",
        "I6: what is about to be tried is kept in memory, not in the ledger",
        (
            Change(
                COORDINATOR,
                "                return Intent(\n",
                "                told = Intent(\n",
            ),
            Change(
                COORDINATOR,
                "                    access.principal, access.expires_at, slices,\n"
                "                )  # fmt: skip\n",
                "                    access.principal, access.expires_at, slices,\n"
                "                )  # fmt: skip\n"
                "                self.ledger._intend(self.ledger.position, told)\n"
                "                return None\n",
            ),
        ),
    ),
    Mutant(
        "committed-before-ingest",
        "Commit 3: `committed` is appended when the command was taken, before it has ended",
        (
            Change(
                COMMIT,
                '        """The operation stands in the log: follow it."""\n'
                "        return self._examine()\n",
                '        """The operation stands in the log: follow it."""\n'
                f"        {CONCLUDES_UNSEEN}\n",
            ),
        ),
    ),
    Mutant(
        "delete-before-committed",
        "Commit 5: the parts are deleted when the operation has ended, before `committed`",
        (
            Change(
                COMMIT,
                "            if isinstance(status, Failed):\n"
                "                self.message = status.message\n",
                "            if isinstance(status, Failed):\n"
                "                self.message = status.message\n"
                "            return [ev.Delete(self.transaction.parts), *self._examine()]\n",
            ),
        ),
    ),
    Mutant(
        "cleanup-on-unknown",
        "I6: when the reply is lost the staged parts are cleaned up",
        (
            Change(
                COMMIT,
                "            case Lost(message):\n"
                "                return self.unreachable(message, moment)\n",
                "            case Lost(message):\n"
                "                clean = ev.Delete(self.transaction.parts)\n"
                "                return [clean, *self.unreachable(message, moment)]\n",
            ),
        ),
    ),
)
