"""Mutants that believe what they have not counted."""

from __future__ import annotations

from tests.mutants.mutant import Change, Mutant

COMMIT = "protocol/commit.py"
COORDINATOR = "protocol/coordinator.py"
INGEST = "kusto/ingest.py"
JUDGING = "protocol/judging.py"
CONCLUDES_UNSEEN = "return self._conclude(Sighting((), busy=False))"

EVIDENCE = (
    Mutant(
        "tag-is-completeness",
        "I1: any rows under the tag count as all rows",
        (
            Change(
                JUDGING,
                "    if found == rows:\n        return Verdict.ALL\n    return Verdict.FEWER if",
                "    if found:\n        return Verdict.ALL\n    return Verdict.FEWER if",
            ),
        ),
    ),
    Mutant(
        "count-at-least",
        "I1: rows are compared with >=, so rows of others stand in for missing ones",
        (
            Change(
                JUDGING,
                "        merged = found > rows and not any(extent.named for extent in seen)\n"
                "        return Verdict.UNCHECKABLE if merged else _compare(found, rows)\n",
                "        return _compare(found, rows)\n",
            ),
            Change(JUDGING, "if found == rows:", "if found >= rows:"),
        ),
    ),
    Mutant(
        "filled-up-count",
        "Count: a count that fits is believed, though the command failed and a merge came after it",
        (
            Change(
                COMMIT,
                "if verdict is Verdict.ALL and self._is_doubtful(sighting):",
                "if verdict is Verdict.ALL and len(self.attempts) == 0:",
            ),
        ),
    ),
    Mutant(
        "merged-extent-counts-for-all",
        "Count: rows of an extent that bears several tags are taken for one transaction's",
        (
            Change(
                JUDGING,
                "    if any(tag not in rows_by_tag for tag in others):",
                "    if found >= rows:\n        return Verdict.ALL\n"
                "    if any(tag not in rows_by_tag for tag in others):",
            ),
        ),
    ),
    Mutant(
        "skipped-is-committed",
        "Count: a skipped command is taken for 'all rows are there already'",
        (
            Change(
                COMMIT,
                "        else:\n            self.ended[attempt.number] = status\n",
                f"        elif isinstance(status, Skipped):\n            {CONCLUDES_UNSEEN}\n"
                "        else:\n            self.ended[attempt.number] = status\n",
            ),
        ),
    ),
    Mutant(
        "not-found-is-committed",
        "I6: an operation without a record is taken for one that ended well long ago",
        (
            Change(
                COMMIT,
                "            self.missing.add(attempt.number)\n",
                f"            {CONCLUDES_UNSEEN}\n",
            ),
        ),
    ),
    Mutant(
        "partial-success-is-success",
        "I1: `PartiallySucceeded` ends a transaction like `Completed`, and nobody counts",
        (
            Change(
                INGEST,
                'if state == "Completed":',
                'if state in ("Completed", "PartiallySucceeded"):',
            ),
            Change(
                COMMIT,
                "        else:\n            self.ended[attempt.number] = status\n",
                f"        elif isinstance(status, Completed):\n            {CONCLUDES_UNSEEN}\n"
                "        else:\n            self.ended[attempt.number] = status\n",
            ),
        ),
    ),
    Mutant(
        "expired-evidence-ignored",
        "Count: no rows under a tag that may have expired count as 'never there'",
        (
            Change(
                COMMIT,
                "if ran and sighting.kept_s is not None and age_s >= sighting.kept_s:",
                "if ran and sighting.kept_s is not None and age_s < 0:",
            ),
        ),
    ),
    Mutant(
        "ledger-word-not-taken",
        "I7: what the ledger says is committed is looked for again, and tried again where its tag "
        "has expired (both guards)",
        (
            Change(
                COORDINATOR,
                "        self.backlog.forget(frozenset(done))\n        said",
                "        frozenset(done)\n        said",
            ),
            Change(
                COMMIT,
                "if ran and sighting.kept_s is not None and age_s >= sighting.kept_s:",
                "if ran and sighting.kept_s is not None and age_s < 0:",
            ),
        ),
    ),
)
