"""Runs converted Perch models over soundscapes, without TensorFlow.

>>> from runtime import run_soundscapes
>>> soundscapes = run_soundscapes("recordings/", "perch.onnx")
>>> soundscapes["label"].shape
(480, 10932)
"""

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
