"""`make demo`: the whole way, on a model and soundscapes made on the spot."""

from __future__ import annotations

import argparse
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
from runtime.model.artifact import read_artifact

SOUNDSCAPES = 8
CODES = {"v1": "label.csv", "v2": "perch_v2_ebird_classes.csv"}
"""The class list of eBird codes in each model's assets."""
KNOWN_CLASSES = 200
UNKNOWN_CLASSES = ("1139490", "1192948", "22976", "476538", "65336", "868458")
"""Insects and frogs have numbers for codes; a bird model does not know them."""


def main() -> None:
    """Makes the untrained model and soundscapes, converts, proves, runs, and compares with TensorFlow."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="where all goes (default: demo, or for v2 demo/v2)")
    parser.add_argument("--model", choices=CODES, default="v1", help="which Perch (default: v1)")
    args = parser.parse_args()
    folder = args.folder or Path("demo", *([] if args.model == "v1" else [args.model]))
    folder.mkdir(parents=True, exist_ok=True)
    saved_model, artifact = folder / "saved_model", folder / "perch.onnx"
    sample, submission = folder / "sample_submission.csv", folder / "submission.csv"
    hush_native_log()

    step(f"1. An untrained Perch {args.model} (same graph as the published model, random weights)")
    started = time.monotonic()
    write_untrained(args.model, saved_model)
    print(f"{saved_model}, made in {time.monotonic() - started:.0f} s")

    step(f"2. {SOUNDSCAPES} soundscapes of a minute and a sample submission")
    paths = make_soundscapes(folder / "soundscapes")
    write_sample_submission(sample, saved_model / "assets" / CODES[args.model])
    print(f"{folder / 'soundscapes'}, {sample}")

    step(f"3. perch-convert {saved_model} -o {artifact}")
    check(convert_cli.main([str(saved_model), "-o", str(artifact)]))

    command = [folder / "soundscapes", "--model", artifact, "--classes", sample, "-o", submission]
    command += [] if args.model == "v1" else ["--namespace", "ebird2021"]
    step(f"4. perch-run {' '.join(map(str, command))}")
    check(run_cli.main([*map(str, command), "--deadline", "85m"]))

    step("5. The same SavedModel in TensorFlow, called as the notebooks do, and perch-onnx in turn")
    compare(saved_model, artifact, sample, paths)
    with submission.open(newline="") as file:
        rows = sum(1 for _ in csv.reader(file)) - 1
    print(f"  submission of step 4: {submission}, {rows} rows")


def compare(saved_model: Path, artifact: Path, classes: Path, paths: list[Path]) -> None:
    """What `perch-bench deadline` says of a few soundscapes; its imports, too, are what --help need not wait for."""
    from benchmarks.deadline.contestants import PerchOnnx, columns_of, look, tensorflow
    from benchmarks.deadline.measurement import DEMO, Measurement
    from benchmarks.deadline.report import rounds, verdicts

    model = look(saved_model, artifact)
    with tempfile.TemporaryDirectory() as scratch:
        columns = columns_of(model, read_artifact(artifact), classes)
        ways, perch = tensorflow(model, columns, Path(scratch)), PerchOnnx(artifact, columns.names, Path(scratch))
        found = Measurement(perch, ways, paths, DEMO, time.monotonic()).run()
    print("\n".join([*verdicts(found, DEADLINE_S), *rounds(found)]))


def write_untrained(model: str, folder: Path) -> None:
    """Makes the SavedModel; --help need not wait for what that imports."""
    if model == "v1":
        from convert.untrained.perch import write_saved_model

        write_saved_model(folder)
    else:
        from convert.untrained.native.perch import write_saved_model as write_native

        write_native(folder)


def step(title: str) -> None:
    print(f"\n{title}", flush=True)


def check(code: int) -> None:
    """Stops the demo where a command failed; it has said why."""
    if code:
        raise SystemExit(code)


def make_soundscapes(folder: Path) -> list[Path]:
    """Eight one-minute OGG files, named as BirdCLEF names its own."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"H{i:02d}_20250101_{i:02d}0000.ogg" for i in range(SOUNDSCAPES)]
    synthetic.write_soundscapes(paths)
    return paths


def write_sample_submission(path: Path, class_list: Path) -> None:
    """A sample submission as the competition ships it: its classes, some unknown to the model, and a few rows."""
    names = read_classes(class_list).names
    chosen = sorted([*names[:: len(names) // KNOWN_CLASSES][:KNOWN_CLASSES], *UNKNOWN_CLASSES])
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row_id", *chosen])
        for end in (5, 10, 15):
            writer.writerow([f"soundscape_8358733_{end}", *[1 / len(chosen)] * len(chosen)])


if __name__ == "__main__":
    main()
