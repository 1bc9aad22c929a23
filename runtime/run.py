"""`run_soundscapes`: recordings in, rows out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from runtime.artifact import Artifact
from runtime.classes import WantedClasses, map_classes, read_classes, unmapped_value
from runtime.cores import usable_cores
from runtime.errors import InputError
from runtime.paths import Found, find_recordings
from runtime.pool import score_recordings
from runtime.progress import progress_bar
from runtime.session import check_install, choose_device, read_artifact
from runtime.soundscapes import Soundscapes
from runtime.table import Table
from runtime.windows import Normalization
from runtime.worker import Done, Job, Ready

CPU_BATCH, CUDA_BATCH = 2, 32
"""Small batches stay in a core's cache; a GPU wants large ones."""
RESERVE, MOST_RESERVE_S = 0.05, 30.0
"""Share of a deadline kept back for assembling and writing the rows, and its bound."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C (or a signal that raises KeyboardInterrupt) during a run; `soundscapes` holds what was scored so far."""

    def __init__(self, soundscapes: Soundscapes) -> None:
        super().__init__("interrupted")
        self.soundscapes = soundscapes


def run_soundscapes(
    soundscapes: str | Path | Iterable[str | Path],
    model: str | Path,
    *,
    outputs: Sequence[str] = ("label",),
    device: str = "auto",
    workers: int | None = None,
    batch_size: int | None = None,
    hop_s: float | None = None,
    normalize: Normalization = "raw",
    classes: str | Path | Sequence[str] | None = None,
    unmapped: float | str = "zero",
    deadline_s: float | None = None,
    fill: float = -1000.0,
    progress: bool = True,
) -> Soundscapes:
    """Scores every window of every recording.

    Args:
        soundscapes: a folder (read recursively), a glob, a path, or several paths.
        model: a file that `perch-convert` made.
        outputs: the heads to compute, in one pass.
        device: "auto" (a GPU if it can be had), "cpu", "cuda" or "cuda:1". "cuda" never falls back to the CPU.
        workers: processes; one for each physical core on the CPU, one on a GPU if None.
        batch_size: windows computed at once; 2 on the CPU, 32 on a GPU if None.
        hop_s: seconds from one window's start to the next; the window's length (5 s) if None.
        normalize: "raw" feeds amplitudes as decoded, as BirdCLEF notebooks do; "peak" removes each window's mean and
            scales its peak to 0.25, as Perch's own library does.
        classes: the columns wanted of `label`, in order: a sample submission, a taxonomy, a class list, or names.
        unmapped: value of wanted classes that the model does not know: "zero" or a number.
        deadline_s: seconds from this call within which it returns; rows not reached by then are "filled".
        fill: what `to_submission` writes for rows without a score.
        progress: whether to show a progress bar (only ever on a terminal or in a notebook).

    Returns:
        The rows (see `Soundscapes`). A recording that cannot be read is listed in `failures`, and does not stop the
        others.

    Raises:
        InputError: an argument cannot be used, or there is nothing to score.
        ArtifactError: `model` is missing, damaged, or not made by this project.
        DeviceError: the device cannot be had; what is missing is named.
        Interrupted: Ctrl-C; what was scored so far is in its `soundscapes`.
    """
    started = time.monotonic()
    check_install()
    artifact = read_artifact(model)
    found = find_recordings(soundscapes)
    wanted = read_classes(classes) if classes is not None else None
    _check_submission(found, wanted, soundscapes)
    job = _job(artifact, model, outputs, device, batch_size, hop_s, normalize, wanted, unmapped)
    count = _at_least_one("workers", workers) or (usable_cores() if job.device == "cpu" else 1)
    deadline = _stop_time(started, deadline_s)

    table = Table(found, artifact, job, wanted)
    ready = _Clock()
    interrupted = False
    try:
        _score_all(table, found.paths, job, count, deadline, progress, ready)
    except KeyboardInterrupt:
        interrupted = True
    result = table.result(math.inf if deadline_s is None else started + deadline_s)
    result.fill = fill
    result.timing = _timing(result, started, ready.at or time.monotonic(), job, count, artifact)
    if interrupted:
        raise Interrupted(result)
    return result


