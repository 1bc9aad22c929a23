"""What became of a part of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Read:
    """It was read to its end; `notes` are what a user should still know about it."""

    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Failed:
    """It could not be read, or not to its end."""

    reason: str
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class NotReached:
    """The run ended before it was read to its end."""


@dataclass(frozen=True)
class PassedOver:
    """The run ended before any of its recording was read, and the rows to write are a sample submission's."""


Outcome = Read | Failed | NotReached | PassedOver


def outcome_of(failure: str | None, notes: Sequence[str]) -> Read | Failed:
    """The outcome of a part that a worker is done with."""
    return Read(notes) if failure is None else Failed(failure, notes)
