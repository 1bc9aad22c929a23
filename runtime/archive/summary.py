"""What a run on an archive did, and how far the archive is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from runtime.archive.part import OK, UnitStatus
from runtime.archive.unit import Shard
from runtime.errors import counted
from runtime.remote import located
from runtime.rows.summary import Failure, Note

MOST_LISTED = 1_000
"""The most failures, and the most notes, that are kept."""


@dataclass(kw_only=True)
class ArchiveSummary:
    """What a run on an archive did."""

    path: str
    """The dataset."""
    units: int
    """How many units the archive has."""
    shard: Shard | None = None
    """The share that this run had; None for all units."""
    share: int = 0
    """How many units are this run's."""
    before: int = 0
    """How many of them were done before."""
    ok: int = 0
    """How many this run did without a failure."""
    failed: int = 0
    """How many failed."""
    rows: int = 0
    """How many rows this run wrote."""
    windows: int = 0
    """How many windows it scored; with `pool` or `shifts`, how many rows."""
    elapsed_s: float = 0.0
    """Seconds from the call to the result."""
    windows_per_s: float = 0.0
    """Windows a second, after start-up; with `pool` or `shifts`, rows."""
    several: bool = False
    """Whether several windows make a row."""
    failures: list[Failure] = field(default_factory=list)
    """Units that failed, by their recordings; the first thousand."""
    notes: list[Note] = field(default_factory=list)
    """What is odd about recordings that were scored nevertheless; the first thousand."""
    timeless: int = 0
    """How many recordings that this run began have no known start."""
    failed_before: int = 0
    """How many of this run's units failed in an earlier run, and were not tried again."""
    changed: Sequence[str] = ()
    """Recordings that changed after rows of them were written. Their rows are those of before."""
    unread_folders: Sequence[str] = ()
    """Folders that could not be read, and may hold recordings."""
    passed_over: Sequence[str] = ()
    """Lines about what was skipped: files that are not recordings, hidden folders and so on."""
    setup: str = ""
    """With what it ran."""
    remarks: Sequence[str] = ()
    """Lines about the classes and the model."""
    interrupted: bool = False

    @property
    def left(self) -> int:
        """How many of this run's units are not done."""
        return self.share - self.before - self.ok - self.failed

    def add(self, status: UnitStatus) -> None:
        """Takes account of a unit."""
        self.ok += status.state == OK
        self.failed += status.state != OK
        self.rows, self.windows = self.rows + status.rows, self.windows + status.scored
        self.timeless += status.part == 0 and status.began is None
        if status.reason is not None and len(self.failures) < MOST_LISTED:
            self.failures.append(Failure(located(status.path), status.reason))
        if len(self.notes) < MOST_LISTED:
            self.notes += [Note(located(status.path), note) for note in status.notes]

    def summary(self) -> str:
        """What the run did, in a few lines."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        share = f" (shard {self.shard} of {self.units:,}, {self.shard.source})" if self.shard is not None else ""
        yield (
            f"{self.ok + self.failed + self.before:,} of {counted(self.share, 'unit')} done{share}: {self.ok:,} now, "
            f"{self.failed:,} failed, {self.before:,} before"
        )
        if self.ok or self.failed:
            rows, each = counted(self.rows, "row"), "rows" if self.several else "windows"
            yield f"{rows} in {self.elapsed_s:.1f} s; {self.windows_per_s:.1f} {each}/s, {self.setup}"
        if self.timeless:
            unknown = counted(self.timeless, "recording")
            yield f"recorded_at is unknown in {unknown} of this run: neither the file nor its name says it"
        if self.left:
            yield f"{counted(self.left, 'unit')} left; the same command goes on"
        if self.failed_before:
            yield f"{counted(self.failed_before, 'unit')} failed before; --retry-failed (retry_failed=True) tries again"
        if self.changed:
            changed = counted(len(self.changed), "recording")
            yield f"{changed} changed since, such as {self.changed[0]}; --retry-failed does them again"
        yield from self.remarks
        yield from self.passed_over


def combined(failures: Iterable[Failure]) -> list[Failure]:
    """Failures, each once: parts of one recording often fail for one reason."""
    return [Failure(path, reason) for path, reason in dict.fromkeys((each.path, each.reason) for each in failures)]


def strangers(count: int) -> str:
    """What to say of so many units that are done and are in no manifest."""
    return f"{counted(count, 'unit')} in rows/ of recordings that changed or are gone; a merge leaves them out"
