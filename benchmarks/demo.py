"""`make demo`: from a SavedModel to a submission, on an untrained model and synthetic soundscapes."""

from __future__ import annotations

import csv
import tempfile
import time
from pathlib import Path

from benchmarks.deadline.command import DEADLINE_S
from convert import cli as convert_cli
from convert.proof import synthetic
from convert.source.tensorflow import hush_native_log
from runtime import cli as run_cli
from runtime.classes.wanted import read_classes
from runtime.console.terminal import Parser
from runtime.model.artifact import read_artifact

SOUNDSCAPES = 8
CODES = {"v1": "label.csv", "v2": "perch_v2_ebird_classes.csv"}
"""The class list of eBird codes in the assets of each model."""
KNOWN_CLASSES = 200
UNKNOWN_CLASSES = ("1139490", "1192948", "22976", "476538", "65336", "868458")
"""Insects and frogs, whose codes are numbers; a bird model does not know them."""


def main() -> None:
    """Makes an untrained model and soundscapes, converts the model, scores the soundscapes, compares TensorFlow."""
    parser = Parser(prog="python -m benchmarks.demo", description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="folder for all files (default: demo, for v2 demo/v2)")
    parser.add_argument("--model", choices=CODES, default="v1", help="version of Perch (default: v1)")
    args = parser.parse_args()
    folder = args.folder or Path("demo", *([] if args.model == "v1" else [args.model]))
    folder.mkdir(parents=True, exist_ok=True)
    saved_model, artifact = folder / "saved_model", folder / "perch.onnx"
    sample, submission = folder / "sample_submission.csv", folder / "submission.csv"
    recordings = folder / "recordings"
    hush_native_log()

    step(f"1. Making an untrained Perch {args.model}: the graph of the published model with random weights")
    started = time.monotonic()
    write_untrained(args.model, saved_model)
    print(f"{saved_model}, made in {time.monotonic() - started:.0f} s")

    step(f"2. Making {SOUNDSCAPES} soundscapes of a minute and a sample submission")
    paths = make_soundscapes(recordings)
    write_sample_submission(sample, saved_model / "assets" / CODES[args.model])
    print(f"{recordings}, {sample}")

    step(f"3. perch-convert {saved_model} -o {artifact}")
    check(convert_cli.main([str(saved_model), "-o", str(artifact)]))

    command = [recordings, "--model", artifact, "--classes", sample, "-o", submission]
    command += [] if args.model == "v1" else ["--namespace", "ebird2021"]
    step(f"4. perch-run {' '.join(map(str, command))}")
    check(run_cli.main([*map(str, command), "--deadline", "85m"]))

    step("5. Timing perch-onnx and a notebook that calls the same SavedModel in TensorFlow, in turns")
    compare(saved_model, artifact, sample, paths)
    with submission.open(newline="") as file:
        rows = sum(1 for _ in csv.reader(file)) - 1
    print(f"  The submission of step 4: {submission}, {rows} rows")
    print(f"\nGo on: source .venv/bin/activate && cd {folder}. There the commands of README.md run as they stand.")


def compare(saved_model: Path, artifact: Path, classes: Path, paths: list[Path]) -> None:
    """Prints what `perch-bench deadline` prints. Imports here are slow, and --help needs none of them."""
    from benchmarks.deadline.contestants import PerchOnnx, check_source, columns_of, tensorflow_contestants
    from benchmarks.deadline.measurement import DEMO, DeadlineBenchmark
    from benchmarks.deadline.report import rounds, verdicts

    model = check_source(saved_model, artifact)
    with tempfile.TemporaryDirectory() as scratch:
        columns = columns_of(model, read_artifact(artifact), classes)
        ways = tensorflow_contestants(model, columns, Path(scratch))
        perch = PerchOnnx(artifact, columns.names, Path(scratch))
        figures = DeadlineBenchmark(perch, ways, paths, DEMO, time.monotonic()).run()
    print("\n".join([*verdicts(figures, DEADLINE_S), *rounds(figures)]))


def write_untrained(model: str, folder: Path) -> None:
    """Makes the SavedModel. Imports here are slow, and --help needs none of them."""
    if model == "v1":
        from convert.untrained.perch import write_saved_model

        write_saved_model(folder)
    else:
        from convert.untrained.native.perch import write_saved_model as write_native

        write_native(folder)


def step(title: str) -> None:
    print(f"\n{title}", flush=True)


def check(code: int) -> None:
    """Stops the demo if a command failed; it has said why."""
    if code:
        raise SystemExit(code)


def make_soundscapes(folder: Path) -> list[Path]:
    """Writes one-minute OGG files with names like those of BirdCLEF; returns their paths."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"H{i:02d}_20250101_{i:02d}0000.ogg" for i in range(SOUNDSCAPES)]
    synthetic.write_soundscapes(paths)
    return paths


def write_sample_submission(path: Path, class_list: Path) -> None:
    """Writes a sample submission like that of the competition: some of its classes unknown to the model, a few rows."""
    names = read_classes(class_list).names
    chosen = sorted([*names[:: len(names) // KNOWN_CLASSES][:KNOWN_CLASSES], *UNKNOWN_CLASSES])
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row_id", *chosen])
        for end in (5, 10, 15):
            writer.writerow([f"soundscape_8358733_{end}", *[1 / len(chosen)] * len(chosen)])


if __name__ == "__main__":
    main()
