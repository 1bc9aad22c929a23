"""What a caller asks of a run, checked against what the model has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from runtime.audio.peaks import peak_hop
from runtime.audio.recording import count_part_windows
from runtime.audio.windows import Normalization, Segments
from runtime.classes.class_map import check_unmapped, map_classes
from runtime.classes.wanted import WantedClasses
from runtime.cores import usable_cores
from runtime.errors import InputError
from runtime.model import cuda
from runtime.model.artifact import Artifact
from runtime.model.logits import check_activation, check_logit_scale
from runtime.model.profile import Setup, read_profile
from runtime.request import EmbeddingDtype
from runtime.rows.smoothing import check_smooth
from runtime.values import at_least_one
from runtime.workers.protocol import Job

CPU_BATCH = 2
"""Small batches stay in a core's cache."""
MOST_HOP_S = 86_400.0


def job_of(
    artifact: Artifact,
    model: str | Path,
    *,
    outputs: Sequence[str],
    device: str,
    setup: Setup,
    hop_s: float | None,
    normalize: Normalization,
    segments: Segments = "grid",
    max_peaks: int = 5,
    wanted: WantedClasses | None,
    unmapped: float | str,
    namespace: str | None,
    logit_scale: str | None,
    activation: str = "none",
    smooth: Sequence[float] | None = None,
    embedding_dtype: str = "float32",
) -> Job:
    """What all workers are told; for the arguments see `run_soundscapes`.

    Raises:
        InputError: an argument cannot be used, or not with this model.
    """
    names = (outputs,) if isinstance(outputs, str) else tuple(dict.fromkeys(outputs))
    heads = [artifact.head(name) for name in names]
    if not names:
        raise InputError(f"no output was asked for; the model has {', '.join(artifact.heads)}")
    if normalize not in ("raw", "peak"):
        raise InputError(f"normalize is {normalize!r}, but must be 'raw' or 'peak'")
    if hop_s is not None and not 1 / artifact.sample_rate <= hop_s < MOST_HOP_S:
        raise InputError(f"hop_s is {hop_s}, but must be more than 0 seconds and less than a day")
    hop = artifact.window_samples if hop_s is None else round(hop_s * artifact.sample_rate)
    if segments not in ("grid", "peaks"):
        raise InputError(f"segments is {segments!r}, but must be 'grid' or 'peaks'")
    peaks = at_least_one("max_peaks", max_peaks) if segments == "peaks" else None
    if peaks is not None:
        _check_peaks(hop_s, wanted, smooth)
        hop = peak_hop(artifact.sample_rate)
    check_unmapped(unmapped)
    if wanted is not None and "label" not in names:
        raise InputError(f"classes are columns of the output 'label', which is not among {', '.join(names)}")
    known = list(dict.fromkeys(known for head in heads for known in head.class_lists))
    if namespace is not None and namespace not in known:
        had = f"has {', '.join(known)}" if known else "has no class list"
        raise InputError(f"namespace is {namespace!r}, but of {', '.join(names)} the model {had}")
    scale = check_logit_scale(logit_scale, names, artifact.family)
    class_map = None
    if wanted is not None:
        class_map = map_classes(wanted, artifact.head("label"), unmapped, namespace, artifact.heads.get("genus"))
    return Job(
        model=Path(model).absolute(),
        device=device,
        outputs=names,
        batch_size=setup.batch_size,
        threads=setup.threads,
        hop=hop,
        part_windows=count_part_windows(artifact.sample_rate, hop, sum(head.row_bytes for head in heads)),
        normalize=normalize,
        max_peaks=peaks,
        class_map=class_map,
        namespace=namespace,
        logit_scale=scale,
        activation=check_activation(activation),
        smooth=check_smooth(smooth),
        embedding_dtype=_embedding_dtype(embedding_dtype),
    )


def _embedding_dtype(dtype: str) -> EmbeddingDtype:
    for known in get_args(EmbeddingDtype):
        if dtype == known:
            return known
    raise InputError(f"embedding_dtype is {dtype!r}, but must be one of {', '.join(get_args(EmbeddingDtype))}")


def _check_peaks(hop_s: float | None, wanted: WantedClasses | None, smooth: Sequence[float] | None) -> None:
    if hop_s is not None:
        raise InputError(
            f"hop_s is {hop_s}, but windows around peaks have no hop; leave it out, or use segments='grid'"
        )
    if wanted is not None and wanted.row_ids is not None:
        raise InputError(
            "segments is 'peaks', but the classes are a sample submission, whose rows are a grid; use segments='grid', "
            "or a taxonomy or class list"
        )
    if smooth is not None:
        raise InputError(
            "smooth takes the mean of neighbouring windows, which windows around peaks are not; leave it out"
        )


def choose_setup(
    artifact: Artifact,
    device: str,
    workers: int | None = None,
    threads: int | None = None,
    batch_size: int | None = None,
    unfinished: Mapping[str, Any] | None = None,
) -> tuple[Setup, str]:
    """How much works at once on "cpu" or "cuda:N", and why that.

    This machine's profile was measured as a whole and is taken as a whole: where any of the three is given, the others
    are what they would be without it. Rows depend on threads and batch, so that a run which goes on with an
    `unfinished` one takes those from there unless they are given.

    Raises:
        InputError: one is less than 1.
    """
    asked = {"workers": workers, "threads": threads, "batch_size": batch_size}
    given = {name: at_least_one(name, value) for name, value in asked.items() if value is not None}
    profile = None if given or unfinished else read_profile(artifact.artifact_sha256, device)
    if profile is not None:
        return profile.setup, str(profile)
    before = unfinished or {}
    kept = {name: count for name in ("threads", "batch_size") if type(count := before.get(name)) is int and count > 0}
    known = {**kept, **given}
    on_cpu = device == "cpu"
    taken = known.get("threads", 1)
    setup = Setup(
        workers=known.get("workers") or max(1, usable_cores() // (taken if on_cpu else 1)),
        threads=taken,
        batch_size=known.get("batch_size") or (CPU_BATCH if on_cpu else cuda.batch_size(device)),
    )
    if kept.keys() - given.keys():
        return setup, "as in the run that is resumed"
    return setup, "as asked" if given else "default"
