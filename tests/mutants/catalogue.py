"""Mutants: the sink with one guard removed or one step swapped, each a mistake someone could make.

A mutant is data. `rule` says what is broken, and where it is promised (docs/guarantee.md). Where
two guards stand one behind the other, a mutant removes both, and `rule` says so: with one of them
nothing could go wrong, and there would be nothing to catch.
"""

from __future__ import annotations

from tests.mutants.of_closing import CLOSING
from tests.mutants.of_evidence import EVIDENCE
from tests.mutants.of_groups import GROUPS
from tests.mutants.of_order import ORDER
from tests.mutants.of_starts import DOOR
from tests.mutants.of_state import STATE

MUTANTS = (*EVIDENCE, *ORDER, *CLOSING, *STATE, *DOOR, *GROUPS)
