"""`run_soundscapes`: recordings in, rows out."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ParamSpec, Protocol

from runtime.audio.paths import FoundRecordings, Sources
from runtime.console.log import log
from runtime.console.progress import Progress
from runtime.files import absolute, check_outputs
from runtime.model.artifact import Artifact
from runtime.model.ensemble import Models, named_models, read_true_models, shown
from runtime.model.session import check_install, choose_device
from runtime.request.inputs import Inputs, read_inputs
from runtime.request.keywords import takes_request
from runtime.request.request import Request
from runtime.rows.blending import Blend
from runtime.rows.deadline import Deadline, slowness
from runtime.rows.formats.choice import choose_format, sink_path
from runtime.rows.formats.format import Format
from runtime.rows.grid import Grid
from runtime.rows.metadata import columns_of
from runtime.rows.postprocessing import Postprocessing
from runtime.rows.report import Report
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
from runtime.workers.outlines import OutlineSetup, count_channels
from runtime.workers.processes import Processes, Scorer
from runtime.workers.setup import choose_setup

RESERVE, MOST_RESERVE_S = 0.05, 30.0
"""Share of a deadline kept back for stopping and for headers of recordings not reached, and its bound."""
MOST_HEADERS_S = 10.0
P = ParamSpec("P")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or another signal that raises KeyboardInterrupt, during a run."""

    def __init__(self, soundscapes: Soundscapes) -> None:
        super().__init__("interrupted")
        self.soundscapes = soundscapes
        """What was scored so far."""


class _RunSoundscapes(Protocol[P]):
    """`run_soundscapes` for type checkers, with the options `P` as keywords."""

    def __call__(self, soundscapes: Sources, model: Models, *args: P.args, **options: P.kwargs) -> Soundscapes: ...


def _with_options(
    request: Callable[P, Request],
) -> Callable[[Callable[[Sources, Models, Request], Soundscapes]], _RunSoundscapes[P]]:
    return takes_request


@_with_options(Request)
def run_soundscapes(soundscapes: Sources, model: Models, request: Request) -> Soundscapes:
    """Scores every window of every recording.

    Args:
        soundscapes: a folder (read recursively), a glob, a path, or several paths; also URLs of these, such as
            `s3://bucket/folder`.
        model: a file that `perch-convert` made; or several, as a list or a mapping from names to files. Several score
            the same windows, and their outputs are called `NAME.label`, by their stems where no names are given.
        request: the options of a run.

    Returns:
        The rows. A recording that cannot be read is listed in their `failures`, and does not stop the others.

    Raises:
        InputError: an argument cannot be used, or there is nothing to score.
        ArtifactError: `model` is missing, damaged, or not made by this project.
        DeviceError: the device cannot be used, or computes wrongly; the message says why.
        OutputError: `sink` cannot be written. If that happens after scoring, the message says where the rows are.
        PerchError: the processes that score cannot be started.
        Interrupted: Ctrl-C during scoring. What was scored so far is in its `soundscapes`, or in `sink`, to be resumed.
            Before that, Ctrl-C is a plain KeyboardInterrupt.
    """
    return run_request(soundscapes, model, request)


def run_request(
    soundscapes: Sources, model: Models, request: Request, engine: EngineFactory | None = None
) -> Soundscapes:
    """Does what `run_soundscapes` does, with another engine than the device's if one is given."""
    started = time.monotonic()
    check_install()
    format = choose_format(request.sink, request.detections) if request.sink is not None else None
    models = named_models(model)
    artifact = read_true_models(models)
    inputs = read_inputs(soundscapes, models, request, every_row=format is None or format.every_row)
    device = choose_device(request.device)
    unfinished = unfinished_run(sink_path(request.sink)) if request.sink is not None and request.resume else None
    setup, why = choose_setup(artifact, device, request, unfinished)
    job = make_job(artifact, models, request, device, setup, inputs.wanted)
    if artifact.parity_warning is not None:
        log.warning("%s: %s", shown(models), artifact.parity_warning)
    if request.channel == "each":
        inputs = replace(inputs, recordings=_by_channel(inputs.recordings, artifact, job, request.progress is True))
    run = Run(inputs, format, artifact, job, request.progress, why, started)
    with Processes(artifact, job, engine, hurry=request.deadline_s is not None) as scorer:
        return run.score(scorer)


