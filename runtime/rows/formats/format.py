"""What every format can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

from runtime.files import check_writable, replacing
from runtime.rows.block import Block, Columns
from runtime.rows.formats.detection_counts import DetectionCounts


class Format(ABC):
    """How rows are written to a file or folder, which appears complete or not at all."""

    replaces = True
    """Whether writing replaces an earlier run's file."""
    every_row = True
    """Whether all rows are written, in order, with their scores."""
    says_origin = True
    """Whether rows say when and where they were recorded."""
    detected: DetectionCounts | None = None
    """Counts of the detections written, if the format holds detections."""

    @abstractmethod
    def check_columns(self, columns: Columns) -> None:
        """Finds out whether the format can hold such rows.

        Raises:
            InputError: it cannot, or a package is missing that writes it.
        """

    def files(self, target: Path, names: Iterable[str]) -> list[Path]:
        """The files that are written for recordings whose rows have these names."""
        return [target]

    def check_target(self, target: Path, names: Sequence[str]) -> None:
        """Finds out before the work whether `target` could be written after it.

        Raises:
            InputError: it is something else than this format writes, or cannot be for these recordings.
            OutputError: the system does not allow it.
        """
        check_writable(target)

    @abstractmethod
    def write(self, blocks: Iterable[Block], target: Path, columns: Columns, fill: float) -> None:
        """Writes rows, which can be iterated over more than once. `fill` is what a CSV holds in rows without a score.

        Raises:
            InputError: `target` is something else than this format writes.
            OutputError: the system does not allow it.
        """


class FileFormat(Format):
    """A format that is one file."""

    def write(self, blocks: Iterable[Block], target: Path, columns: Columns, fill: float) -> None:
        with replacing(target) as temporary:
            self.write_file(blocks, temporary, columns, fill)

    @abstractmethod
    def write_file(self, blocks: Iterable[Block], path: Path, columns: Columns, fill: float) -> None:
        """Writes the file, in place."""
