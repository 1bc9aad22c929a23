"""Where the rows of a run go: to memory, or by way of the disk to a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from runtime.errors import InputError, OutputError
from runtime.files import remove_leftovers, rescue
from runtime.rows.block import Block, Columns
from runtime.rows.finished import Finished
from runtime.rows.formats.detection_counts import DetectionCounts
from runtime.rows.formats.format import Format
from runtime.rows.postprocessing import Postprocessing
from runtime.rows.sample import SampleSubmission
from runtime.rows.spool import ChangedError, Spool


class Sink(Protocol):
    """Takes rows in order."""

    path: Path | None
    """The file or folder that holds the rows in the end; None if they are in memory."""
    detected: DetectionCounts | None
    """Counts of the detections written, if the sink holds detections."""
    columns: Columns
    """What the rows hold in the end."""

    @property
    def blocks(self) -> list[Block]:
        """The rows that are kept in memory."""

    def append(self, block: Block, finished: Finished) -> None:
        """Takes the rows of a part of a recording that is finished."""

    def finish(self, rest: Sequence[Block], complete: bool = True) -> None:
        """Takes the remaining rows, and makes a table of all. It is `complete` if no later run will resume it."""

    def close(self, keep: bool | None) -> None:
        """Closes the sink. `keep` is whether a later run can resume it; None: if it holds anything to resume."""


class MemorySink:
    """Keeps the rows.

    Args:
        postprocessing: what becomes of scores in the end.
        sample: a sample submission, if one says which rows there are.
    """

    path: Path | None = None
    detected: DetectionCounts | None = None

    def __init__(self, postprocessing: Postprocessing, sample: SampleSubmission | None = None) -> None:
        self._postprocessing, self._sample = replace(postprocessing, in_memory=True), sample
        self.columns = postprocessing.written
        self._blocks: list[Block] = []

    @property
    def blocks(self) -> list[Block]:
        return self._blocks

    def append(self, block: Block, finished: Finished) -> None:
        self._blocks.append(block)

    def finish(self, rest: Sequence[Block], complete: bool = True) -> None:
        finished = [*self._blocks, *rest]
        self._blocks = list(FinalRows(lambda: finished, self._postprocessing, self._sample))

    def close(self, keep: bool | None) -> None:
        pass


@dataclass(frozen=True)
class Target:
    """The file or folder that rows are written to.

    Args:
        path: where it is.
        format: how it is written.
        columns: what rows hold.
        fill: what a CSV holds in rows without a score.
        names: what the rows of each recording are called.

    Raises:
        InputError: the format cannot hold these rows, or `path` is something else.
        OutputError: it cannot be written.
    """

    path: Path
    format: Format
    columns: Columns
    fill: float
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.format.check_columns(self.columns)
        self.format.check_target(self.path, self.names)

    def write(self, rows: Iterable[Block], otherwise: str) -> None:
        """Writes the rows; where that fails, to a temporary folder. If that fails too the rows are `otherwise`.

        Raises:
            OutputError: it cannot be written; the message says where the rows are.
        """
        try:
            self.format.write(rows, self.path, self.columns, self.fill)
        except ChangedError:
            raise
        except (InputError, OutputError) as error:
            rescued = rescue(self.path.name, lambda path: self.format.write(rows, path, self.columns, self.fill))
            where = f"in {rescued} instead" if rescued else otherwise
            raise OutputError(f"{error}; the rows are {where}") from None


class LateFileSink(MemorySink):
    """Keeps the rows, and writes their file at the end: there is no spool, and nothing to resume.

    Args:
        target: the file.
        postprocessing, sample: see `MemorySink`.
    """

    def __init__(self, target: Target, postprocessing: Postprocessing, sample: SampleSubmission | None) -> None:
        super().__init__(postprocessing, sample)
        self._target, self.detected = target, target.format.detected

    def finish(self, rest: Sequence[Block], complete: bool = True) -> None:
        super().finish(rest)
        self._target.write(self._blocks, "lost")
        self.path, self._blocks = self._target.path, []


class FileSink:
    """Spools the rows beside their file or folder, and writes that when all are there.

    Args:
        target: the file or folder.
        run: what the rows depend on.
        resume: whether to go on with the rows of an earlier run, which `finished` lists.
        postprocessing: what becomes of scores in the end. They are spooled as they were. None: nothing.
        sample: a sample submission, if one says which rows are written.

    Raises:
        InputError: it is another run that was interrupted.
        OutputError: `target` cannot be written.
    """

    def __init__(
        self,
        target: Target,
        run: Mapping[str, Any],
        resume: bool,
        postprocessing: Postprocessing | None = None,
        sample: SampleSubmission | None = None,
    ) -> None:
        self.path: Path | None = target.path
        self.detected = target.format.detected
        self.blocks: list[Block] = []
        self._target, self._sample, self.columns = target, sample, target.columns
        self._postprocessing = postprocessing or Postprocessing(target.columns)
        self._spool_is_needed = True
        self._spool = Spool(target.path, self._postprocessing.columns, run, resume)
        remove_leftovers(target.path)  # the spool is locked: the runs that left them are gone

    @property
    def finished(self) -> list[tuple[Finished, dict[str, int]]]:
        """What an earlier run finished, in order, and how many rows of each status it had."""
        return self._spool.finished

    def append(self, block: Block, finished: Finished) -> None:
        self._spool.append(block, finished)

    def finish(self, rest: Sequence[Block], complete: bool = True) -> None:
        """Writes the file; where that fails, to a temporary folder, so that no row is lost.

        A target that a later run could not replace is written only if the table is `complete`.
        """
        if not (complete or self._target.format.replaces):
            self.path = self._spool.path
            return
        rows = FinalRows(lambda: chain(self._spool.blocks(), rest), self._postprocessing, self._sample)
        self._target.write(rows, f"in {self._spool.path}: make room, then go on by `--resume`")
        self._spool_is_needed = self._target.format.replaces

    def close(self, keep: bool | None) -> None:
        self._spool.close(keep if self._spool_is_needed else False)


class FinalRows:
    """The rows as they are written: finished, and in a sample submission's order. They can be iterated over again.

    Args:
        read: reads the rows that workers scored.
        postprocessing: what becomes of their scores.
        sample: a sample submission, if one says which rows are written.
    """

    def __init__(
        self, read: Callable[[], Iterable[Block]], postprocessing: Postprocessing, sample: SampleSubmission | None
    ) -> None:
        self._read, self._columns, self._sample = postprocessing.rows(read), postprocessing.written, sample

    def __iter__(self) -> Iterator[Block]:
        rows = self._read()
        return iter(rows if self._sample is None else self._sample.arranged(rows, self._columns))
