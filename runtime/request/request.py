"""What a caller may ask of a run: each option once, with its type, default, check and help text.

`run_soundscapes`, `perch-run`, their documentation and the journal of an unfinished run are made from these fields, and
those of `RecordingOptions` and `ScoreOptions`. To add an option, add its field there and use it where it acts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runtime.console.progress import Progress
from runtime.errors import InputError
from runtime.model.session import Device, check_device
from runtime.request.detections import Detections
from runtime.request.field import check_options, option, options_of
from runtime.request.recordings import RecordingOptions
from runtime.request.scores import ScoreOptions
from runtime.request.values import at_least_one, number, parse_seconds, positive_seconds, true_or_false

OnDeadline = Literal["fill", "interpolate"]

WHERE = "where rows go"
HOW = "how to compute"


def _progress(name: str, value: object) -> object:
    if not isinstance(value, bool) and not callable(value):
        raise InputError(f"{name} is {value!r}, but must be True, False or a function")
    return value


def _detections(name: str, value: object) -> object:
    if value is not None and not isinstance(value, Detections):
        raise InputError(f"{name} is {value!r}, but must be a Detections, such as Detections(top=3)")
    return value


@dataclass(frozen=True, kw_only=True)
class Request(RecordingOptions, ScoreOptions):
    """All options of a run, checked as far as possible without the model and the recordings.

    Raises:
        InputError: an option cannot be used, or not with another.
    """

    device: Device = option(
        "auto",
        'where to compute. "auto" takes the first GPU if there is one and onnxruntime-gpu is installed, else the CPU. '
        '"cpu" takes the CPU. "cuda" and "cuda:1" take that GPU and never fall back to the CPU',
        HOW,
        check=check_device,
        journal=False,  # the chosen value is recorded: see `Job.options`
    )
    tf32: bool = option(
        False,
        "let a GPU round the factors of float32 products to 10 bits of mantissa (TF32), which is faster and less "
        "accurate. It changes nothing on the CPU. An interrupted run is resumed as it began: with it, or without",
        HOW,
        check=true_or_false,
        journal=False,  # recorded where it changes rows: see `Job.options`
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
    deadline_s: float | None = option(
        None,
        'seconds within which the run ends, with the CSV written. Rows not reached by then are "filled"',
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
        if self.blend_of != "scores" and self.blend is None:
            yield "blend_of says what a blend is made of, and there is none; give blend the weights of the models"
        if self.channel == "each" and self.deadline_s is not None:
            yield "channel='each' reads all headers first, for which a deadline has no time; name a channel"
        if self.pool is not None and self.hop_s is None:
            yield "pool needs hop_s, which says how far apart windows start: half a window or less, such as 2.5"
        if self.pool is not None and self.shifts is not None:
            yield "pool and shifts both say which windows make a row; leave out one of them"
        at_times = self.between is not None or self.dates is not None
        if at_times and self.on_deadline == "interpolate":
            yield "on_deadline='interpolate' needs all windows, of which between and dates leave some out; use 'fill'"
        if self.segments == "grid":
            return
        if at_times:
            yield "between and dates choose windows of a grid, which windows around peaks are not; leave them out"
        if self.channel == "loudest":
            yield "channel='loudest' has no channel in which segments='peaks' could look for events; name one"
        if self.on_deadline == "interpolate":
            yield "on_deadline='interpolate' needs windows on a grid, which segments='peaks' are not"
        if self.hop_s is not None:
            yield (
                f"hop_s is {self.hop_s:g}, but windows around peaks have no hop; leave it out, or use segments='grid'"
            )
        if self.shifts is not None:
            yield "shifts move the windows of a grid, which windows around peaks are not; leave it out"
        if self.smooth is not None:
            yield "smooth takes the mean of neighbouring windows, which windows around peaks are not; leave it out"

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