def _by_channel(recordings: FoundRecordings, artifact: Artifact, job: Job, progress: bool) -> FoundRecordings:
    """Each channel as a recording of its own, by what the headers say."""
    setup = OutlineSetup(artifact.sample_rate, artifact.window_samples, job.hop, job.part_windows)
    return recordings.by_channel(count_channels(recordings.paths, setup, progress))


@dataclass(frozen=True)
class Run:
    """A run that is ready to score: its recordings and classes, the sink's format, the model's description, the job.

    `progress` is the request's, `why` the reason for the job's setup, `started` when the run began (a value of
    `time.monotonic()`).
    """

    inputs: Inputs
    format: Format | None
    artifact: Artifact
    job: Job
    progress: bool | Callable[[Progress], object]
    why: str
    started: float

    def score(self, scorer: Scorer) -> Soundscapes:
        """Has the recordings scored, and gives the rows to the sink that the request names.

        Raises:
            Interrupted: Ctrl-C.
            PerchError: as `run_soundscapes` does.
        """
        reads = {name: absolute(files) for name, files in self.inputs.files.items()}  # the folder may be deleted later
        deadline, taxonomy = self._deadline, self.inputs.taxonomy
        interpolate = deadline is not None and deadline.interpolate
        columns = columns_of(self.artifact, self.job, self._recordings.root, taxonomy)
        postprocessing = Postprocessing.of(columns, self.job.request)
        table = Table(self._recordings, columns, Grid.of(self.artifact, self.job), self._sample, interpolate)
        sink = self._sink(table, postprocessing)
        before = table.report.counts["scored"]
        keep: bool | None = None
        try:
            with Shield() as shield:
                loop = ScoringLoop(table, sink, self.job, deadline, scorer)
                measured = loop.run(len(self._recordings.paths), shield, self.progress)
                resumable = shield.finish(lambda: self._finish(table, sink, scorer, shield, measured.rows))
            keep = resumable or shield.interrupted
        finally:
            sink.close(keep)
        timing = self._timing(measured, table.report.counts["scored"] - before)
        summary = self._summary(table.report, sink, timing, reads, postprocessing.blend)
        result = Soundscapes._of(sink.blocks, postprocessing.written, summary)
        if shield.interrupted:
            raise Interrupted(result)
        return result

    def _finish(self, table: Table, sink: Sink, scorer: Scorer, shield: Shield, rows: int) -> bool:
        """Gives the sink the remaining rows; returns whether a later run can resume. `rows` is how many were scored."""
        deadline, now = self._deadline, time.monotonic()
        until = now + MOST_HEADERS_S if shield.interrupted or deadline is not None else math.inf
        most_interpolated = None
        if deadline is not None:
            work = table.final_work(rows)
            until = min(until, deadline.headers_end(sink.columns, work))
            most_interpolated = deadline.rows_to_interpolate(sink.columns, work, now)
        rest = list(table.rest(functools.partial(scorer.promised_windows, until=until), most_interpolated))
        resumable = shield.interrupted or (table.incomplete and (self.job.request.resume or deadline is None))
        sink.finish(rest, complete=not resumable)
        return resumable

    @cached_property
    def _sample(self) -> SampleSubmission | None:
        """The sample submission that decides the rows, if there is one."""
        inputs, artifact = self.inputs, self.artifact
        if inputs.submission is None:
            return None
        rate, window = artifact.sample_rate, artifact.window_samples
        return match_sample(inputs.submission, inputs.recordings, rate, window, self.job.hop)

    @property
    def _recordings(self) -> FoundRecordings:
        """The recordings to score: those that a sample submission names, if one decides the rows."""
        return self.inputs.recordings if self._sample is None else self._sample.recordings

    @cached_property
    def _deadline(self) -> Deadline | None:
        request = self.job.request
        if request.deadline_s is None:
            return None
        reserve_s = min(RESERVE * request.deadline_s, MOST_RESERVE_S)
        interpolate = request.on_deadline == "interpolate"
        ranked = len(request.blend or ()) if request.blend_of == "ranks" else 0
        return Deadline(self.started, self.started + request.deadline_s, reserve_s, interpolate, slowness(), ranked)

    def _sink(self, table: Table, postprocessing: Postprocessing) -> Sink:
        """Where rows go. Tells `table` which parts an earlier run finished."""
        request, recordings, sample = self.job.request, self._recordings, self._sample
        if request.sink is None or self.format is None:
            return MemorySink(postprocessing, sample)
        path = sink_path(request.sink)
        waiting = None if recordings.sizes else path.with_name(f"{path.name}.partial")
        writes = {"the sink": self.format.files(path, recordings.names), "the unfinished rows": waiting}
        check_outputs(writes, self.inputs.files)
        target = Target(path, self.format, postprocessing.written, request.fill, recordings.names)
        if recordings.sizes:
            return LateFileSink(target, postprocessing, sample)
        journal = {"model": self.artifact.artifact_sha256, **self.job.options}
        journal["sample_rows"] = sample.fingerprint if sample is not None else None
        sink = FileSink(target, journal, request.resume, postprocessing, sample)
        try:
            for finished, counts in sink.finished:
                table.skip(finished, counts)
        except BaseException:
            sink.close(keep=True)
            raise
        return sink

    def _timing(self, measured: Measured, scored: int) -> Timing:
        """How long it took; `scored` is how many rows were."""
        took_s = max(measured.ended - measured.ready, 1e-9)
        windows = scored if self.job.overlap is None else measured.windows
        row_samples = self.job.hop if self.job.max_peaks is None else self.artifact.window_samples
        return Timing(
            elapsed_s=time.monotonic() - self.started,
            start_up_s=measured.ready - self.started,
            windows=windows,
            rows=scored,
            windows_per_s=windows / took_s,
            times_real_time=scored / took_s * row_samples / self.artifact.sample_rate,
            device=self.job.device,
            tf32=self.job.tf32,
            workers=measured.workers,
            threads=self.job.setup.threads,
            batch_size=self.job.setup.batch_size,
            setup=self.why,
        )

    def _summary(
        self, report: Report, sink: Sink, timing: Timing, reads: Mapping[str, Sequence[str]], blend: Blend | None
    ) -> RunSummary:
        request, sample, recordings, detected = self.job.request, self._sample, self._recordings, sink.detected
        names_none = [NAMES_NONE] if self.inputs.submission and recordings.paths else []
        says_origin = sample is None and (self.format is None or self.format.says_origin)
        more = sink.columns.more if says_origin else ()
        return RunSummary(
            failures=report.failures,
            timing=timing,
            counts=report.counts if sample is None else sample.counts,
            notes=report.notes,
            class_maps=self.job.class_maps,
            namespaces=self._other_namespaces,
            blended="" if blend is None else blend.summary(),
            recordings=len(recordings.paths),
            without_events=report.without_events,
            not_reached=report.not_reached,
            timeless=report.timeless,
            siteless=report.siteless if "site" in sink.columns.more else 0,
            unknown=report.unknown(more, len(recordings.paths)),
            skipped_files=recordings.skipped,
            unread_folders=recordings.lost,
            passed_over=recordings.passed_over(),
            lacking=0 if sample is None else sample.lacking,
            dropped=0 if sample is None else sample.dropped,
            detected="" if detected is None or request.detections is None else detected.summary(request.detections),
            detections=detected.written if detected is not None else None,
            of_sample=names_none if sample is None else sample.summary(),
            ill_conditioned=self.artifact.ill_conditioned,
            fill=request.fill,
            sink=sink.path,
            reads=reads,
        )

    @property
    def _other_namespaces(self) -> dict[str, str]:
        """The class lists in which wanted classes were looked up first, where that is not a model's first."""
        maps, heads = self.job.class_maps, self.artifact.heads
        return {name: each.namespace for name, each in maps.items() if each.namespace != heads[name].namespace}
