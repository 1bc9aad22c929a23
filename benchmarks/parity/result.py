"""The whole comparison: from the arguments to a verdict on each file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks import SOUNDSCAPE_WINDOWS
from benchmarks.measuring.audio import soundscapes
from benchmarks.parity.measurement import FileMeasurement, ModelMeasurement, measure
from benchmarks.parity.quality import Quality, compare_quality
from benchmarks.parity.summary import WorstWindow, worst_windows
from benchmarks.parity.verdict import Finding, findings, notes
from benchmarks.parity.windows import choose, read
from convert.proof.audio import SYNTHETIC
from convert.source.saved_model import inspect
from runtime.audio.paths import find_recordings
from runtime.errors import InputError
from runtime.explore.label_files import Labels, choose_list, read_labels
from runtime.model import cuda
from runtime.model.artifact import read_artifact
from runtime.model.identity import untrue
from runtime.model.session import choose_device


@dataclass(frozen=True)
class FileResult:
    """The verdict on a file: what is wrong with it, notes, and with labels how well both models find the species."""

    measured: FileMeasurement
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    quality: tuple[Quality, ...]
    worst: tuple[WorstWindow, ...]


@dataclass(frozen=True)
class ParityResult:
    """The results of all files, the samples of their worst windows by row id, and how many windows were unreadable."""

    measurement: ModelMeasurement
    files: tuple[FileResult, ...]
    samples: dict[str, NDArray[np.float32]]
    audio: str
    unread: int

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong with any file."""
        return not any(each.findings for each in self.files)


def compare(
    saved_model: Path,
    paths: Sequence[Path],
    audio: Path | None,
    label_file: Path | None,
    count: int,
    batch_sizes: Sequence[int],
    device: str,
) -> ParityResult:
    """Compares converted files with their SavedModel on `count` windows.

    Raises:
        PerchError: an argument cannot be used.
    """
    tf.get_logger().setLevel("ERROR")
    if label_file is not None and audio is None:
        raise InputError(f"{label_file} needs the recordings that it labels; name their folder with --audio")
    labels = read_labels(label_file) if label_file is not None else None
    devices = _devices(device)
    for path in paths:  # before the work that takes long
        artifact = read_artifact(path)
        if labels is not None:
            choose_list(labels, artifact.head("label"))
    source = inspect(saved_model)
    if source.cannot_run:
        raise InputError(f"{saved_model} cannot be compared with: {source.cannot_run}")
    with soundscapes(audio, -(-count // SOUNDSCAPE_WINDOWS)) as made:
        windows = choose(find_recordings(made if audio is None else audio), count, labels)
        measurement = measure(source, paths, windows, devices, batch_sizes)
        described = SYNTHETIC if audio is None else f"recordings of {audio}"
        results = tuple(_file_result(measurement, measured, labels, described) for measured in measurement.files)
        shown = {worst.window for each in results for worst in each.worst}
        shown_again = read([window for window in measurement.windows if window in shown])
        samples = {window.row_id: values for window, values in shown_again}
    return ParityResult(measurement, results, samples, described, len(windows) - len(measurement.windows))


def _devices(device: str) -> tuple[str, ...]:
    """The devices to compare on; "auto" is the CPU, and a GPU if there is a usable one."""
    chosen = choose_device(device)
    if device != "auto" or chosen == "cpu":
        return (chosen,)
    return ("cpu", chosen) if cuda.problem(chosen) is None else ("cpu",)


def _file_result(
    measurement: ModelMeasurement, measured: FileMeasurement, labels: Labels | None, audio: str
) -> FileResult:
    return FileResult(
        measured,
        tuple(findings(measured, measurement.source, measurement.windows, audio)),
        (*notes(measured, measurement.source), *_changed(measured)),
        tuple(_quality(measurement, measured, labels)) if labels is not None else (),
        tuple(worst_windows(measurement, measured, audio)),
    )


def _changed(measured: FileMeasurement) -> list[str]:
    problem = untrue(measured.path, measured.artifact)
    return [] if problem is None else [problem]


def _quality(measurement: ModelMeasurement, measured: FileMeasurement, labels: Labels) -> list[Quality]:
    """How well both models find the classes that the file has."""
    columns = measured.columns.get("label")
    if measured.logits is None or columns is None or columns.index is None:
        return []
    names = choose_list(labels, measured.artifact.heads["label"]).names
    truth, rows, _ = labels.truth([window.row_id for window in measurement.windows], names)
    recordings = [str(measurement.windows[i].path) for i in rows]
    expected = measurement.logits[np.ix_(rows, columns.index)]
    return compare_quality(expected, measured.logits[rows], truth, recordings)
