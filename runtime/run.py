"""`run_soundscapes`: recordings in, rows out."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.arguments import choose_setup, job_of
from runtime.audio.paths import Found, Sources, find_recordings
from runtime.audio.windows import Normalization, Segments
from runtime.classes.taxonomy import Taxonomy, read_taxonomy
from runtime.classes.wanted import read_classes
from runtime.detections import Detections
from runtime.errors import InputError
from runtime.files import Files, absolute, check_outputs
from runtime.model.artifact import Artifact
from runtime.model.identity import read_true_artifact
from runtime.model.logits import Activation, LogitScale
from runtime.model.session import check_install, choose_device
from runtime.request import EmbeddingDtype, OnDeadline
from runtime.rows.deadline import Deadline, slowness
from runtime.rows.formats import holds_all_rows, row_format, sink_path
from runtime.rows.sample import NAMES_NONE, SampleSubmission, match_sample
from runtime.rows.sinks import FileSink, MemorySink, Sink
from runtime.rows.soundscapes import Soundscapes
from runtime.rows.spool import unfinished_run
from runtime.rows.table import Table
from runtime.scoring import Scoring
from runtime.shield import Shield
from runtime.values import number, positive_seconds
from runtime.workers.headers import Headers
from runtime.workers.protocol import Job

RESERVE, MOST_RESERVE_S = 0.05, 30.0
"""Share of a deadline kept back for stopping and for headers of recordings not reached, and its bound."""
MOST_HEADERS_S = 10.0
TIMEOUT_S = 300.0


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
    threads: int | None = None,
    batch_size: int | None = None,
    hop_s: float | None = None,
    normalize: Normalization = "raw",
    segments: Segments = "grid",
    max_peaks: int = 5,
    classes: str | Path | Sequence[str] | None = None,
    taxonomy: str | Path | None = None,
    unmapped: float | str = "zero",
    namespace: str | None = None,
    logit_scale: LogitScale | None = None,
    activation: Activation = "none",
    smooth: Sequence[float] | None = None,
    embedding_dtype: EmbeddingDtype = "float32",
    deadline_s: float | None = None,
    on_deadline: OnDeadline = "fill",
    fill: float = -1000.0,
    recording_timeout_s: float | None = None,
    sink: str | Path | None = None,
    resume: bool = False,
    detections: Detections | None = None,
    progress: bool = True,
) -> Soundscapes:
    """Scores every window of every recording.

    Args:
        soundscapes: a folder (read recursively), a glob, a path, or several paths.
        model: a file that `perch-convert` made.
        outputs: the heads to compute, in one pass.
        device: "auto" (a GPU if it can be had), "cpu", "cuda" or "cuda:1". "cuda" never falls back to the CPU.
        workers: processes; if None as many as keep all physical cores busy. On the CPU each does the whole way, for a
            GPU they decode, and one more feeds it.
        threads: threads that a worker computes with on the CPU; 1 if None.
        batch_size: windows computed at once; if None 2 on the CPU, and on a GPU what its free memory has room for.
            There it is halved, with a warning, if memory runs out. Where `workers`, `threads` and `batch_size` are all
            None, and `perch-bench throughput` has measured this model on this machine and device, they are what it
            found to be fastest; the summary says so.
        hop_s: seconds from one window's start to the next; the window's length (5 s) if None.
        normalize: "raw" feeds amplitudes as decoded, as BirdCLEF notebooks do; "peak" removes each window's mean and
            scales its peak to 0.25, as Perch's own library does.
        segments: "grid" takes windows one hop apart from the start to the end; "peaks" takes them around the loudest
            events, for focal recordings (see `runtime.audio.peaks`). A recording without events then has no rows.
        max_peaks: how many windows a recording has at most where they are around peaks.
        classes: the columns wanted of `label`, in order: a sample submission, a taxonomy, a class list, or names.
            Those that the model's lists do not name so are found by their scientific names or eBird codes. Where rows
            of a sample submission name recordings that are there, the result has exactly its rows in its order: those
            that no recording has are "filled", and recordings that it does not name are left out. (Detections and
            hoplite databases are no submissions, and take its classes alone.)
        taxonomy: a CSV with the columns primary_label, scientific_name, common_name and class_name that says what
            `classes`, and those of detections, stand for; not needed where `classes` is such a file. Else an eBird
            code is what the package's own table says, and any other name is a scientific one if it looks so.
        unmapped: what wanted classes get that the model does not know: "zero", a number, or what it says of their
            genus: "genus-max" and "genus-mean" take the greatest or mean score of its classes, "genus-head" the
            output `genus` of Perch v1. Without any of its genus a class then gets 0.
        namespace: the class list that names columns, and in which the names of `classes` are looked up, such as
            "ebird2021"; class heads without it keep their own. If None the model's first, and for `classes` the one
            that knows most, then the others.
        logit_scale: "perch-hoplite" gives `label` as perch-hoplite does for Perch v2, 0.97 x - 10; None leaves it as
            the model gives it.
        activation: "sigmoid" or "softmax" of the scores of heads with classes. "none" leaves logits, which is what a
            ranking within a class (such as ROC-AUC) wants: a softmax over classes would change it. The softmax is over
            the columns that are written. Constants of `unmapped` and `fill` stay.
        smooth: weights of a window (in their middle) and its neighbours in the same recording: scores of heads with
            classes become the weighted mean, after `activation`. Windows without a score do not count. None for none.
        embedding_dtype: "float16" halves the outputs that have no classes, here and in files.
        deadline_s: seconds from this call within which it returns, with time left to write a CSV; rows not reached by
            then are "filled".
        on_deadline: "fill" scores in order and leaves the rest "filled". "interpolate" scores every other window
            first (fewer if time is short), so that all recordings are covered, then those between; windows not
            reached get the mean of their scored neighbours. With time enough both give the same.
        fill: what a CSV holds in rows without a score.
        recording_timeout_s: after how many seconds without a word of a recording its worker is given up; 300 if None.
        sink: a `.csv` or `.parquet` to write rows to, instead of keeping them in memory, or "hoplite:FOLDER" for a
            perch-hoplite database of the embeddings. What is finished waits in `<sink>.partial` until all is there.
        resume: whether to go on with what an interrupted run with this `sink` left; `threads` and `batch_size` are
            its own where they are None.
        detections: what to write to `sink` instead of all scores (see `Detections`).
        progress: whether to show a progress bar (only ever on a terminal or in a notebook).

    Returns:
        The rows (see `Soundscapes`). A recording that cannot be read is listed in `failures`, and does not stop the
        others.

    Raises:
        InputError: an argument cannot be used, or there is nothing to score.
        ArtifactError: `model` is missing, damaged, or not made by this project.
        DeviceError: the device cannot be had; what is missing is named.
        Interrupted: Ctrl-C; what was scored so far is in its `soundscapes`, or in `sink`, to be resumed.
    """
    started = time.monotonic()
    check_install()
    artifact = read_true_artifact(model)
    sources = [soundscapes] if isinstance(soundscapes, (str, Path)) else list(soundscapes)
    found = find_recordings(sources)
    wanted = read_classes(classes, taxonomy) if classes is not None else None
    known = wanted.taxonomy if wanted is not None else read_taxonomy(taxonomy) if taxonomy is not None else Taxonomy()
    if not found.paths and not (wanted is not None and wanted.row_ids):
        raise InputError(found.nothing(", ".join(map(str, sources)) or "an empty list"))
    if found.warning is not None:
        warnings.warn(found.warning, RuntimeWarning, stacklevel=2)
    if sink is None and (resume or detections is not None):
        needs = "resume needs a sink, which is what an earlier run left rows for"
        raise InputError(needs if resume else "detections need a sink to go to, or use Soundscapes.to_detections")
    chosen = choose_device(device)
    unfinished = unfinished_run(sink_path(sink)) if sink is not None and resume else None
    setup, why = choose_setup(artifact, chosen, workers, threads, batch_size, unfinished)
    job = job_of(
        artifact,
        model,
        outputs=outputs,
        device=chosen,
        setup=setup,
        hop_s=hop_s,
        normalize=normalize,
        segments=segments,
        max_peaks=max_peaks,
        wanted=wanted,
        unmapped=unmapped,
        namespace=namespace,
        logit_scale=logit_scale,
        activation=activation,
        smooth=smooth,
        embedding_dtype=embedding_dtype,
    )
    timeout_s = (
        TIMEOUT_S if recording_timeout_s is None else positive_seconds("recording_timeout_s", recording_timeout_s)
    )
    fill_value = number("fill", fill)
    interpolate = _interpolate(on_deadline, resume, segments) and deadline_s is not None
    deadline = _deadline(started, deadline_s, interpolate)

    reads = {"the model": model, "the classes": _file(classes), "the taxonomy": taxonomy, "the recording": found.paths}
    submission = wanted.row_ids if wanted is not None and holds_all_rows(sink, detections) else None
    sample = None
    if submission is not None:
        sample = match_sample(submission, found, artifact.sample_rate, artifact.window_samples, job.hop)
    found = found if sample is None else sample.found
    table = Table(found, artifact, job, sample, interpolate, known)
    rows = _sink(sink, table, fill_value, job, artifact, resume, found, reads, detections, sample)
    if artifact.parity_warning is not None:
        warnings.warn(f"{model}: {artifact.parity_warning}", RuntimeWarning, stacklevel=2)
    score = Scoring(table, rows, artifact, job, setup.workers, deadline, timeout_s)
    interrupted = finished = False
    kept: bool | None = None
    try:
        with Shield() as shield, Headers(artifact, job, at_once=deadline is not None) as headers:
            try:
                score.run(len(found.paths), interpolate, progress, headers, shield)
            except KeyboardInterrupt:
                interrupted = True
            if interrupted or deadline:
                headers.until = time.monotonic() + MOST_HEADERS_S
            most_interpolated = None
            if deadline:
                work = table.final_work(score.rows)
                headers.until = min(headers.until, deadline.headers_end(table.columns, work))
                most_interpolated = deadline.rows_to_interpolate(table.columns, work, time.monotonic())

            def finish() -> None:
                nonlocal finished, kept
                if not finished:
                    rest = list(table.rest(headers.promised_windows, most_interpolated))
                    again = interrupted or (table.incomplete and (resume or deadline is None))
                    rows.finish(rest, whole=not again)
                    finished, kept = True, again

            while not finished:
                try:
                    shield(finish)
                except KeyboardInterrupt:
                    interrupted = True
        kept = kept or interrupted
    finally:
        rows.close(kept)
    result = Soundscapes(
        blocks=rows.blocks,
        columns=table.columns,
        failures=table.report.failures,
        timing={**score.timing(started), "setup": why, "elapsed_s": time.monotonic() - started},
        counts=table.report.counts if sample is None else sample.counts,
        notes=table.report.notes,
        class_map=job.class_map,
        namespace=_other_namespace(job, artifact),
        recordings=len(found.paths),
        without_events=table.report.without_events,
        not_reached=table.report.not_reached,
        skipped_files=found.skipped,
        unread_folders=found.lost,
        passed_over=found.passed_over(),
        lacking=0 if sample is None else sample.lacking,
        dropped=0 if sample is None else sample.dropped,
        detected="" if rows.tally is None or detections is None else rows.tally.summary(detections),
        detections=rows.tally.detections if rows.tally is not None else None,
        of_sample=sample.summary() if sample is not None else [NAMES_NONE] if submission and found.paths else [],
        ill_conditioned=artifact.ill_conditioned,
        fill=fill_value,
        sink=rows.path,
        reads={name: absolute(files) for name, files in reads.items()},
    )
    if interrupted:
        raise Interrupted(result)
    return result


def _sink(
    sink: str | Path | None,
    table: Table,
    fill: float,
    job: Job,
    artifact: Artifact,
    resume: bool,
    found: Found,
    reads: Mapping[str, Files],
    detections: Detections | None,
    sample: SampleSubmission | None,
) -> Sink:
    """Where rows go; `table` learns what an earlier run finished."""
    columns, recordings = table.columns, len(found.paths)
    if sink is None:
        return MemorySink(columns, job.smooth, sample)
    target, form = sink_path(sink), row_format(sink, columns, recordings, detections)
    waiting = target.with_name(f"{target.name}.partial")
    check_outputs({"the sink": form.files(target, found.names), "the unfinished rows": waiting}, reads)
    run = {"model": artifact.artifact_sha256, **job.options}
    run["sample_rows"] = sample.fingerprint if sample is not None else None
    rows = FileSink(sink, columns, fill, run, resume, found.names, detections, job.smooth, sample)
    try:
        for finished, counts in rows.finished:
            table.skip(finished, counts)
    except BaseException:
        rows.close(keep=True)
        raise
    return rows


def _file(classes: str | Path | Sequence[str] | None) -> str | Path | None:
    """The file of the classes, if they are in one."""
    return classes if isinstance(classes, (str, Path)) else None


def _other_namespace(job: Job, artifact: Artifact) -> str | None:
    """The class list in which wanted classes were looked up first, if that is not the model's first."""
    if job.class_map is None or job.class_map.namespace == artifact.heads["label"].namespace:
        return None
    return job.class_map.namespace


def _interpolate(on_deadline: str, resume: bool, segments: Segments) -> bool:
    if on_deadline not in ("fill", "interpolate"):
        raise InputError(f"on_deadline is {on_deadline!r}, but must be 'fill' or 'interpolate'")
    if on_deadline == "interpolate" and resume:
        raise InputError("on_deadline='interpolate' cannot be resumed: its rows are final only at the end")
    if on_deadline == "interpolate" and segments == "peaks":
        raise InputError("on_deadline='interpolate' needs windows on a grid, which segments='peaks' are not")
    return on_deadline == "interpolate"


def _deadline(started: float, deadline_s: float | None, interpolate: bool) -> Deadline | None:
    if deadline_s is None:
        return None
    deadline_s = positive_seconds("deadline_s", deadline_s)
    reserve_s = min(RESERVE * deadline_s, MOST_RESERVE_S)
    return Deadline(started, started + deadline_s, reserve_s, interpolate, slowness())
