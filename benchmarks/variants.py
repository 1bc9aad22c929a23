"""How much faster converted files of one model are than the model itself, each at the batch that suits it best.

`python -m benchmarks.variants SAVED_MODEL FILE.onnx...`: files that were converted otherwise (other outputs, fewer
classes, an int8 head), all outputs of each. Windows are in memory; TensorFlow runs as published, with its own threads,
files run in a process of one thread for each core. All take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import onnxruntime

from benchmarks.environment import processor
from benchmarks.processes import MIB, children, usage
from benchmarks.throughput.crew import Crew, Equipment
from convert import WINDOW_SAMPLES, synthetic
from convert.cli import hush_native_log
from runtime.cores import usable_cores
from runtime.progress import progress_bar

BATCHES = (1, 2, 4, 12)
SECONDS = 4.0
"""For each turn of a file at a batch; TensorFlow gets one call, or as many as fit."""


def compare(saved_model: Path, files: Sequence[Path], rounds: int = 3) -> dict[str, dict[int, float]]:
    """Windows a second by batch, medians of rounds; TensorFlow's under "tensorflow"."""
    from benchmarks import notebook  # imports TensorFlow, for which --help need not wait

    infer = notebook.as_published(saved_model)
    windows = synthetic.windows(0, max(BATCHES), WINDOW_SAMPLES)
    rates: dict[str, dict[int, list[float]]] = {
        name: {batch: [] for batch in BATCHES} for name in ("tensorflow", *map(str, files))
    }
    with contextlib.ExitStack() as stack, progress_bar((rounds + 1) * len(BATCHES), desc="warm up") as bar:
        recording = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "one.wav"
        synthetic.write_soundscape(recording, 0)
        crews = {
            path: stack.enter_context(Crew(Equipment(path, {}, "cpu", (recording,)), usable_cores())) for path in files
        }
        for turn in range(rounds + 1):
            for batch in BATCHES:
                started, done = time.perf_counter(), 0
                while done == 0 or (turn and time.perf_counter() - started < SECONDS):
                    done += len(infer(windows[:batch]))
                rate = done / (time.perf_counter() - started)
                found = {"tensorflow": rate} | {
                    str(path): crew.windows_per_s("all", usable_cores(), batch, SECONDS) for path, crew in crews.items()
                }
                for name, rate in found.items() if turn else ():  # the first turn compiles and warms up
                    rates[name][batch].append(rate)
                bar.set_description(f"round {turn} of {rounds}")
                bar.update()
    return {name: {batch: statistics.median(each) for batch, each in by.items()} for name, by in rates.items()}


def peak_mib(file: Path, batch: int, processes: int) -> float:
    """The most memory that processes hold at once which compute batches of this size, each counted by its peak."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "one.wav"
        synthetic.write_soundscape(recording, 0)
        with Crew(Equipment(file, {}, "cpu", (recording,)), processes) as crew:
            crew.windows_per_s("all", processes, batch, SECONDS)
            used = [found.peak_rss for pid in children(os.getpid()) if (found := usage(pid)) is not None]
    return sum(used) / MIB


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.variants", description=__doc__)
    parser.add_argument("saved_model", type=Path, metavar="SAVED_MODEL", help="folder with saved_model.pb")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.onnx", help="what perch-convert made of it")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    hush_native_log()
    rates = compare(args.saved_model, args.files, args.rounds)
    best = {name: max(by.values()) for name, by in rates.items()}
    memory = {
        str(path): {f"{count} at batch {batch}": peak_mib(path, batch, count) for count, batch in ((1, 32), (2, 2))}
        for path in args.files
    }
    machine = {"processor": processor(), "cores": usable_cores(), "onnxruntime": onnxruntime.__version__}
    print(
        json.dumps(
            {
                "windows_per_s": rates,
                "times_tensorflow": {name: rate / best["tensorflow"] for name, rate in best.items()},
                "peak_rss_mib": memory,
                **machine,
                "python": platform.python_version(),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
