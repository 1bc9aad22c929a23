"""What a caller may ask of a run: each option once, with its type, default, check and help text.

`run_soundscapes`, `perch-run`, their documentation and the journal of an unfinished run are made from these fields. To
add an option, add its field here and use it where it acts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runtime.audio.windows import Normalization, Segments
from runtime.classes.class_map import Unmapped, check_unmapped
from runtime.console.progress import Progress
from runtime.errors import InputError
from runtime.model.logits import Activation, LogitScale
from runtime.model.session import Device, check_device
from runtime.request.detections import Detections
from runtime.request.field import check_options, option, options_of
from runtime.request.values import at_least_one, number, parse_names, parse_seconds, parse_weights, positive_seconds

EmbeddingDtype = Literal["float32", "float16"]
OnDeadline = Literal["fill", "interpolate"]
MOST_HOP_S = 86_400.0

WHERE = "where rows go"
WHAT = "what to compute"
HOW = "how to compute"


def _hop(name: str, value: object) -> float:
    hop_s = number(name, value)
    if not 0 < hop_s < MOST_HOP_S:
        raise InputError(f"{name} is {value}, but must be more than 0 seconds and less than a day")
    return hop_s


def _weights(name: str, value: Any) -> tuple[float, ...]:
    try:
        weights = tuple(float(weight) for weight in value)
    except (TypeError, ValueError):
        weights = ()
    if len(weights) % 2 == 0 or not all(0 <= weight < math.inf for weight in weights) or not weights[len(weights) // 2]:
        raise InputError(
            f"{name} is {value!r}, but must be the weights of a window and as many before as after it, such as 1, 2, 1"
        )
    return weights


def _unmapped(name: str, value: Unmapped) -> Unmapped:
    check_unmapped(value)
    return value


def _names(name: str, value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(dict.fromkeys(value))


def _progress(name: str, value: object) -> object:
    if not isinstance(value, bool) and not callable(value):
        raise InputError(f"{name} is {value!r}, but must be True, False or a function")
    return value


def _detections(name: str, value: object) -> object:
    if value is not None and not isinstance(value, Detections):
        raise InputError(f"{name} is {value!r}, but must be a Detections, such as Detections(top=3)")
    return value


@dataclass(frozen=True, kw_only=True)
class Request:
    """All options of a run, checked as far as possible without the model and the recordings.

    Raises:
        InputError: an option cannot be used, or not with another.
    """

    outputs: Sequence[str] = option(
        ("label",),
        'the model\'s outputs to compute: "label", "embedding". Perch v1 also has "genus", "family", "order" and '
        '"frontend"; Perch v2 also has "spatial_embedding" and "spectrogram"',
        WHAT,
        metavar="NAME,NAME",
        parse=parse_names,
        check=_names,
        journal=["outputs"],
    )
    device: Device = option(
        "auto",
        'where to compute. "auto" takes the first GPU if there is one and onnxruntime-gpu is installed, else the CPU. '
        '"cpu" takes the CPU. "cuda" and "cuda:1" take that GPU and never fall back to the CPU',
        HOW,
        check=check_device,
        journal=False,  # the chosen value is recorded: see `Job.options`
    )
    workers: int | None = option(
        None,
        "number of processes. On the CPU, each decodes and scores. For a GPU they decode, and one more process scores",
        HOW,
        unset="as many as keep all physical cores busy",
        metavar="N",
        check=at_least_one,
        journal=False,
    )
    threads: int | None = option(
        None,
        "threads with which each worker computes on the CPU",
        HOW,
        unset="1",
        metavar="N",
        check=at_least_one,
        journal=False,  # the chosen value is recorded: see `Job.options`
    )
    batch_size: int | None = option(
        None,
        "windows computed at once. If a GPU runs out of memory the batch is halved, with a warning. If `workers`, "
        "`threads` and `batch_size` are all left out, the run takes the fastest setup that `perch-bench throughput` "
        "measured for this model on this machine and device, and the summary says so. A resumed run keeps the threads "
        "and the batch that it began with",
        HOW,
        unset="2 on the CPU; on a GPU, as many as fit into its free memory",
        metavar="N",
        check=at_least_one,
        journal=False,  # the chosen value is recorded: see `Job.options`
    )
    hop_s: float | None = option(
        None,
        "seconds from the start of one window to the start of the next",
        WHAT,
        unset="the length of a window, 5 s",
        flags=["--hop"],
        metavar="TIME",
        parse=parse_seconds,
        check=_hop,
        journal=["hop"],
    )
    normalize: Normalization = option(
        "raw",
        '"raw" takes amplitudes as decoded, as BirdCLEF notebooks do. "peak" removes the mean of each window and '
        "scales its peak to 0.25, as Perch's own library does",
        WHAT,
        journal=["normalize"],
        recording=True,
    )
    segments: Segments = option(
        "grid",
        '"grid" takes windows from start to end, one hop apart. "peaks" takes windows around the loudest events, for '
        "focal recordings; a recording without events then has no rows",
        WHAT,
        journal=["segments"],
    )
    max_peaks: int = option(
        5,
        'the most windows that a recording has if `segments` is "peaks"',
        WHAT,
        metavar="N",
        check=at_least_one,
        journal=["max_peaks"],
    )
    classes: str | Path | Sequence[str] | None = option(
        None,
        'the wanted columns of "label", in order: a sample_submission.csv, a taxonomy.csv, a class list (a header, '
        "then one name a line), or in Python a list of names. A class that the model has under another name is found "
        "by its scientific name or its eBird code. If a sample submission names any of the recordings, the result has "
        'exactly its rows, in its order: rows that match no recording are "filled", and recordings that it does not '
        "name are left out. Detections and hoplite databases use only its classes",
        WHAT,
        unset="all that the model has",
        metavar="FILE.csv",
        journal=["classes", "class_columns"],
    )
    taxonomy: str | Path | None = option(
        None,
        "a CSV with the columns primary_label, scientific_name, common_name and class_name. It says what the names in "
        "`classes` and in detections mean. It is not needed if `classes` is such a file",
        WHAT,
        unset="the package's own table of eBird codes; a name that looks like a scientific name is taken as one",
        metavar="FILE.csv",
        journal=False,  # it acts through the columns of `classes`
    )
    unmapped: Unmapped = option(
        "zero",
        'the score of a wanted class that the model lacks: "zero", another number, or the score of its genus. '
        '"genus-max" and "genus-mean" take the greatest or the mean score of the genus\'s classes, "genus-head" takes '
        'the output "genus" of Perch v1. A class without relatives then gets 0',
        WHAT,
        metavar="VALUE",
        parse=str,
        check=_unmapped,
        journal=["unmapped"],
    )
    namespace: str | None = option(
        None,
        'the model\'s class list that names the columns, and in which `classes` are looked up, such as "ebird2021". A '
        "head that lacks this list keeps its own",
        WHAT,
        unset="the model's first; for `classes`, the list that has most of them, then the others",
        metavar="NAME",
        journal=["namespace"],
    )
    logit_scale: LogitScale | None = option(
        None,
        '"perch-hoplite" scales "label" as perch-hoplite does for Perch v2: 0.97 x - 10. The values of `unmapped` and '
        "`fill` are not scaled",
        WHAT,
        unset="as the model gives it",
        journal=["logit_scale"],
    )
    activation: Activation = option(
        "none",
        '"sigmoid" or "softmax" of the scores of heads with classes. A softmax is taken over the columns that are '
        "written. A metric such as ROC-AUC ranks the windows of a class: a sigmoid keeps that ranking, a softmax does "
        "not. The values of `unmapped` and `fill` stay as they are",
        WHAT,
        journal=["activation"],
    )
    smooth: Sequence[float] | None = option(
        None,
        "weights of a window, in the middle, and of its neighbours in the same recording, such as 1,2,1. Scores of "
        "heads with classes become the weighted mean, after `activation`. Windows without a score do not count",
        WHAT,
        unset="no smoothing",
        metavar="WEIGHTS",
        parse=parse_weights,
        check=_weights,
        journal=["smooth"],
    )
    embedding_dtype: EmbeddingDtype = option(
        "float32",
        '"float16" halves the size of embeddings and other outputs without classes, in memory and in files',
        WHAT,
        journal=["embedding_dtype"],
    )
    deadline_s: float | None = option(
        None,
        'seconds within which the run ends, a CSV written. Rows not reached by then are "filled"',
        HOW,
        unset="no deadline",
        flags=["--deadline"],
        metavar="TIME",
        parse=parse_seconds,
        check=positive_seconds,
        journal=False,
    )
    on_deadline: OnDeadline = option(
        "fill",
        '"fill" scores rows in order and leaves the rest "filled". "interpolate" first scores every other window '
        "(fewer if time is short), so that all recordings are covered, and then those between. A window not reached "
        "gets the mean of its scored neighbours. If time is not short, both give the same",
        HOW,
        journal=False,
    )
    fill: float = option(
        -1000.0, "what a CSV holds in rows without a score", WHERE, metavar="VALUE", check=number, journal=False
    )
    recording_timeout_s: float | None = option(
        None,
        "seconds without news of a recording after which its worker is stopped. The recording is tried once more",
        HOW,
        unset="300",
        flags=["--recording-timeout"],
        metavar="TIME",
        parse=parse_seconds,
        check=positive_seconds,
        journal=False,
    )
    sink: str | Path | None = option(
        None,
        'where rows go: a .csv (one output), a .parquet or .npz (any outputs), or "hoplite:FOLDER", a perch-hoplite '
        "database of the embeddings. Detections may also go to a .txt or a folder. Until all rows are there, those "
        "that are finished wait beside it, under its name with .partial. In Python, rows without a sink stay in memory",
        WHERE,
        flags=["-o", "--output"],
        metavar="FILE",
        journal=False,
    )
    resume: bool = option(
        False,
        "go on with an interrupted run from what it left beside `sink`. If it left nothing and `sink` is not there, "
        "start anew",
        WHERE,
        journal=False,
    )
    detections: Detections | None = option(
        None,
        "what to write to `sink` instead of all scores: `Detections`",
        unset="all scores",
        check=_detections,
        journal=False,
    )
    progress: bool | Callable[[Progress], object] = option(
        True,
        "True shows a progress bar, but only on a terminal or in a notebook. A function is called with a `Progress` "
        "each time a worker has sent something; an error that it raises ends the run",
        check=_progress,
        journal=False,
    )

    def __post_init__(self) -> None:
        check_options(self)
        for problem in self._conflicts():
            raise InputError(problem)

    def _conflicts(self) -> Iterator[str]:
        """Options that do not go together."""
        if self.sink is None and self.resume:
            yield "resume needs a sink: that of the run to go on with"
        if self.sink is None and self.detections is not None:
            yield "detections need a sink to go to, or use Soundscapes.to_detections"
        if self.on_deadline == "interpolate" and self.resume:
            yield "on_deadline='interpolate' cannot be resumed: its rows are final only at the end"
        if self.segments == "grid":
            return
        if self.on_deadline == "interpolate":
            yield "on_deadline='interpolate' needs windows on a grid, which segments='peaks' are not"
        if self.hop_s is not None:
            yield (
                f"hop_s is {self.hop_s:g}, but windows around peaks have no hop; leave it out, or use segments='grid'"
            )
        if self.smooth is not None:
            yield "smooth takes the mean of neighbouring windows, which windows around peaks are not; leave it out"

    @property
    def weights(self) -> tuple[float, ...] | None:
        """`smooth`, scaled to a sum of 1."""
        if self.smooth is None:
            return None
        shares = [weight / max(self.smooth) for weight in self.smooth]  # first, or the sum might be infinite
        return tuple(share / sum(shares) for share in shares)

    @property
    def of_recordings(self) -> dict[str, Any]:
        """How recordings are read, as arguments of `Recording`."""
        return {each.name: getattr(self, each.name) for each in options_of(type(self)) if each.recording}

    def journal(self) -> Iterator[tuple[str, Any]]:
        """What the journal of an unfinished run records of these options (see `Option`), key by key.

        A new option is left out at its default, so that journals of older versions, which lack it, still match.
        """
        for each in options_of(type(self)):
            value = getattr(self, each.name)
            if not isinstance(each.journal, bool):
                yield from ((key, value) for key in each.journal)
            elif each.journal and value != each.default:
                yield each.name, value
