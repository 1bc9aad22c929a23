"""What `perch-run` does with datasets: a run, `--status`, `--merge`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from runtime.archive.manifest import NAME
from runtime.archive.merge import merge_request
from runtime.archive.preparation import check_request
from runtime.archive.run import ArchiveInterrupted, run_archive_request
from runtime.archive.status import archive_status
from runtime.archive.summary import ArchiveSummary, combined
from runtime.audio.paths import Sources
from runtime.console.terminal import complain, complain_all, printable
from runtime.errors import InputError, counted
from runtime.model.ensemble import Models
from runtime.remote import is_url
from runtime.request.archive import ArchiveOptions
from runtime.request.request import Request
from runtime.rows.formats.choice import ENDINGS, HOPLITE

COMMAND = "perch-run"


def wants_dataset(request: Request, options: ArchiveOptions) -> bool:
    """Whether the rows go to a dataset: it was asked for, or the output is a folder that no other format writes.

    Raises:
        InputError: an option of datasets was given for another output.
    """
    sink = "" if request.sink is None else str(request.sink)
    tables = request.detections is not None and request.detections.format in ("raven", "audacity")
    is_folder = sink.endswith("/") or (not is_url(sink) and Path(sink, NAME).is_file())
    if options.dataset and sink.lower().endswith(tuple(ENDINGS)):
        raise InputError(
            f"a dataset is a folder, and {sink} is the name of a file; name a folder, or leave out --dataset"
        )
    if options.dataset or (is_folder and not tables and not sink.startswith(HOPLITE)):
        return True
    if options != ArchiveOptions():
        name = next(name for name, value in vars(options).items() if value != getattr(ArchiveOptions(), name))
        raise InputError(f"--{name.replace('_', '-')} is for a dataset; name a folder, ending in /, with -o")
    if sink and request.detections is None and not sink.startswith(HOPLITE) and not Path(sink).suffix:
        *most, last = ENDINGS
        raise InputError(
            f"cannot tell what to write from the name {sink}; end it in {', '.join(most)} or {last}, or in / for a "
            "dataset, which is a folder"
        )
    return False


def run_dataset(soundscapes: Sources, model: Models, request: Request, options: ArchiveOptions, quiet: bool) -> int:
    """Does what is to be done of an archive, and sums up; returns the exit code, 0 or 1."""
    assert request.sink is not None
    check_request(request, but=["sink"])
    out, request = str(request.sink), replace(request, sink=None, resume=False)
    try:
        summary = run_archive_request(soundscapes, model, out, request, options)
    except ArchiveInterrupted as interrupted:
        summary = interrupted.summary
    if not quiet:
        text = f"{counted(summary.units, 'unit')} planned" if options.plan else summary.summary()
        print(f"{printable(summary.path)}: {text}", flush=True)
    _complain_of(summary)
    if summary.interrupted:
        complain(COMMAND, f"interrupted; what was done is in {summary.path}, and the same command goes on")
    return 1 if summary.failed or summary.failed_before or summary.unread_folders or summary.changed else 0


def show_status(out: str) -> int:
    """Prints how far an archive is; returns 0 if it is complete without a failure, else 1."""
    status = archive_status(out)
    print(f"{printable(status.path)}: {printable_lines(status.summary())}", flush=True)
    return 1 if status.left or status.failed else 0


def merge_dataset(out: str, request: Request, quiet: bool) -> int:
    """Writes a dataset as one file, and sums up; returns the exit code, 0 or 1."""
    summary = merge_request(out, request)
    if not quiet:
        print(f"{printable(summary.sink)}: {summary.summary()}", flush=True)
    complain_all(COMMAND, [f"{failure.path}: {failure.reason}" for failure in summary.failures], "recordings")
    complain_all(COMMAND, [f"{note.path}: {note.text}" for note in summary.notes], "notes")
    return 1 if summary.failures else 0


def printable_lines(text: str) -> str:
    """Text of several lines, each printable."""
    return "\n".join(map(printable, text.splitlines()))


def _complain_of(summary: ArchiveSummary) -> None:
    failures = [f"{failure.path}: {failure.reason}" for failure in combined(summary.failures)]
    complain_all(COMMAND, failures, "recordings")
    complain_all(COMMAND, [f"{note.path}: {note.text}" for note in summary.notes], "notes")
