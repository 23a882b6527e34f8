"""A conformance case: a test that says which pages of the documentation it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

ROOT = "https://learn.microsoft.com/"
Case = TypeVar("Case", bound=Callable[..., Any])


def page(*addresses: str) -> Callable[[Case], Case]:
    """Marks a test as a case of the pages, given as in ``kusto/management/extent-tags``."""

    def mark(case: Case) -> Case:
        case.pages = addresses  # type: ignore[attr-defined]
        return case

    return mark
