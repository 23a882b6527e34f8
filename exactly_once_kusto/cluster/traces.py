"""Reads what Flink's client and its tasks print: job ids and chains of exceptions. Pure."""

from __future__ import annotations

import re

# CliFrontend and StreamContextEnvironment print the first; RestClusterClient logs the second.
_SUBMITTED = re.compile(
    r"Job has been submitted with JobID ([0-9a-f]{32})"
    r"|Successfully submitted job '.*?' \(([0-9a-f]{32})\)"
)
# `Caused by:` and heads of traces, of Java (package.Name: text) and Python (NameError: text).
_HEAD = re.compile(r"(?:Caused by: )?((?:[\w$]+\.)*[\w$]*(?:Exception|Error|Failure)\b(?::.*)?)")
CAUSES_MAX = 20


def submitted_jobs(output: str) -> list[str]:
    """The ids of the jobs that a client reports as submitted, each once, in order."""
    found = [match[1] or match[2] for match in _SUBMITTED.finditer(output)]
    return list(dict.fromkeys(found))


def exception_chain(text: str) -> list[str]:
    """The exceptions that a Java or Python trace names, outermost first, each once.

    At most the last `CAUSES_MAX`; lines with a time stamp or a stack frame are not heads.
    """
    heads = [match[1].strip() for line in text.splitlines() if (match := _head(line))]
    return list(dict.fromkeys(heads))[-CAUSES_MAX:]


def root_cause(stacktrace: str) -> str:
    """The innermost exception of a Java trace, with its message; else the first line."""
    chain = exception_chain(stacktrace)
    return chain[-1] if chain else stacktrace.strip().partition("\n")[0].rstrip()


def _head(line: str) -> re.Match[str] | None:
    stripped = line.strip()
    if stripped.startswith("at "):
        return None
    # py4j and the client put ': ' or a sentence in front of the class's name.
    return _HEAD.match(stripped.removeprefix(": "))
