"""`perch-run`: recordings in, a submission or an array file and a summary out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime import doctor
from runtime.archive.command import merge_dataset, run_dataset, show_status, wants_dataset
from runtime.audio.paths import find_recordings
from runtime.classes.class_map import match_classes
from runtime.classes.map_report import report_lines, report_text, write_report
from runtime.classes.wanted import read_classes
from runtime.console.signals import Signals
from runtime.console.terminal import Complaints, command, complain, complain_all, printable
from runtime.errors import InputError, PerchError, counted, first_line
from runtime.files import check_outputs
from runtime.model.artifact import read_artifact
from runtime.model.ensemble import unique_models
from runtime.model.session import check_install
from runtime.request.parser import archive_options_of, in_flags, parse_args, request_of
from runtime.request.request import Request
from runtime.rows.formats.choice import sink_path
from runtime.rows.soundscapes import Soundscapes
from runtime.run import Interrupted, run_request


def run(args: argparse.Namespace, signals: Signals) -> int:
    """Scores, writes and sums up; returns the exit code."""
    check_install()
    request, options = request_of(args), archive_options_of(args)
    if args.merge is not None:
        return merge_dataset(args.merge, request, args.quiet)
    dataset = request.sink is not None and wants_dataset(request, options)
    output = None if request.sink is None or dataset else sink_path(request.sink)
    models = unique_models(args.model)
    reads = {"--model": list(models.values()), "--classes": request.classes, "--taxonomy": request.taxonomy}
    check_outputs(
        {"--map-report": args.map_report, "-o": output},
        {**reads, "the recording": lambda: find_recordings(args.soundscapes).paths},
    )
    if args.map_report is not None:
        _report_map(args, models, request)
    if dataset:
        code = run_dataset(args.soundscapes, models, request, options, args.quiet)
        return signals.code or code
    if not args.soundscapes or output is None:
        return 0
    try:
        result = run_request(args.soundscapes, models, request)
    except Interrupted as interrupted:
        result = interrupted.soundscapes
    signals.interrupt = False
    _sum_up(result, output, args.quiet, signals)
    return signals.code or (1 if result.failures or result.unread_folders else 0)


def _sum_up(result: Soundscapes, output: Path, quiet: bool, signals: Signals) -> None:
    """Says what a run did, what is wrong with recordings, and where the rows of an interrupted one are."""
    where = result.sink or output
    if not quiet:
        print(f"{printable(where)}: {result.summary()}", flush=True)
    complain_all("perch-run", [f"{failure.path}: {failure.reason}" for failure in result.failures], "recordings")
    complain_all("perch-run", [f"{note.path}: {note.text}" for note in result.notes], "notes")
    if signals.code:
        resumable = output.with_name(f"{output.name}.partial").exists()
        more = "; the same command with --resume goes on" if resumable else ""
        kept = counted(result.count("scored"), "scored row" if result.detections is None else "scored window")
        if result.detections is not None:
            kept = f"{counted(result.detections, 'detection')} in {kept}"
        complain("perch-run", f"interrupted; {where} holds {kept}{more}")


def _report_map(args: argparse.Namespace, models: Mapping[str, Path], request: Request) -> None:
    """Writes and prints which columns of the model the wanted classes get."""
    if request.classes is None:
        raise InputError("--map-report needs --classes")
    if len(models) > 1:
        raise InputError("--map-report is of one model; ask for that of each by itself")
    artifact = read_artifact(*models.values())
    wanted = read_classes(request.classes, request.taxonomy)
    genus_head = artifact.heads.get("genus")
    class_map = match_classes(wanted, artifact.head("label"), request.unmapped, request.namespace, genus_head)
    lines = report_lines(class_map, artifact.heads, wanted.taxonomy)
    write_report(lines, args.map_report)
    if not args.quiet:
        print(f"{printable(args.map_report)}: {report_text(lines, class_map)}", flush=True)


@command("perch-run")
def main(args: Sequence[str]) -> int:
    """The command; returns its exit code."""
    parsed = parse_args(args)
    with Signals(once=True) as signals, Complaints("perch-run"):
        try:
            if parsed.doctor:
                return doctor.main(parsed.model or (), parsed.device)
            return show_status(parsed.status) if parsed.status is not None else run(parsed, signals)
        except PerchError as error:
            complain("perch-run", in_flags(error))
            return 2
        except KeyboardInterrupt:
            complain("perch-run", "interrupted")  # perhaps after the rows were written
            return signals.code or 130
        except Exception as error:
            if not signals.received:
                raise
            complain("perch-run", f"interrupted ({type(error).__name__}: {first_line(error)})")
            return signals.code
