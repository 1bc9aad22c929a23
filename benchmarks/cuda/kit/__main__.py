"""Packs what a machine with a GPU that can fetch nothing needs for `perch-bench cuda`, besides this checkout.

It makes in FOLDER a light file of each converted file, in which random weights stand for the large ones (see
`benchmarks.cuda.kit.seeded`), `expected.npz`, what the CPU makes of these files, and a minute of audio in each format.
There `--unpack`, which needs NumPy alone, makes the whole files.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.cuda.kit.seeded import fill
from runtime.console.terminal import Parser, complain
from runtime.errors import InputError, PerchError, repeated

LIGHT, EXPECTED, AUDIO = ".light", "expected.npz", "audio"
SEED, WINDOWS = 1500, 12
MOST_VALUES = 2**15
"""Heads with more values a window are left out of `expected.npz`."""


def main(args: Sequence[str] | None = None) -> int:
    """Packs or unpacks; returns the exit code."""
    parser = Parser(prog="python -m benchmarks.cuda.kit", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the kit")
    parser.add_argument("models", type=Path, nargs="*", metavar="MODEL.onnx", help="files that perch-convert made")
    parser.add_argument("--unpack", action="store_true", help="make the whole files of the light ones in FOLDER")
    parsed = parser.parse_args(args)
    if parsed.unpack == bool(parsed.models):
        parser.error("give files to pack, or --unpack")
    try:
        if parsed.unpack:
            unpack(parsed.folder)
        else:
            pack(parsed.folder, parsed.models)
    except PerchError as error:
        complain("benchmarks.cuda.kit", error)
        return 2
    return 0


def unpack(folder: Path) -> list[Path]:
    """Makes the whole files beside the light ones, and names them.

    Raises:
        InputError: there is no light file, or one is damaged.
        OutputError: a whole one cannot be written.
    """
    lights = sorted(folder.glob(f"*{LIGHT}"))
    if not lights:
        raise InputError(f"there is no light file (*{LIGHT}) in {folder}; pack some files first")
    files = []
    for light in lights:
        files.append(light.with_suffix(""))
        fill(light, files[-1])
        print(f"{files[-1]}: {_mib(files[-1])}, as it was packed")
    return files


def pack(folder: Path, models: Sequence[Path]) -> None:
    """Makes a kit.

    Raises:
        ArtifactError: a model is damaged, or no converted file.
        InputError: two models have the same name, or a spectrogram cannot be found.
        OutputError: the folder cannot be written.
    """
    from benchmarks.cuda.kit.expected import write_expected
    from benchmarks.cuda.kit.lighten import lighten
    from benchmarks.cuda.recordings import FORMATS, by_format
    from convert.proof.synthetic import windows

    if twice := repeated([path.stem for path in models]):
        raise InputError(f"two files are called {twice[0]}; the kit's are named after them, so rename one")
    (folder / AUDIO).mkdir(parents=True, exist_ok=True)
    outputs: dict[str, dict[str, NDArray[np.float32]]] = {}
    identities: dict[str, str] = {}
    stored = np.zeros((0, 0), np.int16)
    with tempfile.TemporaryDirectory(prefix="perch-kit-") as scratch:
        for path in models:
            light, whole = folder / f"{path.name}{LIGHT}", Path(scratch, "whole.onnx")
            session = lighten(path, whole, light)
            print(f"{light}: {_mib(light)} for {_mib(whole)}")
            if not len(stored):
                sound = windows(SEED, WINDOWS, session.artifact.window_samples)
                stored = np.round(sound * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)
            heads = [name for name, head in session.artifact.heads.items() if np.prod(head.shape) <= MOST_VALUES]
            outputs[path.stem] = session.run(stored.astype(np.float32) / np.float32(2**15), heads, 1)
            identities[path.stem] = session.artifact.artifact_sha256
    write_expected(folder / EXPECTED, stored, outputs, identities)
    by_format(FORMATS, None, folder / AUDIO, distinct=1)
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {total / 2**20:.1f} MiB in all")


def _mib(path: Path) -> str:
    return f"{path.stat().st_size / 2**20:.1f} MiB"


if __name__ == "__main__":
    sys.exit(main())
