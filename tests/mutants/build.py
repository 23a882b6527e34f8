"""Makes a build of a mutant: the package's Python files, with some lines replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.mutants.mutant import Mutant

PACKAGE = Path(__file__).parents[2] / "exactly_once_kusto"


class StaleMutantError(Exception):
    """The code has moved on: a mutant's old text is not there exactly once."""


def build(mutant: Mutant | None, folder: Path) -> Path:
    """Copy the package into `folder` with the mutant's changes (None: unchanged); return `folder`.

    Raises:
        StaleMutantError: a text to be replaced is not there exactly once.
    """
    copy = folder / PACKAGE.name
    for source in PACKAGE.rglob("*.py"):
        target = copy / source.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for change in () if mutant is None else mutant.changes:
        path = copy / change.file
        text = path.read_text("utf-8")
        found = text.count(change.old)
        if found != 1:
            raise StaleMutantError(
                f"mutant '{mutant and mutant.name}': {change.file} has this text {found} times, "
                f"not once; change the catalogue along with the code:\n{change.old}"
            )
        path.write_text(text.replace(change.old, change.new), "utf-8")
    return folder
