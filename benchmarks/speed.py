"""How many times faster `run_soundscapes` is than the notebook's way, on the same files in one run.

`python -m benchmarks.speed SAVED_MODEL FILE.onnx` times both on soundscapes that it makes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import onnxruntime

from benchmarks import SOUNDSCAPE_WINDOWS
from benchmarks.environment import processor
from convert import synthetic
from convert.cli import hush_native_log
from runtime import run_soundscapes
from runtime.cores import usable_cores
from runtime.progress import progress_bar

DEADLINE_MINUTES, DEADLINE_SOUNDSCAPES = 90, 700


@dataclass(frozen=True)
class Speed:
    """Medians over rounds in which all take turns; seconds a window, start-up and compilation left out.

    `without_xla` is None where TensorFlow cannot run the model so.
    """

    onnx: float
    published: float
    without_xla: float | None
    onnx_start_up_s: float
    spread: float
    """Greatest over least time of a round, the worst of all: how noisy the machine is."""

    @property
    def deadline_minutes(self) -> float:
        """What 700 one-minute soundscapes would take, start-up included: projected, not measured."""
        return (self.onnx_start_up_s + DEADLINE_SOUNDSCAPES * SOUNDSCAPE_WINDOWS * self.onnx) / 60


def compare(
    saved_model: Path, artifact: Path, soundscapes: Sequence[Path], rounds: int = 3, tensorflow_files: int = 4
) -> Speed:
    """Times both on one-minute soundscapes, `label` alone.

    TensorFlow is so much slower that it gets only the first `tensorflow_files` of them (one for each of its threads).
    """
    from benchmarks import notebook  # imports TensorFlow, for which --help need not wait

    paths = list(soundscapes)
    few = paths[:tensorflow_files]
    start_ups: list[float] = []
    with (
        notebook.ways(saved_model) as ways,
        progress_bar(len(ways) + rounds * (1 + len(ways)), desc="warm up") as bar,
    ):
        seconds: dict[str, list[float]] = {name: [] for name in ("onnx", *ways)}
        for infer in ways.values():
            notebook.warm_up(infer)
            bar.update()
        for _ in range(rounds):
            bar.set_description("perch-onnx")
            timing = run_soundscapes(paths, artifact, progress=False).timing
            seconds["onnx"].append(1 / timing["windows_per_s"])
            start_ups.append(timing["start_up_s"])
            bar.update()
            for name, infer in ways.items():
                bar.set_description(f"TensorFlow, {name.replace('_', ' ')}")
                started = time.perf_counter()
                notebook.score(few, infer)
                seconds[name].append((time.perf_counter() - started) / (len(few) * SOUNDSCAPE_WINDOWS))
                bar.update()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return Speed(
        onnx=medians["onnx"],
        published=medians["published"],
        without_xla=medians.get("without_xla"),
        onnx_start_up_s=statistics.median(start_ups),
        spread=max(max(values) / min(values) for values in seconds.values()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("saved_model", type=Path, metavar="SAVED_MODEL", help="folder with saved_model.pb")
    parser.add_argument("artifact", type=Path, metavar="FILE.onnx", help="what perch-convert made of it")
    parser.add_argument("--soundscapes", type=int, default=96, metavar="N", help="one-minute files (default: 96)")
    parser.add_argument("--tensorflow-files", type=int, default=8, metavar="N", help="of them for TensorFlow (8)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if not (args.saved_model / "saved_model.pb").is_file() or not args.artifact.is_file():
        parser.error("SAVED_MODEL must be a SavedModel's folder and FILE.onnx what perch-convert made of it")
    hush_native_log()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i:03d}.ogg" for i in range(args.soundscapes)]
        synthetic.write_soundscapes(paths)
        speed = compare(args.saved_model, args.artifact, paths, args.rounds, args.tensorflow_files)
    ratios = {"times_published": speed.published / speed.onnx}
    if speed.without_xla is not None:
        ratios["times_without_xla"] = speed.without_xla / speed.onnx
    machine = {"processor": processor(), "cores": usable_cores(), "python": platform.python_version()}
    versions = {"onnxruntime": onnxruntime.__version__, "tensorflow": importlib.metadata.version("tensorflow")}
    print(
        json.dumps(
            {**asdict(speed), **ratios, "minutes_for_700": speed.deadline_minutes, **machine, **versions}, indent=1
        )
    )


if __name__ == "__main__":
    main()
