"""What a run reads besides the model: the recordings, the wanted classes, what names of classes stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.audio.paths import FoundRecordings, Sources, find_recordings
from runtime.classes.taxonomy import Taxonomy, read_taxonomy
from runtime.classes.wanted import WantedClasses, read_classes
from runtime.console.log import log
from runtime.errors import InputError
from runtime.files import Files
from runtime.request.request import Request


@dataclass(frozen=True)
class Inputs:
    """What a run reads besides the model.

    `wanted` are the classes asked for, None for all of the model's; `submission` the row_ids of a sample submission,
    None without one or where not every row is written; `taxonomy` says what names of classes stand for; `files` are all
    files that are read, by what they are.
    """

    recordings: FoundRecordings
    wanted: WantedClasses | None
    submission: Sequence[str] | None
    taxonomy: Taxonomy
    files: Mapping[str, Files]


def read_inputs(soundscapes: Sources, models: Mapping[str, Path], request: Request, every_row: bool) -> Inputs:
    """Finds the recordings, and reads the classes. `every_row` is whether each window has a row in what is written.

    Raises:
        InputError: one cannot be read, or there is nothing to score.
    """
    sources = [soundscapes] if isinstance(soundscapes, (str, Path)) else list(soundscapes)
    recordings = find_recordings(sources)
    inputs = read_classes_of(recordings, models, request, every_row)
    if not recordings.paths and not (inputs.wanted is not None and inputs.wanted.row_ids):
        raise InputError(recordings.nothing(", ".join(map(str, sources)) or "an empty list"))
    if recordings.warning is not None:
        log.warning(recordings.warning)
    return inputs


def read_classes_of(
    recordings: FoundRecordings, models: Mapping[str, Path], request: Request, every_row: bool
) -> Inputs:
    """Reads the classes and the taxonomy of a request.

    Raises:
        InputError: one cannot be read.
    """
    classes, taxonomy = request.classes, request.taxonomy
    wanted = read_classes(classes, taxonomy) if classes is not None else None
    taxa = wanted.taxonomy if wanted is not None else read_taxonomy(taxonomy) if taxonomy is not None else Taxonomy()
    files: Mapping[str, Files] = {
        "the model": list(models.values()),
        "the classes": classes if isinstance(classes, (str, Path)) else None,
        "the taxonomy": taxonomy,
        **(request.detections.reads if request.detections is not None else {}),
        "the recording": [path for path in recordings.paths if path not in recordings.sizes],
    }
    submission = wanted.row_ids if wanted is not None and every_row else None
    if submission is not None and request.channel == "each":
        raise InputError(
            "channel is 'each', but the classes are a sample submission, which has one row a window; name a channel, "
            "or use a taxonomy or class list"
        )
    return Inputs(recordings, wanted, submission, taxa, files)
