"""`make stress`: tries to break what perch-run promises. `make stress CASE=kills` runs a single case."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.stress import archive, clusters, kills, labelling, large, many, models
from benchmarks.stress.promises import BrokenPromiseError
from convert.source.tensorflow import hush_native_log
from runtime.console.terminal import Parser
from runtime.errors import PerchError

Case = Callable[[Path, Path], None]
CASES: dict[str, Case] = {
    "day": large.day,
    "wav": large.wav,
    "files": many.files,
    "kills": kills.kills,
    "rows": many.rows,
    "models": models.models,
    "ray": clusters.ray,
    "archive": archive.archive,
    "labelling": labelling.labelling,
}


def main(args: Sequence[str] | None = None) -> int:
    """Makes a tiny untrained model and runs the cases; returns the exit code."""
    parser = Parser(prog="python -m benchmarks.stress", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(CASES)} (default: all)")
    parser.add_argument(
        "--files", type=int, metavar="N", default=archive.FILES, help="files in the case archive (default: %(default)s)"
    )
    parsed = parser.parse_args(args)
    names = parsed.cases or list(CASES)
    archive.FILES = parsed.files
    if unknown := [name for name in names if name not in CASES]:
        parser.error(f"there is no case {unknown[0]}; there are {', '.join(CASES)}")
    broken = []
    with tempfile.TemporaryDirectory(prefix="perch-stress-") as scratch:
        model = make_model(Path(scratch))
        for name in names:
            folder = Path(scratch, name)
            folder.mkdir()
            print(f"\n{name}: {CASES[name].__doc__}", flush=True)
            started = time.monotonic()
            try:
                CASES[name](folder, model)
            except (BrokenPromiseError, PerchError) as error:
                broken.append(name)
                print(f"  {name} is broken: {error}", file=sys.stderr)
            print(f"  {name} took {time.monotonic() - started:.0f} s", flush=True)
    if broken:
        print(f"\nbroken: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def make_model(folder: Path) -> Path:
    """Makes and converts a Perch whose layers are few and narrow."""
    hush_native_log()  # before TensorFlow is imported
    from convert.conversion import convert
    from convert.untrained.perch import write_saved_model
    from convert.untrained.recipe import TINY

    path = folder / "tiny.onnx"
    print("A tiny untrained model", flush=True)
    convert(write_saved_model(folder / "saved_model", TINY), path, progress=False)
    return path


if __name__ == "__main__":
    sys.exit(main())
