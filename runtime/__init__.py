"""Runs converted Perch models over soundscapes, without TensorFlow.

>>> from runtime import run_soundscapes
>>> soundscapes = run_soundscapes("recordings/", "perch.onnx")
>>> soundscapes["label"].shape
(480, 10932)
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.archive.merge import MergeSummary, merge_archive
    from runtime.archive.run import ArchiveInterrupted, run_archive
    from runtime.archive.status import ArchiveStatus, archive_status
    from runtime.archive.summary import ArchiveSummary
    from runtime.console.progress import Progress
    from runtime.console.version import __version__
    from runtime.errors import ArtifactError, DeviceError, InputError, OutputError, PerchError
    from runtime.loaded import Model, load_model
    from runtime.request.detections import Detections
    from runtime.rows.soundscapes import Soundscapes
    from runtime.rows.summary import Failure, Note
    from runtime.rows.timing import Timing
    from runtime.run import Interrupted, run_soundscapes

__all__ = [
    "ArchiveInterrupted",
    "ArchiveStatus",
    "ArchiveSummary",
    "ArtifactError",
    "Detections",
    "DeviceError",
    "Failure",
    "InputError",
    "Interrupted",
    "MergeSummary",
    "Model",
    "Note",
    "OutputError",
    "PerchError",
    "Progress",
    "Soundscapes",
    "Timing",
    "__version__",
    "archive_status",
    "load_model",
    "merge_archive",
    "run_archive",
    "run_soundscapes",
]

_MODULES = {
    "ArchiveInterrupted": "runtime.archive.run",
    "ArchiveStatus": "runtime.archive.status",
    "ArchiveSummary": "runtime.archive.summary",
    "ArtifactError": "runtime.errors",
    "Detections": "runtime.request.detections",
    "DeviceError": "runtime.errors",
    "Failure": "runtime.rows.summary",
    "InputError": "runtime.errors",
    "Interrupted": "runtime.run",
    "MergeSummary": "runtime.archive.merge",
    "Model": "runtime.loaded",
    "Note": "runtime.rows.summary",
    "OutputError": "runtime.errors",
    "PerchError": "runtime.errors",
    "Progress": "runtime.console.progress",
    "Soundscapes": "runtime.rows.soundscapes",
    "Timing": "runtime.rows.timing",
    "__version__": "runtime.console.version",
    "archive_status": "runtime.archive.status",
    "load_model": "runtime.loaded",
    "merge_archive": "runtime.archive.merge",
    "run_archive": "runtime.archive.run",
    "run_soundscapes": "runtime.run",
}


def _imported(name: str) -> object:
    """A public name, imported when it is first asked for: every worker imports this package, and needs none of them."""
    if name not in _MODULES:
        raise AttributeError(f"module 'runtime' has no attribute '{name}'")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__


if not TYPE_CHECKING:  # else every name would seem to exist
    __getattr__ = _imported
