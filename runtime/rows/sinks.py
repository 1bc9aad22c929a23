"""Where the rows of a run go: to memory, or by way of the disk to a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from runtime.detections import Detections
from runtime.errors import InputError
from runtime.files import remove_leftovers, rescue
from runtime.rows.block import Block, Columns
from runtime.rows.detections import Tally, check_names
from runtime.rows.formats import row_format, sink_path
from runtime.rows.sample import SampleSubmission
from runtime.rows.smoothing import smoothed
from runtime.rows.spool import ChangedError, Finished, Spool


class Sink(Protocol):
    """Takes rows in order."""

    path: Path | None
    """What holds the rows in the end, if they are not in memory."""
    tally: Tally | None
    """What was detected, if detections are what is written."""

    @property
    def blocks(self) -> Sequence[Block]:
        """The rows that are kept in memory."""

    def append(self, block: Block, finished: Finished) -> None:
        """Takes the rows of a part that is finished."""

    def finish(self, rest: Sequence[Block], whole: bool = True) -> None:
        """Takes what is left, and makes a table of all rows. `whole` is whether no later run will go on with it."""

    def close(self, keep: bool | None) -> None:
        """Ends it. `keep` is whether a later run can go on with it; None: if there is anything to go on with."""


class MemorySink:
    """Keeps the rows. `smooth` are the weights of neighbouring windows, if scores are smoothed; `sample` is a sample
    submission, if one says which rows there are."""

    path: Path | None = None
    tally: Tally | None = None

    def __init__(
        self, columns: Columns, smooth: Sequence[float] | None, sample: SampleSubmission | None = None
    ) -> None:
        self._columns, self._smooth, self._sample = columns, smooth, sample
        self._blocks: list[Block] = []

    @property
    def blocks(self) -> Sequence[Block]:
        return self._blocks

    def append(self, block: Block, finished: Finished) -> None:
        self._blocks.append(block)

    def finish(self, rest: Sequence[Block], whole: bool = True) -> None:
        self._blocks = list(_whole([*self._blocks, *rest], self._columns, self._smooth, self._sample))

    def close(self, keep: bool | None) -> None:
        pass


class FileSink:
    """Spools the rows beside their file or folder, and writes that when all are there.

    Args:
        sink: the file or folder; see `run_soundscapes`.
        columns: what rows hold.
        fill: what a CSV holds in rows without a score.
        run: what the rows depend on.
        resume: whether to go on with what an earlier run left; `finished` says what that was.
        names: what the recordings' rows are called.
        detections: what is written instead of all scores.
        smooth: the weights of neighbouring windows, if scores are smoothed. What is spooled is not.
        sample: a sample submission, if one says which rows are written.

    Raises:
        InputError: the target cannot hold these rows, or be written; or there is something else to resume.
    """

    blocks: Sequence[Block] = ()

    def __init__(
        self,
        sink: str | Path,
        columns: Columns,
        fill: float,
        run: Mapping[str, Any],
        resume: bool,
        names: Sequence[str] = (),
        detections: Detections | None = None,
        smooth: Sequence[float] | None = None,
        sample: SampleSubmission | None = None,
    ) -> None:
        target = self._target = sink_path(sink)
        self._columns, self._fill, self._smooth, self._sample = columns, fill, smooth, sample
        self.tally = Tally() if detections is not None else None
        """What was detected."""
        self._spent = False
        self._form = row_format(sink, columns, len(names), detections, self.tally)
        if detections is not None:
            check_names(detections, target, names)
        self.path: Path | None = target
        self._form.check(target)
        self._spool = Spool(target, columns, run, resume)
        remove_leftovers(target)  # the spool is locked: whoever wrote them is gone

    @property
    def finished(self) -> list[tuple[Finished, dict[str, int]]]:
        """What an earlier run finished, in order, and how many rows of each status it had."""
        return self._spool.finished

    def append(self, block: Block, finished: Finished) -> None:
        self._spool.append(block, finished)

    def finish(self, rest: Sequence[Block], whole: bool = True) -> None:
        """Writes the file; where that fails after all, to a temporary folder, so that no row is lost.

        What is not written over by a later run waits until it is `whole`.
        """
        if not (whole or self._form.replaces):
            self.path = self._spool.path
            return
        try:
            self._write_to(self._target, rest)
            self._spent = not self._form.replaces
        except ChangedError:
            raise
        except InputError as error:
            rescued = rescue(self._target.name, lambda path: self._write_to(path, rest))
            where = f"{rescued} instead" if rescued else f"{self._spool.path}: make room, then go on by `--resume`"
            raise InputError(f"{error}; the rows are in {where}") from None

    def _write_to(self, target: Path, rest: Sequence[Block]) -> None:
        blocks = _whole(chain(self._spool.blocks(), rest), self._columns, self._smooth, self._sample)
        self._form.write(blocks, target, self._columns, self._fill)

    def close(self, keep: bool | None) -> None:
        self._spool.close(False if self._spent else keep)


def _whole(
    blocks: Iterable[Block], columns: Columns, smooth: Sequence[float] | None, sample: SampleSubmission | None
) -> Iterable[Block]:
    """The rows as they are written."""
    blocks = smoothed(blocks, columns, smooth)
    return blocks if sample is None else sample.arranged(blocks, columns)
