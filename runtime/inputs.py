"""What a run reads besides the model: the recordings, the wanted classes, what names of classes stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.audio.paths import FoundRecordings, Sources, find_recordings
from runtime.classes.taxonomy import Taxonomy, read_taxonomy
from runtime.classes.wanted import WantedClasses, read_classes
from runtime.errors import InputError
from runtime.files import Files
from runtime.log import log
from runtime.request import Request


@dataclass(frozen=True)
class Inputs:
    """What a run reads besides the model.

    `found` are the recordings; `wanted` the classes, if not all of the model's are; `submission` the row_ids of a
    sample submission, where rows are written that it can rule; `taxonomy` is what names of classes stand for; `files`
    are all that are read, by what they are.
    """

    found: FoundRecordings
    wanted: WantedClasses | None
    submission: Sequence[str] | None
    taxonomy: Taxonomy
    files: Mapping[str, Files]


def read_inputs(soundscapes: Sources, model: str | Path, request: Request, every_row: bool) -> Inputs:
    """Finds the recordings, and reads the classes. `every_row` is whether each window has a row in what is written.

    Raises:
        InputError: one cannot be read, or there is nothing to score.
    """
    sources = [soundscapes] if isinstance(soundscapes, (str, Path)) else list(soundscapes)
    found = find_recordings(sources)
    inputs = read_classes_of(found, model, request, every_row)
    if not found.paths and not (inputs.wanted is not None and inputs.wanted.row_ids):
        raise InputError(found.nothing(", ".join(map(str, sources)) or "an empty list"))
    if found.warning is not None:
        log.warning(found.warning)
    return inputs


def read_classes_of(found: FoundRecordings, model: str | Path, request: Request, every_row: bool) -> Inputs:
    """Reads the classes and the taxonomy of a request; the recordings are `found`.

    Raises:
        InputError: one cannot be read.
    """
    classes, taxonomy = request.classes, request.taxonomy
    wanted = read_classes(classes, taxonomy) if classes is not None else None
    known = wanted.taxonomy if wanted is not None else read_taxonomy(taxonomy) if taxonomy is not None else Taxonomy()
    files: Mapping[str, Files] = {
        "the model": model,
        "the classes": classes if isinstance(classes, (str, Path)) else None,
        "the taxonomy": taxonomy,
        "the recording": [path for path in found.paths if path not in found.sizes],
    }
    submission = wanted.row_ids if wanted is not None and every_row else None
    return Inputs(found, wanted, submission, known, files)