class _Clock:
    """When the first worker was ready, if one was."""

    at: float | None = None


def _score_all(
    table: Table, paths: Sequence[Path], job: Job, workers: int, deadline: float | None, progress: bool, ready: _Clock
) -> None:
    windows = 0
    with progress_bar(len(paths), progress, unit="recording") as bar:
        for event in score_recordings(paths, job, workers, deadline):
            if isinstance(event.message, Ready):
                ready.at = ready.at or time.monotonic()
                continue
            table.add(event.recording, event.message)
            if isinstance(event.message, Done):
                bar.update()
            else:
                windows += len(event.message.scored)
                rate = windows / (time.monotonic() - (ready.at or 0))
                bar.set_postfix_str(f"{rate:.0f} windows/s", refresh=False)


def _timing(
    result: Soundscapes, started: float, ready: float, job: Job, workers: int, artifact: Artifact
) -> dict[str, float | int | str]:
    now = time.monotonic()
    scored = result.count("scored")
    rate = scored / max(now - ready, 1e-9)
    return {
        "elapsed_s": now - started,
        "start_up_s": ready - started,
        "windows": scored,
        "windows_per_s": rate,
        "times_real_time": rate * job.hop / artifact.sample_rate,
        "device": job.device,
        "workers": workers,
        "batch_size": job.batch_size,
    }


def _check_submission(found: Found, wanted: WantedClasses | None, soundscapes: object) -> None:
    rows = wanted.row_ids if wanted is not None else None
    if not found.paths and not rows:
        raise InputError(f"no recordings in {soundscapes} (WAV, FLAC, OGG, MP3 or Opus)")
    if rows is not None and (twice := found.repeated_stem):
        raise InputError(
            f"{twice[0]} and {twice[1]} would have the same row_ids in a submission; rename one, or run them apart"
        )


def _job(
    artifact: Artifact,
    model: str | Path,
    outputs: Sequence[str],
    device: str,
    batch_size: int | None,
    hop_s: float | None,
    normalize: Normalization,
    wanted: WantedClasses | None,
    unmapped: float | str,
) -> Job:
    names = (outputs,) if isinstance(outputs, str) else tuple(dict.fromkeys(outputs))
    for name in names:
        artifact.head(name)
    if not names:
        raise InputError(f"no output was asked for; the model has {', '.join(artifact.heads)}")
    if normalize not in ("raw", "peak"):
        raise InputError(f"normalize is {normalize!r}, but must be 'raw' or 'peak'")
    hop = artifact.window_samples if hop_s is None else round(hop_s * artifact.sample_rate)
    if hop < 1:
        raise InputError(f"hop_s is {hop_s}, but must be more than 0 seconds")
    value = unmapped_value(unmapped)
    mapped = wanted is not None and "label" in names
    chosen = choose_device(device)
    return Job(
        model=Path(model).absolute(),
        device=chosen,
        outputs=names,
        batch_size=_at_least_one("batch_size", batch_size) or (CPU_BATCH if chosen == "cpu" else CUDA_BATCH),
        hop=hop,
        normalize=normalize,
        class_map=map_classes(wanted, artifact.head("label"), value) if mapped and wanted is not None else None,
    )


def _at_least_one(name: str, number: int | None) -> int | None:
    if number is not None and number < 1:
        raise InputError(f"{name} is {number}, but must be at least 1")
    return number


def _stop_time(started: float, deadline_s: float | None) -> float | None:
    """When scoring stops, on the monotonic clock: early enough to assemble and write what there is."""
    if deadline_s is None:
        return None
    if not deadline_s > 0:
        raise InputError(f"deadline_s is {deadline_s}, but must be more than 0 seconds")
    return started + deadline_s - min(RESERVE * deadline_s, MOST_RESERVE_S)
