"""The job of a run's workers: the request, and what follows from it for this model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runtime.audio.overlap import Overlap
from runtime.audio.peaks import peak_hop
from runtime.audio.recording import Window, count_part_windows
from runtime.classes.class_map import ClassMap, map_classes
from runtime.classes.wanted import WantedClasses
from runtime.errors import InputError
from runtime.model.artifact import Artifact
from runtime.model.ensemble import Models, asked_outputs, members_of, named_models
from runtime.model.heads import LABEL, Head
from runtime.model.logits import check_logit_scale
from runtime.model.profile import Setup
from runtime.request.detections import AUTO
from runtime.request.request import Request


@dataclass(frozen=True)
class Job:
    """What all workers of a run have in common.

    `device` is "cpu" or "cuda:N"; `hop` is from one row's start to the next, in samples, and where windows are around
    peaks their starts are multiples of it; `overlap` says which windows make a row, None if each has its own, and
    `maxima` are the outputs of which it has their greatest values, not their mean; `part_windows` is how many rows each
    part of a long recording has; `class_maps` apply to the outputs `label`, by their names; `dtypes` are those of the
    outputs without classes.
    """

    models: Mapping[str, Path]
    request: Request
    device: str
    setup: Setup
    hop: int
    part_windows: int
    class_maps: Mapping[str, ClassMap]
    overlap: Overlap | None = None
    maxima: tuple[str, ...] = ()
    dtypes: Mapping[str, str] = field(default_factory=dict)

    @property
    def tf32(self) -> bool:
        """Whether float32 may be rounded to TF32, which only a GPU does."""
        return self.request.tf32 and self.device != "cpu"

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs that rows hold."""
        return tuple(self.request.outputs)

    @property
    def computed(self) -> tuple[str, ...]:
        """The outputs that the models compute: those of rows, and others that class maps need."""
        needed = (other for name, mapped in self.class_maps.items() for other in read_by(mapped, name).values())
        return tuple(dict.fromkeys((*self.outputs, *needed)))

    @property
    def max_peaks(self) -> int | None:
        """How many windows around its loudest events a recording has at most; None where windows are a grid."""
        return self.request.max_peaks if self.request.segments == "peaks" else None

    @property
    def window_hop(self) -> int:
        """From one window's start to the next, in samples, apart from shifts."""
        if self.overlap is None or self.overlap.clamped:
            return self.hop
        first, second, *_ = self.overlap.offsets
        return second - first

    def place(self, window: Window) -> int:
        """Where a window is: its row or, where several make one, its start in samples."""
        return window.index if self.overlap is None else window.start

    @property
    def options(self) -> dict[str, Any]:
        """What rows depend on besides the model and the recordings, as an unfinished run remembers it."""
        mapped = next(iter(self.class_maps.values()), None)
        columns = {name: each.columns for name, each in self.class_maps.items()}
        resolved = {
            "hop": self.window_hop,
            "max_peaks": self.max_peaks,
            "classes": mapped.names if mapped else None,
            "class_columns": columns.get(LABEL, columns or None),
            "unmapped": (mapped.proxy or mapped.unmapped_value) if mapped else None,
            "smooth": self.request.weights,
        }
        asked = {key: resolved.get(key, value) for key, value in self.request.journal()}
        chosen = {"batch_size": self.setup.batch_size, "threads": self.setup.threads}
        rounded = {"tf32": True} if self.tf32 else {}  # left out otherwise, as journals of older versions lack it
        return {**asked, "device": self.device.partition(":")[0], **rounded, **chosen}


def read_by(class_map: ClassMap, label: str) -> dict[str, str]:
    """The outputs that the class map of an output `label` reads, by their names in its own model."""
    return {name: label.removesuffix(LABEL) + name for name in class_map.outputs}


