"""The files of a SavedModel, as far as they can be listed without TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path

GRAPH = "saved_model.pb"
GET_IT = (
    "a Perch SavedModel folder holds saved_model.pb, variables/ and assets/; docs/convert.md says how to download one, "
    "and `python -m convert.untrained FOLDER` makes an untrained one"
)


def model_files(folder: Path) -> list[Path]:
    """All files in a SavedModel's folder except converted ones, which may lie there too."""
    if not (folder / GRAPH).is_file():
        return []
    files = [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]
    return [path for path in files if path.suffix.lower() != ".onnx"]
