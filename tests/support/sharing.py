"""What all processes of a test run share."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.source.folder import GRAPH
from convert.source.reference import Call, published
from convert.source.saved_model import SavedModel


class Shared:
    """A folder of one test run, whichever of its processes asks."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        own = factory.getbasetemp()
        self._folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
        self._folder.mkdir(exist_ok=True)

    def made(self, name: str, make: Callable[[Path], object]) -> Path:
        """The path of this name, which `make` writes for the first process to ask; the others wait for it."""
        path = self._folder / name
        with path.with_name(f"{name}.made").open("a") as made:
            fcntl.flock(made, fcntl.LOCK_EX)  # until it is closed
            if not os.fstat(made.fileno()).st_size:
                make(path)
                made.write("yes")
        return path


class KeptOutputs:
    """What TensorFlow gave for windows; `published` takes the place of `convert.source.reference.published`."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._latest: tuple[str, Call] | None = None

    def published(self, model: SavedModel) -> Call:
        """A call that runs TensorFlow if no process has run the same SavedModel on the same windows."""

        def call(windows: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
            asked = hashlib.sha256(computing.encode() + windows.tobytes()).hexdigest()
            path = self._shared.made(asked, lambda path: path.write_bytes(pickle.dumps(compute(windows))))
            found: Mapping[str, NDArray[Any]] = pickle.loads(path.read_bytes())
            return found

        def compute(windows: NDArray[np.float32]) -> Mapping[str, NDArray[Any]]:
            if self._latest is None or self._latest[0] != computing:
                self._latest = computing, published(model)
            return self._latest[1](windows)

        files = [model.path / GRAPH, *sorted(model.path.glob("variables/*"))]  # class lists compute nothing
        computing = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
        return call
