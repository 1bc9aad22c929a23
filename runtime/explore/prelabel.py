"""Learns species from labelled windows, tests that on other recordings, and labels the remaining windows.

Each species gets a logistic regression on embeddings, cross-validated by recording: a recording is never used for
learning and testing at once. Cross-validated scores are calibrated to probabilities by a sigmoid for each species
(species with fewer than 10 windows share one). A window is given a species if its probability reaches the species'
threshold: the lowest probability above which at least the share --precision of the tested windows hold the species,
counted as (correct + 1) / (all + 2), and above which the mean probability is at least --precision as well. A threshold
is never below 0.5, or --precision if that is lower. A species that reaches no threshold is never given, nor one with
fewer than 5 labelled windows. All this assumes that the labelled windows are a fair sample: that they were not chosen
for the species in them. Windows that were labelled in random order check it: the report says how good the thresholds
are there.

A label file has the columns row_id and species: a line for each window and species, with an empty species where a
window holds none. A labelled window holds the species on its lines and no others. BirdCLEF's label files can be read,
and those of `perch-explore label`, where the last line of a window counts.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError, counted
from runtime.explore.label_files import read_labels
from runtime.explore.rows import RowFile, open_runs, recordings_of
from runtime.explore.tables import check_table, say, write_table
from runtime.files import check_outputs

if TYPE_CHECKING:
    from runtime.explore.evaluation import Evaluation
    from runtime.explore.predictions import Uncertainty

HEADER = ("row_id", "path", "start_s", "end_s", "species", "probability")
NEXT_HEADER = ("row_id", "path", "start_s", "end_s", "guess", "probability")
"""Not `species`: an unanswered guess must not be read as a label."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "rows",
        nargs="+",
        type=Path,
        metavar="ROWS",
        help="a .parquet or .npz that perch-run wrote, with the output embedding",
    )
    parser.add_argument("--labels", required=True, type=Path, metavar="FILE.csv", help="the species of some windows")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.csv",
        help="the label file to write for the other windows: a line for each window and species",
    )
    parser.add_argument(
        "--precision",
        type=float,
        default=0.9,
        metavar="SHARE",
        help="the share of the new labels that should be correct (default: 0.9)",
    )
    parser.add_argument(
        "--next",
        type=int,
        default=50,
        metavar="N",
        help="how many windows to list as most worth labelling next: those with a probability nearest to 0.5, one from "
        "each recording before a second from any (default: 50)",
    )
    parser.add_argument(
        "--next-output", type=Path, metavar="FILE.csv", help="where to list them (default: FILE_next.csv beside -o)"
    )
    parser.add_argument(
        "--skip-missing",
        action="store_true",
        help="ignore labels of windows that have no row, instead of stopping at them",
    )


def run(args: argparse.Namespace) -> None:
    """Learns, prints the evaluation, and writes the species of the other windows.

    Raises:
        InputError: an argument or a file cannot be used, or nothing can be learnt from the labels.
        OutputError: a table cannot be written.
    """
    if not 0 < args.precision < 1:
        raise InputError(f"--precision is {args.precision:g}, but must be between 0 and 1")
    if args.next < 0:
        raise InputError(f"--next is {args.next}, but must be at least 0")
    following = args.next_output
    if following is None and args.output is not None:
        following = args.output.parent / f"{args.output.stem}_next.csv"
    for target in (args.output, following):
        if target is not None:
            check_table(target)
    labels = read_labels(args.labels, args.rows)
    files = open_runs(args.rows, "embedding")
    check_outputs(
        {"-o": args.output, "--next-output": following},
        {"--labels": args.labels, "ROWS": args.rows, "the recording": lambda: recordings_of(files)},
    )

    from runtime.explore.evaluation import evaluate
    from runtime.explore.predictions import Uncertainty

    evaluation = evaluate(files, labels, args.precision, args.skip_missing)
    say(evaluation.report())
    if args.output is None and following is None:
        return
    uncertainty = Uncertainty()
    lines = _lines(files, evaluation, uncertainty)
    if args.output is None:
        deque(lines, maxlen=0)
    else:
        write_table(args.output, HEADER, lines)
        windows = counted(len(uncertainty), "window")
        say(f"{args.output}: {uncertainty.species:,} species in {uncertainty.windows:,} of {windows} without a label")
    if following is not None and args.next:
        worst = uncertainty.worst(files, args.next)
        shown = [
            (*_window(files[f], row), evaluation.names[i], f"{chance:.4f}" if evaluation.enough[i] else "")
            for f, row, i, chance in worst
        ]
        write_table(following, NEXT_HEADER, shown)
        say(f"{following}: {counted(len(shown), 'window')} most worth labelling next")


def _lines(files: list[RowFile], evaluation: Evaluation, uncertainty: Uncertainty) -> Iterator[tuple[str, ...]]:
    """Lines of species in windows without a label; `uncertainty` counts every window."""
    import numpy as np

    from runtime.explore.predictions import predict_unlabelled

    for part in predict_unlabelled(files, evaluation.labelled, evaluation.probabilities_of):
        given = part.probabilities >= evaluation.thresholds
        uncertainty.add(part, given)
        for i, species in np.argwhere(given):
            window = _window(files[part.file], part.rows[i])
            yield (*window, evaluation.names[species], f"{part.probabilities[i, species]:.4f}")


def _window(file: RowFile, row: int) -> tuple[str, str, str, str]:
    times = (f"{seconds:.10g}" for seconds in (file.start_s[row], file.end_s[row]))
    return (str(file.row_ids[row]), str(file.paths[row]), *times)  # type: ignore[return-value]
