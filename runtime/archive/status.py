"""How far an archive's work is, read from its dataset alone."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.archive.folder import open_folder
from runtime.archive.ledger import Ledger, read_ledger
from runtime.archive.manifest import NAME, read_manifest
from runtime.archive.part import FAILURE, OK
from runtime.archive.summary import strangers
from runtime.errors import InputError, counted

ACTIVE_S = 600.0
"""A host whose last unit was done longer ago does not count for the time to the end."""
NUMBERS = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True)
class Host:
    """What one machine did: how many windows it scored, how fast while it worked, and when it did its last unit, in
    seconds since 1970."""

    name: str
    windows: int
    windows_per_s: float
    last: float


@dataclass(frozen=True, kw_only=True)
class ArchiveStatus:
    """How far an archive's work is."""

    path: str
    """The dataset."""
    units: int
    """How many units there are."""
    ok: int
    """How many are done."""
    failed: int
    """How many failed."""
    reasons: Counter[str] = field(default_factory=Counter)
    """How many units failed for each reason; figures in a reason are left out."""
    rows: int = 0
    """How many rows are committed."""
    windows: int = 0
    """How many of them have scores."""
    repeats: int = 0
    """How often a unit was done that was done already, by two runs at once. A merge takes one."""
    strangers: int = 0
    """How many units are of recordings that changed or are gone. A merge leaves them out."""
    hosts: Sequence[Host] = ()
    """The machines that worked on it."""
    left_s: float | None = None
    """Seconds to the end, at the speed of the machines that did a unit in the last 10 minutes; None if none did."""

    @property
    def left(self) -> int:
        """How many units are not done."""
        return self.units - self.ok - self.failed

    def summary(self) -> str:
        """The same as text, a few lines."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        done, units = self.ok + self.failed, counted(self.units, "unit")
        yield f"{done:,} of {units} done ({done / max(1, self.units):.1%}), {self.failed:,} of them failed"
        yield f"{counted(self.rows, 'row')}, {self.windows:,} of them scored"
        for reason, count in self.reasons.most_common():
            yield f"failed: {counted(count, 'unit')}: {reason}"
        if self.repeats:
            yield f"{counted(self.repeats, 'unit')} done twice, by two runs at once; a merge takes one"
        if self.strangers:
            yield strangers(self.strangers)
        for host in self.hosts:
            windows, ago = counted(host.windows, "window"), span(time.time() - host.last)
            yield f"{host.name}: {windows}, {host.windows_per_s:.1f} a second; last one {ago} ago"
        if not self.left:
            yield "complete" if not self.failed else "complete; --retry-failed tries the failed ones again"
        elif self.left_s is None:
            yield f"{counted(self.left, 'unit')} left; none was done in the last 10 minutes"
        else:
            yield f"{counted(self.left, 'unit')} left; at this speed {span(self.left_s)} to go"


def span(seconds: float) -> str:
    """A length of time, to two figures or so."""
    for unit, size in (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(0.0, seconds):.0f} seconds"


def archive_status(out: str | Path) -> ArchiveStatus:
    """How far an archive's work is. It may be going on meanwhile, anywhere.

    Args:
        out: the dataset that `run_archive` fills.

    Returns:
        How many units are done, failed and left, and how fast each machine is.

    Raises:
        InputError: there is no dataset, or it is damaged.
    """
    folder = open_folder(out)
    if (manifest := read_manifest(folder)) is None:
        raise InputError(f"{folder} is no dataset: it has no {NAME}")
    ledger = read_ledger(folder, manifest)
    hosts = _hosts(ledger)
    work = float(manifest.work[~manifest.among(ledger.ids())].sum())
    speed = sum(host.windows_per_s for host in hosts if time.time() - host.last < ACTIVE_S)
    reasons = ledger.of_state(FAILURE)["reason"].to_pylist()
    return ArchiveStatus(
        path=str(folder),
        units=len(manifest),
        ok=len(ledger.ids(OK)),
        failed=len(reasons),
        reasons=Counter(NUMBERS.sub("…", reason) for reason in reasons),
        rows=int(ledger.table["rows"].to_numpy().sum()),
        windows=int(ledger.table["scored"].to_numpy().sum()),
        repeats=ledger.repeats,
        strangers=ledger.strangers,
        hosts=hosts,
        left_s=work / speed if speed else None,
    )


def _hosts(ledger: Ledger) -> list[Host]:
    """The machines, by their names."""
    names = np.array(ledger.table["host"].to_pylist(), object)
    finished, seconds, scored = (ledger.table[name].to_numpy() for name in ("finished", "seconds", "scored"))
    hosts = []
    for name in sorted(set(names.tolist())):
        own = names == name
        busy_s = _covered(finished[own] - seconds[own], finished[own])
        windows = int(scored[own].sum())
        hosts.append(Host(name, windows, windows / max(busy_s, 1e-9), float(finished[own].max())))
    return hosts


def _covered(starts: NDArray[np.float64], ends: NDArray[np.float64]) -> float:
    """How much time these spans cover together."""
    order = np.argsort(starts)
    starts, latest = starts[order], np.maximum.accumulate(ends[order])
    before = np.concatenate([starts[:1], latest[:-1]])
    return float(np.maximum(0, latest - np.maximum(starts, before)).sum())
