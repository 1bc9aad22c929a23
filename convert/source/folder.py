"""The files of a SavedModel, told without TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path

GRAPH = "saved_model.pb"


def model_files(folder: Path) -> list[Path]:
    """All files of a SavedModel's folder but converted ones, which may lie there, too."""
    if not (folder / GRAPH).is_file():
        return []
    files = [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]
    return [path for path in files if path.suffix.lower() != ".onnx"]
