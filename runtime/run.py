"""`run_soundscapes`: recordings in, rows out."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ParamSpec, Protocol

from runtime.audio.paths import FoundRecordings, Sources
from runtime.console.log import log
from runtime.files import absolute, check_outputs
from runtime.model.artifact import Artifact
from runtime.model.identity import read_true_artifact
from runtime.model.session import check_install, choose_device
from runtime.request.inputs import Inputs, read_inputs
from runtime.request.keywords import takes_request
from runtime.request.request import Request
from runtime.rows.deadline import Deadline, slowness
from runtime.rows.formats.choice import choose_format, sink_path
from runtime.rows.formats.format import Format
from runtime.rows.sample import NAMES_NONE, SampleSubmission, match_sample
from runtime.rows.scoring import Measured, ScoringLoop
from runtime.rows.sinks import FileSink, LateFileSink, MemorySink, Sink, Target
from runtime.rows.soundscapes import Soundscapes
from runtime.rows.spool import unfinished_run
from runtime.rows.summary import RunSummary
from runtime.rows.table import Table
from runtime.rows.timing import Timing
from runtime.shield import Shield
from runtime.workers.engines import EngineFactory
from runtime.workers.job import Job, make_job
from runtime.workers.processes import Processes, Scorer
from runtime.workers.setup import choose_setup

RESERVE, MOST_RESERVE_S = 0.05, 30.0
"""Share of a deadline kept back for stopping and for headers of recordings not reached, and its bound."""
MOST_HEADERS_S = 10.0
P = ParamSpec("P")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C (or a signal that raises KeyboardInterrupt) during a run; `soundscapes` holds what was scored so far."""

    def __init__(self, soundscapes: Soundscapes) -> None:
        super().__init__("interrupted")
        self.soundscapes = soundscapes


class _RunSoundscapes(Protocol[P]):
    """`run_soundscapes` for type checkers, with the options `P` as keywords."""

    def __call__(self, soundscapes: Sources, model: str | Path, *args: P.args, **options: P.kwargs) -> Soundscapes: ...


def _with_options(
    request: Callable[P, Request],
) -> Callable[[Callable[[Sources, str | Path, Request], Soundscapes]], _RunSoundscapes[P]]:
    return takes_request


@_with_options(Request)
def run_soundscapes(soundscapes: Sources, model: str | Path, request: Request) -> Soundscapes:
    """Scores every window of every recording.

    Args:
        soundscapes: a folder (read recursively), a glob, a path, or several paths.
        model: a file that `perch-convert` made.
        request: the options of a run.

    Returns:
        The rows (see `Soundscapes`). A recording that cannot be read is listed in `failures`, and does not stop the
        others.

    Raises:
        InputError: an argument cannot be used, or there is nothing to score.
        ArtifactError: `model` is missing, damaged, or not made by this project.
        DeviceError: the device cannot be used; the message names what is missing.
        OutputError: `sink` cannot be written. If that happens after scoring, the message says where the rows are.
        PerchError: the processes that score cannot be started.
        Interrupted: Ctrl-C during scoring; what was scored so far is in its `soundscapes`, or in `sink`, to be resumed.
            Before that Ctrl-C is a plain KeyboardInterrupt.
    """
    return run_request(soundscapes, model, request)


def run_request(
    soundscapes: Sources, model: str | Path, request: Request, engine: EngineFactory | None = None
) -> Soundscapes:
    """Does what `run_soundscapes` does, with another engine than the device's if one is given."""
    started = time.monotonic()
    check_install()
    format = choose_format(request.sink, request.detections) if request.sink is not None else None
    artifact = read_true_artifact(model)
    inputs = read_inputs(soundscapes, model, request, every_row=format is None or format.every_row)
    device = choose_device(request.device)
    unfinished = unfinished_run(sink_path(request.sink)) if request.sink is not None and request.resume else None
    setup, why = choose_setup(artifact, device, request, unfinished)
    job = make_job(artifact, model, request, device, setup, inputs.wanted)
    if artifact.parity_warning is not None:
        log.warning("%s: %s", model, artifact.parity_warning)
    with Processes(artifact, job, engine, hurry=request.deadline_s is not None) as scorer:
        return score_inputs(inputs, format, artifact, job, request, scorer, why, started)


def score_inputs(
    inputs: Inputs,
    format: Format | None,
    artifact: Artifact,
    job: Job,
    request: Request,
    scorer: Scorer,
    why: str,
    started: float,
) -> Soundscapes:
    """Has the recordings of `inputs` scored, and gives the rows to the sink that the request names.

    `format` is the sink's, `why` the reason for the job's setup, `started` when the run began.
    """
    reads = {name: absolute(files) for name, files in inputs.files.items()}  # the working folder may be deleted later
    sample = _sample(inputs, artifact, job)
    recordings = inputs.recordings if sample is None else sample.recordings
    deadline = _deadline(request, started)
    table = Table(recordings, artifact, job, sample, deadline is not None and deadline.interpolate, inputs.taxonomy)
    sink = _sink(format, table, job, artifact, inputs, recordings, sample)
    before = table.report.counts["scored"]
    keep: bool | None = None
    try:
        with Shield() as shield:
            loop = ScoringLoop(table, sink, job, deadline, scorer)
            measured = loop.run(len(recordings.paths), shield, request.progress)
            finish = functools.partial(_finish, table, sink, scorer, shield, deadline, request, measured.rows)
            resumable = shield.finish(finish)
        keep = resumable or shield.interrupted
    finally:
        sink.close(keep)
    timing = _timing(started, measured, table.report.counts["scored"] - before, job, artifact, why)
    result = _result(table, sink, job, artifact, inputs, sample, reads, timing)
    if shield.interrupted:
        raise Interrupted(result)
    return result


