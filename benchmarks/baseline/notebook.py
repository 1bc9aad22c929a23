"""The baseline: a BirdCLEF notebook that calls the SavedModel, as faithfully as a benchmark can.

Each of four threads takes a soundscape, reads it, cuts it into 12 windows and calls the model once for all 12. A column
of zeros is appended to `label`, and the competition's columns are picked from the result; classes that the model does
not know come from the zeros. A soundscape begun after TERMINATE_TIME gets -1000 in all 12 rows; a call in progress is
not stopped. Notebooks read with `librosa.load(sr=32000)`. For a file at that rate it returns soundfile's float32
samples, averaged over the channels, so librosa itself is not needed.

"As published" is the notebook's own call: `infer_tf`, which TensorFlow compiles with XLA, or for Perch v2, which lacks
it, `serving_default`. "Without XLA" is `serving_default` of a copy without the attribute that demands XLA (the
`infer_tf` of such a copy is compiled nevertheless). StableHLO, as in Perch v2, needs XLA.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks import SOUNDSCAPE_WINDOWS as WINDOWS
from convert import SAMPLE_RATE, WINDOW_SAMPLES
from convert.source.saved_model import SavedModel, concrete_function
from runtime.classes.class_map import ClassMap
from runtime.errors import InputError
from runtime.rows.block import Block, Columns
from runtime.rows.formats.csv_file import write_csv

THREADS = 4
TERMINATED = -1000.0
SAMPLES = WINDOWS * WINDOW_SAMPLES
ROW_ENDS = np.arange(1, WINDOWS + 1, dtype=np.float64) * (WINDOW_SAMPLES / SAMPLE_RATE)
Infer = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""`float32 [12, 160000]` to logits `float32 [12, classes]`."""


def as_published(saved_model: Path) -> Infer:
    """The notebook's own call."""
    model = tf.saved_model.load(str(saved_model))
    if hasattr(model, "infer_tf"):
        return lambda windows: np.asarray(model.infer_tf(windows)["label"])
    function = concrete_function(model)
    function.owner = model  # variables live as long as the loaded object does
    return _signature(function)


def without_xla(model: SavedModel) -> Infer | None:
    """The same weights and graph, run by TensorFlow without XLA; None for StableHLO, which needs it."""
    return None if model.stablehlo is not None else _signature(model.function)


def _signature(function: Callable[..., Any]) -> Infer:
    return lambda windows: np.asarray(function(inputs=tf.constant(windows))["label"])


def check_soundscapes(paths: Sequence[Path]) -> None:
    """Checks by the headers of files that the notebook could read them.

    Raises:
        InputError: one cannot be read or is not exactly a minute at 32 kHz, or two would have the same row ids.
    """
    by_stem = {path.stem: path for path in reversed(paths)}
    for path in paths:
        if by_stem[path.stem] != path:
            raise InputError(f"{by_stem[path.stem]} and {path} would have the same row_ids; leave one out")
    for path in paths:
        try:
            about = soundfile.info(path)
        except soundfile.LibsndfileError as error:
            raise InputError(f"{path} cannot be read ({error.error_string}); leave it out") from None
        if (about.samplerate, about.frames) != (SAMPLE_RATE, SAMPLES):
            raise InputError(
                f"{path} has {about.frames / about.samplerate:g} s at {about.samplerate} Hz, but the notebook takes "
                "soundscapes of exactly 60 s at 32000 Hz; leave it out"
            )


def read(path: Path) -> NDArray[np.float32]:
    """The windows of a soundscape: `float32 [12, 160000]`."""
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(samples.mean(axis=1)).reshape(WINDOWS, WINDOW_SAMPLES)


def score(paths: Sequence[Path], infer: Infer, columns: ClassMap, terminate_s: float = math.inf) -> NDArray[np.float32]:
    """The rows of all soundscapes, in the order of `paths`: `float32 [12 * paths, columns]`.

    `terminate_s` is TERMINATE_TIME in seconds from now.
    """
    terminate = time.monotonic() + terminate_s

    def one(path: Path) -> NDArray[np.float32]:
        if time.monotonic() >= terminate:
            return np.full((WINDOWS, len(columns.names)), TERMINATED, np.float32)
        logits = infer(read(path))
        with_zeros = np.concatenate([logits, np.zeros((WINDOWS, 1), np.float32)], axis=1)
        return with_zeros[:, columns.positions]  # -1, for unknown classes, is the last column

    with ThreadPoolExecutor(THREADS) as threads:
        parts = list(threads.map(one, paths))
    return np.concatenate([np.empty((0, len(columns.names)), np.float32), *parts])


def write_submission(target: Path, paths: Sequence[Path], scores: NDArray[np.float32], columns: ClassMap) -> None:
    """Writes `row_id` and the classes with the code of perch-onnx, so that neither side gains by its way of writing."""
    shape = Columns({"label": (len(columns.names),)}, {"label": columns.names})
    scored = np.full(WINDOWS, "scored", "<U12")
    starts = ROW_ENDS - ROW_ENDS[0]
    blocks = (
        Block(str(path), [f"{path.stem}_{end:g}" for end in ROW_ENDS], starts, ROW_ENDS, scored, {"label": rows})
        for path, rows in zip(paths, np.split(scores, len(paths)), strict=True)
    )
    write_csv(blocks, target, shape, TERMINATED)
