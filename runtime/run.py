"""`run_soundscapes`: recordings in, rows out."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.artifact import Artifact
from runtime.classes import WantedClasses, map_classes, read_classes, unmapped_value
from runtime.cores import usable_cores
from runtime.errors import InputError
from runtime.paths import Found, Sources, find_recordings
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
"""Share of a deadline kept back for stopping and for headers of recordings not reached, and its bound."""
WRITE_S = 1e-6
"""What is kept back for each number to be written, twice what it takes on a slow machine."""
MOST_HEADERS_S = 10.0
MOST_HOP_S = 86_400.0


class Interrupted(KeyboardInterrupt):
    """Ctrl-C (or a signal that raises KeyboardInterrupt) during a run; `soundscapes` holds what was scored so far."""

    def __init__(self, soundscapes: Soundscapes) -> None:
        super().__init__("interrupted")
        self.soundscapes = soundscapes


def run_soundscapes(
    soundscapes: Sources,
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
        deadline_s: seconds from this call within which it returns, with time left to write a CSV; rows not reached by
            then are "filled".
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
    sources = [soundscapes] if isinstance(soundscapes, (str, Path)) else list(soundscapes)
    found = find_recordings(sources)
    wanted = read_classes(classes) if classes is not None else None
    _check_submission(found, wanted, sources)
    job = _job(artifact, model, outputs, device, batch_size, hop_s, normalize, wanted, unmapped)
    count = _at_least_one("workers", workers) or (usable_cores() if job.device == "cpu" else 1)
    deadline = _deadline(started, deadline_s)
    fill_value = _number("fill", fill)

    table = Table(found, artifact, job, wanted)
    score = _Scoring(table, found.paths, job, min(count, len(found.paths)), deadline)
    interrupted = False
    try:
        score.run(progress)
    except KeyboardInterrupt:
        interrupted = True
    headers_until = time.monotonic() + MOST_HEADERS_S if interrupted or deadline else math.inf
    if deadline is not None:
        headers_until = min(headers_until, deadline.all_done - deadline.reserve_s / 2)
    result = table.result(headers_until, fill_value, score.timing(started, artifact))
    if interrupted:
        raise Interrupted(result)
    return result


@dataclass(frozen=True)
class _Deadline:
    """When a run has to be over, on the monotonic clock, and the time kept back for assembling and writing rows."""

    all_done: float
    reserve_s: float

    def scoring_ends(self, numbers: int) -> float:
        """When scoring must stop, given how many numbers there are to write."""
        return self.all_done - self.reserve_s - numbers * WRITE_S


class _Scoring:
    """The middle of a run: workers score, rows come in, the bar moves, the clock is watched."""

    def __init__(self, table: Table, paths: Sequence[Path], job: Job, workers: int, deadline: _Deadline | None) -> None:
        self._table, self._paths, self._job, self._workers, self._deadline = table, paths, job, workers, deadline
        self._ready_at: float | None = None

    def run(self, progress: bool) -> None:
        """Scores until all is done or the deadline comes."""
        stop = self._deadline.scoring_ends(0) if self._deadline else None
        columns, windows = self._table.columns, 0
        events = score_recordings(self._paths, self._job, self._workers, stop)
        with progress_bar(len(self._paths), progress, unit="recording") as bar, contextlib.closing(events):
            for event in events:
                now = time.monotonic()
                if event.recording is None or isinstance(event.message, Ready):
                    self._ready_at = self._ready_at or now
                    continue
                self._table.add(event.recording, event.message)
                if isinstance(event.message, Done):
                    bar.update()
                else:
                    windows += len(event.message.scored)
                    bar.set_postfix_str(
                        f"{windows / (now - (self._ready_at or now) + 1e-9):.0f} windows/s", refresh=False
                    )
                if self._deadline and now > self._deadline.scoring_ends(windows * columns):
                    return

    def timing(self, started: float, artifact: Artifact) -> dict[str, float | int | str]:
        """What `Soundscapes.timing` says."""
        now = time.monotonic()
        ready = self._ready_at or now
        scored = self._table.scored
        rate = scored / max(now - ready, 1e-9)
        return {
            "elapsed_s": now - started,
            "start_up_s": ready - started,
            "windows": scored,
            "windows_per_s": rate,
            "times_real_time": rate * self._job.hop / artifact.sample_rate,
            "device": self._job.device,
            "workers": self._workers,
            "batch_size": self._job.batch_size,
        }


def _check_submission(found: Found, wanted: WantedClasses | None, sources: Sequence[str | Path]) -> None:
    rows = wanted.row_ids if wanted is not None else None
    if not found.paths and not rows:
        named = ", ".join(map(str, sources)) or "an empty list"
        raise InputError(f"no recordings in {named} (WAV, FLAC, OGG, MP3 or Opus)")
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
    if hop_s is not None and not 1 / artifact.sample_rate <= hop_s < MOST_HOP_S:
        raise InputError(f"hop_s is {hop_s}, but must be more than 0 seconds and less than a day")
    hop = artifact.window_samples if hop_s is None else round(hop_s * artifact.sample_rate)
    value = unmapped_value(unmapped)
    if wanted is not None and "label" not in names:
        raise InputError(f"classes are columns of the output 'label', which is not among {', '.join(names)}")
    chosen = choose_device(device)
    return Job(
        model=Path(model).absolute(),
        device=chosen,
        outputs=names,
        batch_size=_at_least_one("batch_size", batch_size) or (CPU_BATCH if chosen == "cpu" else CUDA_BATCH),
        hop=hop,
        normalize=normalize,
        class_map=map_classes(wanted, artifact.head("label"), value) if wanted is not None else None,
    )


def _at_least_one(name: str, number: int | None) -> int | None:
    if number is not None and number < 1:
        raise InputError(f"{name} is {number}, but must be at least 1")
    return number


def _number(name: str, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(f"{name} is {value!r}, but must be a number") from None


def _deadline(started: float, deadline_s: float | None) -> _Deadline | None:
    if deadline_s is None:
        return None
    if not deadline_s > 0:
        raise InputError(f"deadline_s is {deadline_s}, but must be more than 0 seconds")
    return _Deadline(started + deadline_s, min(RESERVE * deadline_s, MOST_RESERVE_S))