def _finish(
    table: Table,
    sink: Sink,
    scorer: Scorer,
    shield: Shield,
    deadline: Deadline | None,
    request: Request,
    rows: int,
) -> bool:
    """Gives the sink the remaining rows; returns whether a later run can resume. `rows` is how many were scored."""
    now = time.monotonic()
    until = now + MOST_HEADERS_S if shield.interrupted or deadline is not None else math.inf
    most_interpolated = None
    if deadline is not None:
        work = table.final_work(rows)
        until = min(until, deadline.headers_end(table.columns, work))
        most_interpolated = deadline.rows_to_interpolate(table.columns, work, now)
    rest = list(table.rest(functools.partial(scorer.promised_windows, until=until), most_interpolated))
    resumable = shield.interrupted or (table.incomplete and (request.resume or deadline is None))
    sink.finish(rest, complete=not resumable)
    return resumable


def _sample(inputs: Inputs, artifact: Artifact, job: Job) -> SampleSubmission | None:
    """The sample submission that decides the rows, if there is one."""
    if inputs.submission is None:
        return None
    return match_sample(inputs.submission, inputs.recordings, artifact.sample_rate, artifact.window_samples, job.hop)


def _sink(
    format: Format | None,
    table: Table,
    job: Job,
    artifact: Artifact,
    inputs: Inputs,
    recordings: FoundRecordings,
    sample: SampleSubmission | None,
) -> Sink:
    """Where rows go. Tells `table` which parts an earlier run finished."""
    request, columns, weights = job.request, table.columns, job.request.weights
    if request.sink is None or format is None:
        return MemorySink(columns, weights, sample)
    path = sink_path(request.sink)
    waiting = None if recordings.sizes else path.with_name(f"{path.name}.partial")
    check_outputs({"the sink": format.files(path, recordings.names), "the unfinished rows": waiting}, inputs.files)
    target = Target(path, format, columns, request.fill, recordings.names)
    if recordings.sizes:
        return LateFileSink(target, weights, sample)
    run = {"model": artifact.artifact_sha256, **job.options}
    run["sample_rows"] = sample.fingerprint if sample is not None else None
    sink = FileSink(target, run, request.resume, weights, sample)
    try:
        for finished, counts in sink.finished:
            table.skip(finished, counts)
    except BaseException:
        sink.close(keep=True)
        raise
    return sink


def _deadline(request: Request, started: float) -> Deadline | None:
    if request.deadline_s is None:
        return None
    reserve_s = min(RESERVE * request.deadline_s, MOST_RESERVE_S)
    interpolate = request.on_deadline == "interpolate"
    return Deadline(started, started + request.deadline_s, reserve_s, interpolate, slowness())


def _timing(started: float, measured: Measured, scored: int, job: Job, artifact: Artifact, why: str) -> Timing:
    rate = scored / max(measured.ended - measured.ready, 1e-9)
    row_samples = job.hop if job.max_peaks is None else artifact.window_samples
    return Timing(
        elapsed_s=time.monotonic() - started,
        start_up_s=measured.ready - started,
        windows=scored,
        windows_per_s=rate,
        times_real_time=rate * row_samples / artifact.sample_rate,
        device=job.device,
        workers=measured.workers,
        threads=job.setup.threads,
        batch_size=job.setup.batch_size,
        setup=why,
    )


def _result(
    table: Table,
    sink: Sink,
    job: Job,
    artifact: Artifact,
    inputs: Inputs,
    sample: SampleSubmission | None,
    reads: Mapping[str, Sequence[str]],
    timing: Timing,
) -> Soundscapes:
    recordings = inputs.recordings if sample is None else sample.recordings
    request, detected = job.request, sink.detected
    names_none = [NAMES_NONE] if inputs.submission and recordings.paths else []
    summary = RunSummary(
        failures=table.report.failures,
        timing=timing,
        counts=table.report.counts if sample is None else sample.counts,
        notes=table.report.notes,
        class_map=job.class_map,
        namespace=_other_namespace(job, artifact),
        recordings=len(recordings.paths),
        without_events=table.report.without_events,
        not_reached=table.report.not_reached,
        skipped_files=recordings.skipped,
        unread_folders=recordings.lost,
        passed_over=recordings.passed_over(),
        lacking=0 if sample is None else sample.lacking,
        dropped=0 if sample is None else sample.dropped,
        detected="" if detected is None or request.detections is None else detected.summary(request.detections),
        detections=detected.detections if detected is not None else None,
        of_sample=names_none if sample is None else sample.summary(),
        ill_conditioned=artifact.ill_conditioned,
        fill=request.fill,
        sink=sink.path,
        reads=reads,
    )
    return Soundscapes._of(sink.blocks, table.columns, summary)


def _other_namespace(job: Job, artifact: Artifact) -> str | None:
    """The class list in which wanted classes were looked up first, if that is not the model's first."""
    if job.class_map is None or job.class_map.namespace == artifact.heads["label"].namespace:
        return None
    return job.class_map.namespace
