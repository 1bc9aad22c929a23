"""The files of a SavedModel, as far as they can be listed without TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path

from convert.errors import ConversionError
from runtime.errors import ArtifactError
from runtime.model.artifact import read_entries

GRAPH = "saved_model.pb"
GET_IT = (
    "a Perch SavedModel folder holds saved_model.pb, variables/ and assets/; docs/convert.md says how to download one, "
    "and `python -m convert.untrained FOLDER` makes an untrained one"
)


def check_folder(folder: Path) -> None:
    """Refuses what is no SavedModel's folder.

    Raises:
        ConversionError: it is missing, or lacks the graph or the weights.
    """
    if _is_onnx(folder):
        raise ConversionError(f"{folder} is an ONNX file already; name the folder of a SavedModel")
    if folder.is_file():
        raise ConversionError(
            f"{folder} is a file, not the folder of a SavedModel; `model.export(FOLDER)` makes one of a Keras model; "
            f"{GET_IT}"
        )
    if not folder.is_dir():
        raise ConversionError(f"there is no folder {folder}; {GET_IT}")
    if not (folder / GRAPH).is_file():
        raise ConversionError(f"{folder} is not a SavedModel: it has no {GRAPH}; {GET_IT}")
    if not any(folder.glob("variables/variables.*")):
        raise ConversionError(f"{folder} has no weights: its folder variables/ is missing or empty; {GET_IT}")


def _is_onnx(path: Path) -> bool:
    """Whether it is an ONNX file, as far as its name and its form tell."""
    try:
        read_entries(path)
    except ArtifactError:
        return False
    return path.suffix.lower() == ".onnx"


def model_files(folder: Path) -> list[Path]:
    """All files in a SavedModel's folder except converted ones, which may lie there too."""
    if not (folder / GRAPH).is_file():
        return []
    files = [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]
    return [path for path in files if path.suffix.lower() != ".onnx"]