def make_job(
    artifact: Artifact, model: Models, request: Request, device: str, setup: Setup, wanted: WantedClasses | None
) -> Job:
    """The job of all workers of a run.

    Raises:
        InputError: an option cannot be used with these models or classes.
    """
    request = replace(request, outputs=asked_outputs(artifact, request.outputs), progress=False)
    heads = [artifact.head(name) for name in request.outputs]
    _check_own_heads(artifact, heads, request)
    named = ", ".join(request.outputs)
    namespaces = list(dict.fromkeys(name for head in heads for name in head.class_lists))
    if request.namespace is not None and request.namespace not in namespaces:
        had = f"has {', '.join(namespaces)}" if namespaces else "has no class list"
        raise InputError(f"namespace is {request.namespace!r}, but of {named} the model {had}")
    if wanted is not None and wanted.row_ids is not None and request.segments == "peaks":
        raise InputError(
            "segments is 'peaks', but the classes are a sample submission, whose rows are a grid; use segments='grid', "
            "or a taxonomy or class list"
        )
    if wanted is not None and wanted.row_ids is not None and (request.between or request.dates):
        raise InputError(
            "between and dates leave out windows, but the classes are a sample submission, which says which rows there "
            "are; leave out these options, or use a taxonomy or class list"
        )
    labels = {prefix: member for prefix, member in members_of(artifact).items() if prefix + LABEL in request.outputs}
    if request.logit_scale is not None:
        check_logit_scale(request.logit_scale, request.outputs, [member.family for member in labels.values()])
    if wanted is not None and not labels:
        raise InputError(f"classes are columns of the output 'label', which is not among {named}")
    hop = _hop(artifact, request)
    overlap = _overlap(artifact, request, hop)
    hop = hop if overlap is None else overlap.hop
    return Job(
        models={name: path.absolute() for name, path in named_models(model).items()},
        request=request,
        device=device,
        setup=setup,
        hop=hop,
        part_windows=count_part_windows(artifact.sample_rate, hop, sum(head.row_bytes for head in heads)),
        class_maps={} if wanted is None else _class_maps(artifact, labels, request, wanted),
        overlap=overlap,
        maxima=tuple(head.name for head in heads if head.classes) if request.pool == "max" else (),
        dtypes={head.name: request.embedding_dtype for head in heads if not head.classes},
    )


def _check_own_heads(artifact: Artifact, heads: Sequence[Head], request: Request) -> None:
    """Raises InputError if heads that a user added are asked for what they were not taught for, or others for it."""
    for head in heads:
        if head.own is not None and head.own.normalize not in (None, request.normalize):
            raise InputError(
                f"{head.name} was taught on windows with normalize '{head.own.normalize}', and this run has "
                f"'{request.normalize}'; give --normalize {head.own.normalize}, or leave out {head.name}"
            )
    if request.detections is None or request.detections.min_score != AUTO:
        return
    able = [head.name for head in artifact.heads.values() if head.own is not None and head.own.has_thresholds]
    if able and not set(able) & {head.name for head in heads}:
        raise InputError(
            f"min_score '{AUTO}' takes stored thresholds, and of {', '.join(request.outputs)} there are none; ask for "
            f"--outputs {able[0]}"
        )


def _overlap(artifact: Artifact, request: Request, hop: int) -> Overlap | None:
    """The windows that make a row, if there are several; `hop` is the one asked for, in samples."""
    window, window_s, rate = artifact.window_samples, artifact.window_s, artifact.sample_rate
    if request.pool is not None:
        if window % hop or window < 2 * hop:
            raise InputError(
                f"hop_s is {hop / rate:g}, but pool needs one that goes into the window of {window_s:g} s twice or "
                f"more, without a remainder, such as {window_s / 2:g}"
            )
        return Overlap.pooled(hop, window)
    if request.shifts is None:
        return None
    shifts = [round(shift * rate) for shift in request.shifts]
    if max(map(abs, shifts)) >= hop:
        listed = ", ".join(f"{shift:g}" for shift in request.shifts)
        raise InputError(f"shifts are {listed}, but each must be less than the hop of {hop / rate:g} s in size")
    return Overlap.shifted(shifts, hop)


def _class_maps(
    artifact: Artifact, prefixes: Iterable[str], request: Request, wanted: WantedClasses
) -> dict[str, ClassMap]:
    """The class map of each output `label`.

    Raises:
        InputError: one cannot be made; of several models, the message names the output.
    """
    maps = {}
    for prefix in prefixes:
        label, genus = artifact.head(prefix + LABEL), artifact.heads.get(prefix + "genus")
        try:
            maps[label.name] = map_classes(wanted, label, request.unmapped, request.namespace, genus)
        except InputError as error:
            raise InputError(f"{label.name}: {error}" if prefix else str(error)) from None
    return maps


def _hop(artifact: Artifact, request: Request) -> int:
    """Samples from one window's start to the next; for windows around peaks, the step at whose multiples they start."""
    if request.segments == "peaks":
        return peak_hop(artifact.sample_rate)
    if request.hop_s is None:
        return artifact.window_samples
    if request.hop_s * artifact.sample_rate < 1:
        raise InputError(f"hop_s is {request.hop_s}, but must be at least a sample, 1/{artifact.sample_rate} s")
    return round(request.hop_s * artifact.sample_rate)
