"""Outputs that another machine computed in float32 on its CPU, in one .npz file.

`windows` holds the windows, `int16 [n, samples]` or `float32`; `NAME/HEAD` holds the values `float32 [n, ...]` of a
head of the file called NAME, and `NAME` the file's `artifact_sha256`. Heads and files may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError, reason

WINDOWS, FULL_SCALE = "windows", 32768


class Expected:
    """The windows and outputs in a file.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                self._arrays: dict[str, NDArray[np.generic]] = {name: arrays[name] for name in arrays.files}
            given = self._arrays.pop(WINDOWS)
        except OSError as error:
            raise InputError(f"{path} cannot be read ({reason(error)})") from None
        except (ValueError, KeyError, BadZipFile):
            raise InputError(f"{path} is no .npz with the array '{WINDOWS}'; benchmarks.cuda.kit makes one") from None
        scale = FULL_SCALE if given.dtype == np.int16 else 1
        self.windows: NDArray[np.float32] = (given.astype(np.float32) / np.float32(scale)).astype(np.float32)

    def outputs(self, name: str, artifact_sha256: str) -> dict[str, NDArray[np.float32]]:
        """The values of the heads of a file; none if it holds nothing of this file.

        Raises:
            InputError: it holds outputs of another file of this name.
        """
        identity = self._arrays.get(name)
        if identity is not None and str(identity) != artifact_sha256:
            raise InputError(
                f"expected are the outputs of another file called {name} (id {str(identity)[:12]}, not "
                f"{artifact_sha256[:12]})"
            )
        prefix = f"{name}/"
        found = {key.removeprefix(prefix): value for key, value in self._arrays.items() if key.startswith(prefix)}
        return {head: value.astype(np.float32) for head, value in found.items()}


def write_expected(
    path: Path,
    windows: NDArray[np.int16],
    outputs: Mapping[str, Mapping[str, NDArray[np.float32]]],
    identities: Mapping[str, str],
) -> None:
    """Writes outputs by file and head, and the `artifact_sha256` of each file."""
    values = {f"{name}/{head}": value for name, heads in outputs.items() for head, value in heads.items()}
    np.savez_compressed(path, **{WINDOWS: windows, **identities, **values})  # type: ignore[arg-type]
