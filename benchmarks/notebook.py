"""The baseline: a BirdCLEF notebook that calls the SavedModel, as faithfully as a benchmark can.

Four threads each read a soundscape, cut it into 12 windows, and call the model once for all 12 (FACTS of the
competition: 60 s files, 32 kHz mono). "As published" is the notebook's own call, `infer_tf`, which TensorFlow compiles
with XLA, or of Perch v2, which has none, `serving_default`. "Without XLA" is the `serving_default` signature of a copy
that lost the attribute which forces that; StableHLO, as in Perch v2, cannot be run without.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks import SOUNDSCAPE_WINDOWS as WINDOWS
from convert import WINDOW_SAMPLES
from convert.saved_model import concrete_function, without_xla

THREADS = 4
Infer = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""`float32 [12, 160000]` to logits `float32 [12, classes]`."""


@contextmanager
def ways(saved_model: Path) -> Iterator[dict[str, Infer]]:
    """The ways in which TensorFlow can run it, by name: "published" and, where that can be, "without_xla"."""
    with stripped(saved_model) as infer:
        yield {"published": as_published(saved_model)} | ({} if infer is None else {"without_xla": infer})


def as_published(saved_model: Path) -> Infer:
    """The notebook's own call."""
    model = tf.saved_model.load(str(saved_model))
    if hasattr(model, "infer_tf"):
        return lambda windows: np.asarray(model.infer_tf(windows)["label"])
    return _signature(model)


@contextmanager
def stripped(saved_model: Path) -> Iterator[Infer | None]:
    """The same weights and graph, run by TensorFlow without XLA; None where that cannot be."""
    with without_xla(saved_model) as copy:
        model = tf.saved_model.load(str(copy))
        graph = concrete_function(model).graph.as_graph_def()
        nodes = itertools.chain(graph.node, *(function.node_def for function in graph.library.function))
        yield None if any(node.op == "XlaCallModule" for node in nodes) else _signature(model)


def _signature(model: Any) -> Infer:
    function = concrete_function(model)
    function.owner = model  # variables live as long as the loaded object does
    return lambda windows: np.asarray(function(inputs=tf.constant(windows))["label"])


def score(paths: Sequence[Path], infer: Infer) -> list[NDArray[np.float32]]:
    """Logits of each soundscape, `float32 [12, classes]`, in the order of `paths`."""

    def one(path: Path) -> NDArray[np.float32]:
        audio, _ = soundfile.read(path, dtype="float32")
        return infer(audio[: WINDOWS * WINDOW_SAMPLES].reshape(WINDOWS, WINDOW_SAMPLES))

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(one, paths))


def warm_up(infer: Infer) -> None:
    """The first call of a shape compiles it, for seconds; it is not counted."""
    infer(np.zeros((WINDOWS, WINDOW_SAMPLES), np.float32))
