"""Mutants that begin an attempt before the last one is closed, or send more than one request."""

from __future__ import annotations

from tests.mutants.mutant import Change, Mutant

COMMAND = "kusto/command.py"
COMMIT = "protocol/commit.py"
COORDINATOR = "protocol/coordinator.py"
INGEST = "kusto/ingest.py"
TARGET = "kusto/target.py"

CLOSING = (
    Mutant(
        "lost-reply-is-not-sent",
        "Close: a request whose reply was lost is taken for one that never left",
        (
            Change(
                COMMIT,
                "            case Lost(message):\n",
                "            case Lost(message):\n"
                "                self.ended[number] = Failed(message, permanent=False)\n"
                "                self.never_ran.add(number)\n",
            ),
        ),
    ),
    Mutant(
        "attempts-not-closed",
        "Close: none found is believed at once, though a request may be on its way yet",
        (
            Change(
                COMMIT,
                "        if moment.now >= settled and not sighting.busy:\n",
                "        if not sighting.busy:\n",
            ),
        ),
    ),
    Mutant(
        "running-not-awaited",
        "Close: what still runs when the access has expired is not waited for",
        (
            Change(
                COMMIT,
                "        if moment.now >= settled and not sighting.busy:\n",
                "        if moment.now >= settled:\n",
            ),
            Change(COMMIT, "        if sighting.busy:\n            self._open_again()\n", ""),
        ),
    ),
    Mutant(
        "no-settle-time",
        "Close: an attempt is closed the moment its access expires; records appear later",
        (
            Change(
                COMMIT,
                "        return (attempt.expires_at or attempt.time) + self.settings.settle_s\n",
                "        return attempt.expires_at or attempt.time\n",
            ),
        ),
    ),
    Mutant(
        "late-start-not-looked-for",
        "Close: only what started with the intent counts as running, not what came late",
        (
            Change(
                COMMIT,
                "        until = max(map(self._settled_at, unsure), default=since)\n",
                "        until = since\n",
            ),
        ),
    ),
    Mutant(
        "known-operation-not-awaited",
        "Close: an operation that runs longer than a look is given up and tried again",
        (
            Change(
                COMMIT,
                "            delay = min(self.settings.poll_max_s,",
                '            self.ended[attempt.number] = Failed("it takes too long", False)\n'
                "            return self._examine()\n"
                "            delay = min(self.settings.poll_max_s,",
            ),
        ),
    ),
    Mutant(
        "submit-retried-by-client",
        "Close: a request without an answer is sent again below the protocol",
        (
            Change(
                INGEST,
                "    answer = client.submit(destination.database, text)\n",
                "    answer = client.submit(destination.database, text)\n"
                "    if isinstance(answer, Lost):\n"
                "        answer = client.submit(destination.database, text)\n",
            ),
        ),
    ),
    Mutant(
        "access-renewed",
        "Close: an attempt that is late gets fresh access, beyond the end that its intent tells",
        (
            Change(
                TARGET,
                "        identity, number, end = self._access\n",
                "        identity, number, _ = self._access\n"
                "        end = self._outside.now() + self._sink.access_lifetime_s\n",
            ),
        ),
    ),
    Mutant(
        "expiry-not-in-intent",
        "Close: the intent does not say when the access ends",
        (
            Change(
                COORDINATOR,
                "                    access.principal, access.expires_at, slices,\n",
                "                    access.principal, None, slices,\n",
            ),
        ),
    ),
    Mutant(
        "expired-access-is-a-refusal",
        "Matrix, Kusto is slow: what was read after its access ended is taken for forbidden",
        (
            Change(
                INGEST,
                "    if FORBIDDEN in codes and outside.now() > window.half:\n",
                "    if FORBIDDEN in codes and outside.now() < 0:\n",
            ),
        ),
    ),
    Mutant(
        "no-tag",
        "I2: the command does not tag its extents",
        (
            Change(
                COMMAND,
                '        "tags": json.dumps([f"{TAG_PREFIX}{transaction}"]),\n',
                "",
            ),
        ),
    ),
    Mutant(
        "no-ingest-if-not-exists",
        "Close: where access never expires nothing but Kusto's own check stops a late request",
        (Change(COMMAND, '        "ingestIfNotExists": json.dumps([transaction]),\n', ""),),
    ),
    Mutant(
        "one-command-a-part",
        "I5: the parts of a transaction go in several commands under one tag",
        (
            Change(
                INGEST,
                "    text = command.ingest_command(\n"
                "        destination.table,\n"
                "        destination.columns,\n"
                "        sources,\n"
                "        transaction.id,\n"
                "        destination.format,\n"
                "    )\n"
                "    answer = client.submit(destination.database, text)\n",
                "    for source in sources:\n"
                "        text = command.ingest_command(\n"
                "            destination.table,\n"
                "            destination.columns,\n"
                "            [source],\n"
                "            transaction.id,\n"
                "            destination.format,\n"
                "        )\n"
                "        answer = client.submit(destination.database, text)\n",
            ),
        ),
    ),
)
