"""Deadlines in tests: they come when something has happened, however fast the machine is."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

import runtime.run
import runtime.workers.headers
from runtime.rows.deadline import Deadline
from runtime.rows.table import Table

LONG = {"deadline_s": 3600.0}
"""Options of a run that `ends_when` shall end."""


def ends_when(patch: pytest.MonkeyPatch, over: Callable[[Table], bool]) -> None:
    """Runs with a deadline score until `over` holds for their table; then the deadline has come."""
    tables: list[Table] = []
    begin = Table.__init__

    def begun(self: Table, *arguments: object, **options: object) -> None:
        begin(self, *arguments, **options)  # type: ignore[arg-type]
        tables.append(self)

    def scoring_ends(self: Deadline, columns: object, work: object) -> float:
        return -math.inf if over(tables[-1]) else math.inf

    patch.setattr(Table, "__init__", begun)
    patch.setattr(Deadline, "scoring_ends", scoring_ends)
    for module, name in ((runtime.run, "MOST_HEADERS_S"), (runtime.workers.headers, "MOST_S")):
        patch.setattr(module, name, 3600.0)


def windows_came(table: Table) -> int:
    """How many windows were scored or failed so far."""
    waiting = (rows for received in table._received.values() for part in received.rows.values() for rows in part)
    return sum(len(rows.indices) for rows in waiting) + sum(table.report.counts.values())
