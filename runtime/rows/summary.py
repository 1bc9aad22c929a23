"""What a run did, apart from its rows: how many of each kind there are, what went wrong, how fast it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from runtime.classes.class_map import ClassMap
from runtime.errors import counted
from runtime.model.heads import LABEL
from runtime.remote import Location
from runtime.rows.block import Status
from runtime.rows.timing import Timing


@dataclass(frozen=True)
class Failure:
    """A recording that could not be read, or not to its end."""

    path: Location
    """The recording."""
    reason: str
    """Why it could not be read, as a phrase that follows its path."""


@dataclass(frozen=True)
class Note:
    """Something to know about a recording that was scored nevertheless."""

    path: Location
    """The recording."""
    text: str
    """What there is to know, as a phrase that follows its path."""


@dataclass(eq=False, repr=False, kw_only=True)
class RunSummary:
    """What a run did, apart from its rows."""

    timing: Timing
    """How long the run took, and how fast it was."""
    counts: Mapping[str, int] = field(default_factory=Counter)
    """How many rows have each status."""
    failures: list[Failure] = field(default_factory=list)
    """Recordings that could not be read, or not to their end."""
    notes: list[Note] = field(default_factory=list)
    """What is odd about recordings that were scored nevertheless, such as a header that was never finished."""
    recordings: int = 0
    """How many recordings were found."""
    class_maps: Mapping[str, ClassMap] = field(default_factory=dict)
    """Which of a model's columns stand for the wanted classes, for each output `label`."""
    blended: str = ""
    """What the summary says of the blend of several models."""
    namespaces: Mapping[str, str] = field(default_factory=dict)
    """The class list in which wanted classes were looked up first, where that is not the model's first."""
    without_events: int = 0
    """How many recordings have no events, and so no rows, if windows are taken around events."""
    not_reached: int = 0
    """How many recordings were not scored to their end in time, and lack rows, if windows are taken around events or at
    some times of the day."""
    skipped_files: int = 0
    """How many files were skipped because they are not recordings."""
    unread_folders: Sequence[str] = ()
    """Folders that could not be read, and may hold recordings."""
    passed_over: Sequence[str] = ()
    """Lines about what was skipped: files that are not recordings, hidden folders and so on."""
    timeless: int = 0
    """How many recordings have no known start."""
    siteless: int = 0
    """How many recordings have no known site, if sites were asked for."""
    unknown: Sequence[str] = ()
    """What the summary says about unknown times and sites."""
    lacking: int = 0
    """How many of the "filled" rows are a sample submission's rows that no recording has."""
    dropped: int = 0
    """How many rows were dropped because the sample submission does not have them."""
    of_sample: Sequence[str] = ()
    """What the summary says about the rows of a sample submission."""
    detections: int | None = None
    """How many detections, or events of merged ones, were written, if they were asked for."""
    detected: str = ""
    """What the summary says about detections."""
    ill_conditioned: str | None = None
    """What rounding does to the model's outputs, where that is more than usual."""
    fill: float = -1000.0
    """What a CSV holds in rows without a score."""
    sink: Path | None = None
    """The file that holds the rows, if they are not in memory."""
    reads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The files that the run read, by what they are: none of them is written over."""

    @property
    def class_map(self) -> ClassMap | None:
        """Which of the model's columns stand for the wanted classes; of several models, of the first."""
        return next(iter(self.class_maps.values()), None)

    @property
    def namespace(self) -> str | None:
        """The class list in which wanted classes were looked up first, if that is not the model's first; of several
        models, of the first for which that is so."""
        return next(iter(self.namespaces.values()), None)

    def __len__(self) -> int:
        """How many rows there are."""
        return sum(self.counts.values())

    def count(self, status: Status) -> int:
        """How many rows have this status."""
        return self.counts.get(status, 0)

    def summary(self) -> str:
        """What the run did, in a few lines."""
        lines = [self.detected] if self.detected else []
        lines += [self._counted(), *self._speed()]
        if not self.recordings:
            lines = [f"no recordings were found; without scores: {counted(len(self), 'row')} of the sample submission"]
        elif left := self.count("filled") - self.lacking:
            lines.append(f"not reached in time and filled, in a CSV by {self.fill:g}: {counted(left, 'row')}")
        return "\n".join([*lines, *self.of_sample, *self._remarks(), *self.unknown, *self.passed_over])

    def _counted(self) -> str:
        always = ("scored", "filled", "failed")
        statuses = [f"{self.count(each):,} {each}" for each in get_args(Status) if each in always or self.count(each)]
        return f"{counted(len(self), 'window' if self.detected else 'row')} ({', '.join(statuses)})"

    def _speed(self) -> Iterator[str]:
        timing = self.timing
        where = f"{timing.device} in TF32" if timing.tf32 else timing.device
        yield (
            f"{timing.elapsed_s:.1f} s on {where}, {timing.start_up_s:.1f} s of it start-up; then "
            f"{timing.windows_per_s:.1f} windows/s, {timing.times_real_time:.0f} times real time"
        )
        if timing.windows != timing.rows:
            yield f"{counted(timing.windows, 'window')} for {counted(timing.rows, 'row')}"
        yield (f"workers {timing.workers}, threads {timing.threads}, batch {timing.batch_size}: {timing.setup}")

    def _remarks(self) -> Iterator[str]:
        if self.count("interpolated"):
            share = self.count("scored") / len(self)
            yield f"{share:.0%} of the rows were measured; interpolated ones are means of their neighbours"
        for output, namespace in self.namespaces.items():
            yield f"classes{_of(output)} were looked up first in the model's list {namespace}"
        yield from class_lines(self.class_maps)
        if self.blended:
            yield f"label: {self.blended}"
        recordings = counted(self.recordings, "recording")
        if self.without_events:
            yield f"without events, so without rows: {self.without_events:,} of {recordings}"
        if self.not_reached:
            yield f"not scored in time: {self.not_reached:,} of {recordings}"
        if self.failures:
            yield f"could not be read completely: {len(self.failures):,} of {recordings}"
        if self.notes:
            yield f"scored, but check them: {counted(len({note.path for note in self.notes}), 'recording')}"
        if self.ill_conditioned is not None:
            yield f"the model is {self.ill_conditioned}"


def class_lines(class_maps: Mapping[str, ClassMap]) -> list[str]:
    """What a summary says of the wanted classes, a line for each output `label`."""
    return [f"classes{_of(output)}: {class_map.summary()}" for output, class_map in class_maps.items()]


def _of(output: str) -> str:
    return "" if output == LABEL else f" of {output}"
