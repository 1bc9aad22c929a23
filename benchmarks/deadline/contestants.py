"""Who competes: perch-onnx, and TensorFlow called as a notebook does, each from sound files to a submission."""

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
    """Gives seconds from files to a submission, start-up left out, which is told apart."""

    @property
    def start_up_s(self) -> float:
        """What every run takes once."""

    def seconds(self, paths: Sequence[Path]) -> float:
        """For these soundscapes."""


@dataclass
class PerchOnnx:
    """`run_soundscapes` on the CPU, its rows written as a submission. `scratch` is a folder for that.

    `classes` are names: the rows of a sample submission would rule, whichever soundscapes are scored.
    """

    artifact: Path
    classes: Sequence[str] | None
    scratch: Path
    start_ups: list[float] = field(default_factory=list)

    def run(self, paths: Sequence[Path], **options: Any) -> Soundscapes:
        """A whole run, start-up and writing included, unless `options` say otherwise.

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
        """From files to a submission, start-up left out."""
        timing = self.run(paths).timing
        return timing.elapsed_s - timing.start_up_s

    @property
    def start_up_s(self) -> float:
        """From the call to the first worker that is ready: reading the model, starting processes. A median."""
        return statistics.median(self.start_ups)


@dataclass
class TensorFlow:
    """The notebook, with the model called in one of TensorFlow's ways.

    `load_s` is what loading took, `first_call_s` the first call, which compiles, and `call_s` a call after it, alone.
    """

    infer: notebook.Infer
    columns: ClassMap
    scratch: Path
    load_s: float
    first_call_s: float = 0.0
    call_s: float = 0.0

    def warm_up(self) -> None:
        """Calls twice."""
        windows = np.zeros((SOUNDSCAPE_WINDOWS, WINDOW_SAMPLES), np.float32)
        self.first_call_s, self.call_s = (_timed(lambda: self.infer(windows)) for _ in range(2))

    def seconds(self, paths: Sequence[Path]) -> float:
        """From files to a submission."""

        def submit() -> None:
            scores = notebook.score(paths, self.infer, self.columns)
            notebook.write_submission(self.scratch / "notebook.csv", paths, scores, self.columns)

        return _timed(submit)

    @property
    def start_up_s(self) -> float:
        """Loading and compiling, the import of TensorFlow left out."""
        return self.load_s + self.first_call_s


def look(saved_model: Path, file: Path) -> SavedModel:
    """The SavedModel that a file was made of.

    Raises:
        PerchError: there is none, it is another one, or the notebook cannot call it.
    """
    artifact = read_artifact(file)
    artifact.head("label")
    model = inspect(saved_model)
    if model.fingerprint != artifact.saved_model_sha256:
        raise InputError(
            f"{file} was not made of {saved_model}; `perch-convert {saved_model} -o FILE.onnx` makes one that is"
        )
    if not model.free_batch:
        raise InputError(f"{saved_model} takes one window a call, where the notebook gives it 12; take a newer release")
    return model


def tensorflow(model: SavedModel, columns: ClassMap, scratch: Path) -> dict[str, TensorFlow]:
    """The ways in which TensorFlow can run it, by name and not yet warm; none if it cannot (`model.cannot_run`)."""
    if model.cannot_run is not None:
        return {}
    started = time.perf_counter()
    published = notebook.as_published(model.path)
    load_s = time.perf_counter() - started
    found = {PUBLISHED: TensorFlow(published, columns, scratch, load_s)}
    plain = notebook.without_xla(model)
    if plain is not None:
        found[WITHOUT_XLA] = TensorFlow(plain, columns, scratch, load_s)  # its copy is as large
    return found


def columns_of(model: SavedModel, artifact: Artifact, classes: Path | None) -> ClassMap:
    """Which of the SavedModel's classes a submission has, -1 for those that it does not know.

    Without `classes` they are all that the file has: fewer than the SavedModel's if it was converted with `--classes`.

    Raises:
        InputError: they cannot be found in the model's class lists.
    """
    first, *others = model.class_lists["label"]
    head = Head("label", (len(first.names),), first.names, first.namespace, (), tuple(others))
    if classes is not None:
        wanted = read_classes(classes)
        map_classes(wanted, artifact.head("label"))  # refuses what the file was converted without
        return map_classes(wanted, head)
    kept = artifact.head("label")
    if not kept.dropped:
        return ClassMap(tuple(map(Match, first.names, range(len(first.names)))), namespace=first.namespace)
    return map_classes(WantedClasses(kept.classes, str(model.path)), head, "zero", kept.namespace)


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
