"""The sides: perch-onnx, and TensorFlow called as a notebook calls it, each from sound files to a submission."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks import SOUNDSCAPE_WINDOWS
from benchmarks.baseline import notebook
from convert import WINDOW_SAMPLES
from convert.source.saved_model import SavedModel, inspect
from runtime import Soundscapes, run_soundscapes
from runtime.classes.class_map import ClassMap, Match, map_classes
from runtime.classes.wanted import WantedClasses, read_classes
from runtime.errors import InputError, PerchError
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.heads import Head

ONNX, PUBLISHED, WITHOUT_XLA = "perch-onnx", "TensorFlow as published", "TensorFlow without XLA"


class Contestant(Protocol):
    """One side of the comparison; its start-up is timed apart from the soundscapes."""

    @property
    def start_up_s(self) -> float:
        """Seconds that every run takes once."""

    def seconds(self, paths: Sequence[Path]) -> float:
        """Seconds from these files to a submission, without start-up."""


@dataclass
class PerchOnnx:
    """`run_soundscapes` on the CPU, which writes a submission into the folder `scratch`.

    `classes` are names, not a sample submission, whose rows would replace those of the soundscapes scored.
    """

    artifact: Path
    classes: Sequence[str] | None
    scratch: Path
    start_ups: list[float] = field(default_factory=list)

    def run(self, paths: Sequence[Path], **options: Any) -> Soundscapes:
        """A full run, start-up and writing included, unless `options` say otherwise.

        Raises:
            PerchError: it cannot be run, or a soundscape cannot be read.
        """
        target = self.scratch / "submission.csv"
        options = {"device": "cpu", "classes": self.classes, "sink": target, "progress": False} | options
        result = run_soundscapes(paths, self.artifact, **options)
        if result.failures:
            raise PerchError(f"{result.failures[0].path}: {result.failures[0].reason}")
        self.start_ups.append(result.timing.start_up_s)
        return result

    def seconds(self, paths: Sequence[Path]) -> float:
        """Seconds from files to a submission, without start-up."""
        timing = self.run(paths).timing
        return timing.elapsed_s - timing.start_up_s

    @property
    def start_up_s(self) -> float:
        """Seconds from the call to the first worker that is ready: to read the model and start processes. A median."""
        return statistics.median(self.start_ups)


@dataclass
class TensorFlow:
    """The notebook, with the model called in one of TensorFlow's ways.

    `load_s` is the time to load the model, `first_call_s` that of the first call, which compiles, and `call_s` that of
    a later call while nothing else runs.
    """

    infer: notebook.Infer
    columns: ClassMap
    scratch: Path
    load_s: float
    first_call_s: float = 0.0
    call_s: float = 0.0

    def warm_up(self) -> None:
        """Calls the model twice, and times both calls."""
        windows = np.zeros((SOUNDSCAPE_WINDOWS, WINDOW_SAMPLES), np.float32)
        self.first_call_s, self.call_s = (_timed(lambda: self.infer(windows)) for _ in range(2))

    def seconds(self, paths: Sequence[Path]) -> float:
        """Seconds from files to a submission."""

        def submit() -> None:
            scores = notebook.score(paths, self.infer, self.columns)
            notebook.write_submission(self.scratch / "notebook.csv", paths, scores, self.columns)

        return _timed(submit)

    @property
    def start_up_s(self) -> float:
        """Seconds to load and compile, without the import of TensorFlow."""
        return self.load_s + self.first_call_s


def check_source(saved_model: Path, file: Path) -> SavedModel:
    """Inspects the SavedModel that a file was made from.

    Raises:
        PerchError: there is none, the file was made from another one, or the notebook cannot call it.
    """
    artifact = read_artifact(file)
    artifact.head("label")
    model = inspect(saved_model)
    if model.fingerprint != artifact.saved_model_sha256:
        raise InputError(
            f"{file} was not made from {saved_model}; `perch-convert {saved_model} -o FILE.onnx` makes one that is"
        )
    if not model.free_batch:
        raise InputError(
            f"{saved_model} takes one window a call, but the notebook gives it 12; use a newer release of the model"
        )
    return model


def tensorflow_contestants(model: SavedModel, columns: ClassMap, scratch: Path) -> dict[str, TensorFlow]:
    """The ways in which TensorFlow can run the model, by name, not yet warm; none if it cannot (`model.cannot_run`)."""
    if model.cannot_run is not None:
        return {}
    started = time.perf_counter()
    published = notebook.as_published(model.path)
    load_s = time.perf_counter() - started
    ways = {PUBLISHED: TensorFlow(published, columns, scratch, load_s)}
    plain = notebook.without_xla(model)
    if plain is not None:
        ways[WITHOUT_XLA] = TensorFlow(plain, columns, scratch, load_s)  # its copy is as large, so it loads as long
    return ways


def columns_of(model: SavedModel, artifact: Artifact, classes: Path | None) -> ClassMap:
    """The columns of a submission as positions in the SavedModel's `label`, -1 for classes that it does not know.

    If `classes` is None the submission has all classes of the file: fewer than the SavedModel has if the file was
    converted with `--classes`.

    Raises:
        InputError: none of the classes is in the model's class lists, or the file was converted without one of them.
    """
    first, *others = model.class_lists["label"]
    head = Head("label", (len(first.names),), first.names, first.namespace, (), tuple(others))
    if classes is not None:
        wanted = read_classes(classes)
        map_classes(wanted, artifact.head("label"))  # refuses classes that the file was converted without
        return map_classes(wanted, head)
    kept = artifact.head("label")
    if not kept.dropped:
        return ClassMap(tuple(map(Match, first.names, range(len(first.names)))), namespace=first.namespace)
    return map_classes(WantedClasses(kept.classes, str(model.path)), head, "zero", kept.namespace)


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
