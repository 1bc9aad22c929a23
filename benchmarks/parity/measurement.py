"""Runs TensorFlow and the converted files on the same windows: every device and batch size, a few windows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.baseline.float64 import SPECTROGRAMS, SpectrogramErrors, errors_against
from benchmarks.parity.columns import ColumnMatch, match_columns
from benchmarks.parity.comparison import HeadComparison, HeadDifferences
from benchmarks.parity.windows import WindowRef, read_chunks
from convert import SAMPLE_RATE, WINDOW_SAMPLES
from convert.errors import ConversionError
from convert.proof.float64 import in_float64
from convert.source.reference import Reference
from convert.source.saved_model import SavedModel
from runtime.console.progress import progress_bar
from runtime.errors import InputError, first_line
from runtime.model.artifact import Artifact
from runtime.model.session import Session

FLOAT64_WINDOWS = 4
"""How many windows the spectrogram is computed for in float64."""
CHUNK = 12
"""Windows read at a time, unless the greatest batch has more."""
Outputs = dict[str, NDArray[np.float32]]


class Setting(NamedTuple):
    """The device and batch size that a file is run with."""

    device: str
    batch_size: int

    def __str__(self) -> str:
        return f"{self.device}, batch {self.batch_size}"


@dataclass
class FileMeasurement:
    """A converted file compared with its SavedModel.

    `compared` holds the heads by setting, `failures` why the file could not be run in a setting. `logits` are those of
    the first setting, `float32 [windows, classes]`, or None without an output `label`. `rounding` is None if there is
    no spectrogram, or if it cannot be computed in float64 for the reason in `not_rounded`.
    """

    path: Path
    artifact: Artifact
    columns: dict[str, ColumnMatch]
    compared: dict[Setting, dict[str, HeadDifferences]] = field(default_factory=dict)
    failures: dict[Setting, str] = field(default_factory=dict)
    logits: NDArray[np.float32] | None = None
    rounding: SpectrogramErrors | None = None
    not_rounded: str | None = None

    @property
    def heads(self) -> list[str]:
        """The outputs that can be compared."""
        return [name for name, columns in self.columns.items() if columns.index is not None]


@dataclass(frozen=True)
class ModelMeasurement:
    """All files compared with their SavedModel, the windows they were compared on, and TensorFlow's logits of these."""

    source: SavedModel
    files: tuple[FileMeasurement, ...]
    windows: tuple[WindowRef, ...]
    logits: NDArray[np.float32]


def measure(
    source: SavedModel,
    paths: Sequence[Path],
    windows: Sequence[WindowRef],
    devices: Sequence[str],
    batch_sizes: Sequence[int],
) -> ModelMeasurement:
    """Compares files with the SavedModel.

    Raises:
        InputError: none of the windows can be read, or a file takes another sample rate or window length.
        ArtifactError, DeviceError: a file cannot be loaded.
    """
    runs = [_FileRun(source, path, devices, batch_sizes) for path in paths]
    reference = Reference(source)
    read: list[WindowRef] = []
    logits: list[NDArray[np.float32]] = []
    with progress_bar(len(windows), desc="TensorFlow compiles", unit="window") as bar:
        for chunk, samples in read_chunks(windows, max(CHUNK, *batch_sizes)):
            expected = reference(samples)
            bar.set_description("windows")
            for run in runs:
                run.add(samples, expected)
            if not read:
                _check_rounding(source, runs, samples[:FLOAT64_WINDOWS], expected)
            read += chunk
            logits.append(expected["label"])
            bar.update(len(chunk))
    if not read:
        raise InputError(f"none of the windows can be read, such as the first of {windows[0].path}")
    return ModelMeasurement(source, tuple(run.measured() for run in runs), tuple(read), np.concatenate(logits))


def _check_rounding(
    source: SavedModel, runs: Sequence[_FileRun], samples: NDArray[np.float32], expected: Outputs
) -> None:
    """Compares the spectrogram of some windows with float64, for the files that have it."""
    name = next((name for name in SPECTROGRAMS if any(name in run.file.heads for run in runs)), None)
    if name is None:
        return
    asked = [run for run in runs if name in run.file.heads and not run.file.failures]
    try:
        exact = in_float64(source, [name], samples)[name]
    except ConversionError as error:
        for run in asked:
            run.file.not_rounded = str(error)
        return
    for run in asked:
        run.file.rounding = errors_against(name, exact, run.session, expected[name][: len(samples)], samples)


class _FileRun:
    """A file during the comparison: its sessions, and their results so far."""

    def __init__(self, source: SavedModel, path: Path, devices: Sequence[str], batch_sizes: Sequence[int]) -> None:
        self._sessions = {device: Session(path, device) for device in devices}
        self.session = self._sessions[devices[0]]
        artifact = self.session.artifact
        if (artifact.sample_rate, artifact.window_samples) != (SAMPLE_RATE, WINDOW_SAMPLES):
            raise InputError(f"{path} takes other windows than a Perch model; convert it again")
        shapes = {output.name: output.shape for output in source.outputs}
        columns = {
            head.name: match_columns(head, shapes[head.name], source.class_lists.get(head.name, ()))
            if head.name in shapes
            else ColumnMatch(None, ("the SavedModel has no such output",))
            for head in artifact.heads.values()
            if head.own is None
        }
        self.file = FileMeasurement(path, artifact, columns)
        sizes = batch_sizes if artifact.free_batch else (1,)
        settings = [Setting(device, size) for device in devices for size in sizes]
        self._comparisons = {
            setting: {name: HeadComparison(bool(artifact.heads[name].classes)) for name in self.file.heads}
            for setting in settings
        }
        self._logits: list[NDArray[np.float32]] = []

    def add(self, samples: NDArray[np.float32], expected: Outputs) -> None:
        for setting, comparisons in self._comparisons.items():
            if not comparisons or setting in self.file.failures:
                continue
            try:
                actual = self._sessions[setting.device].run(samples, list(comparisons), setting.batch_size)
            except Exception as error:  # onnxruntime has a class for each status
                self.file.failures[setting] = first_line(error)
                continue
            for name, comparison in comparisons.items():
                index = self.file.columns[name].index
                comparison.add(expected[name][..., index], actual[name])
            if setting == next(iter(self._comparisons)) and "label" in actual:
                self._logits.append(actual["label"])

    def measured(self) -> FileMeasurement:
        file = self.file
        for setting, comparisons in self._comparisons.items():
            if setting not in file.failures:
                file.compared[setting] = {name: comparison.result() for name, comparison in comparisons.items()}
        if self._logits and next(iter(self._comparisons)) not in file.failures:
            file.logits = np.concatenate(self._logits)
        return file
