"""How many times faster `run_soundscapes` is than the notebook's way, on the same files in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from benchmarks import notebook
from runtime import run_soundscapes

DEADLINE_MINUTES, DEADLINE_SOUNDSCAPES = 90, 700


@dataclass(frozen=True)
class Speed:
    """Medians over rounds in which the three take turns; seconds a window, start-up and compilation left out."""

    onnx: float
    published: float
    without_xla: float
    onnx_start_up_s: float

    @property
    def deadline_minutes(self) -> float:
        """What 700 one-minute soundscapes would take, start-up included: projected, not measured."""
        return (self.onnx_start_up_s + DEADLINE_SOUNDSCAPES * notebook.WINDOWS * self.onnx) / 60


def compare(
    saved_model: Path, artifact: Path, soundscapes: Sequence[Path], rounds: int = 3, tensorflow_files: int = 4
) -> Speed:
    """Times both on one-minute soundscapes, `label` alone.

    TensorFlow is so much slower that it gets only the first `tensorflow_files` of them (one for each of its threads).
    """
    paths = list(soundscapes)
    few = paths[:tensorflow_files]
    seconds: dict[str, list[float]] = {"onnx": [], "published": [], "without_xla": []}
    start_ups: list[float] = []
    published = notebook.as_published(saved_model)
    with (
        notebook.stripped(saved_model) as without_xla,
        tqdm(total=3 * rounds + 2, desc="warm up", disable=None) as bar,
    ):
        for infer in (published, without_xla):
            notebook.warm_up(infer)
            bar.update()
        for _ in range(rounds):
            bar.set_description("perch-onnx")
            timing = run_soundscapes(paths, artifact, progress=False).timing
            seconds["onnx"].append(1 / timing["windows_per_s"])
            start_ups.append(timing["start_up_s"])
            bar.update()
            for name, infer in (("published", published), ("without_xla", without_xla)):
                bar.set_description(f"TensorFlow, {name.replace('_', ' ')}")
                started = time.perf_counter()
                notebook.score(few, infer)
                seconds[name].append((time.perf_counter() - started) / (len(few) * notebook.WINDOWS))
                bar.update()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return Speed(**medians, onnx_start_up_s=statistics.median(start_ups))
