"""Which version of perch-onnx this is."""

from __future__ import annotations

import importlib.metadata

try:
    __version__ = importlib.metadata.version("perch-onnx")
except importlib.metadata.PackageNotFoundError:
    __version__ = "not installed"
