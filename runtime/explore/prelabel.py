"""Learns species from windows that are labelled, proves it on recordings not learnt from, and labels the other windows.

A logistic regression on embeddings for each species, cross-validated by recording: no recording is learnt from and
judged at once. Probabilities are calibrated on what was so judged (a sigmoid a species; species with fewer than 10
windows share theirs). A window gets a species from the lowest probability on at which, among the judged windows, at
least the share --precision held it, counted as (right + 1) / (all + 2), and their mean probability says so, too; a
species that never gets there, or is less likely than not, is not given. This supposes that the labelled windows are
like the others: that they were not chosen for what they hold.

A label file has the columns row_id and species: a line for each window and species, an empty species where a window
holds none of them. A labelled window holds what its lines name and nothing else. BirdCLEF's label files are read, too.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError
from runtime.explore.labels import read_labels
from runtime.explore.rows import RowFile, open_runs, recordings_of
from runtime.explore.tables import check_table, say, write_table
from runtime.files import check_outputs

if TYPE_CHECKING:
    from runtime.explore.judgement import Judgement
    from runtime.explore.unknown import Doubts

HEADER = ("row_id", "path", "start_s", "end_s", "species", "probability")
NEXT_HEADER = ("row_id", "path", "start_s", "end_s", "guess", "probability")
"""Not `species`: an unanswered guess must not be read as a label."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rows", nargs="+", type=Path, metavar="ROWS", help=".parquet or .npz with the output embedding")
    parser.add_argument("--labels", required=True, type=Path, metavar="FILE.csv", help="what is known of windows")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.csv",
        help="where to write species of the other windows, a line for each window and species: a label file itself",
    )
    parser.add_argument(
        "--precision",
        type=float,
        default=0.9,
        metavar="SHARE",
        help="share of the given labels that is to be right (default: 0.9)",
    )
    parser.add_argument(
        "--next",
        type=int,
        default=50,
        metavar="N",
        help="windows to list that are most worth labelling next: those with a probability nearest to a half, one of "
        "each recording before a second of any (default: 50)",
    )
    parser.add_argument(
        "--next-output", type=Path, metavar="FILE.csv", help="where to list them (default: FILE_next.csv beside -o)"
    )
    parser.add_argument(
        "--skip-missing", action="store_true", help="leave out labels of windows that have no row, instead of refusing"
    )


def run(args: argparse.Namespace) -> None:
    """Learns, prints how well, and writes what the other windows hold.

    Raises:
        InputError: an argument or a file cannot be used, or nothing can be learnt from the labels.
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
    labels = read_labels(args.labels)
    files = open_runs(args.rows, "embedding")
    check_outputs(
        {"-o": args.output, "--next-output": following},
        {"--labels": args.labels, "ROWS": args.rows, "the recording": lambda: recordings_of(files)},
    )

    from runtime.explore.judgement import judge
    from runtime.explore.unknown import Doubts

    judgement = judge(files, labels, args.precision, args.skip_missing)
    say(judgement.report())
    if args.output is None and following is None:
        return
    doubts = Doubts()
    lines = _lines(files, judgement, doubts)
    if args.output is None:
        deque(lines, maxlen=0)
    else:
        write_table(args.output, HEADER, lines)
        say(f"{args.output}: {doubts.species} species in {doubts.windows} of {len(doubts)} windows without a label")
    if following is not None and args.next:
        worst = doubts.worst(files, args.next)
        shown = [(*_window(files[f], row), judgement.names[i], f"{chance:.4f}") for f, row, i, chance in worst]
        write_table(following, NEXT_HEADER, shown)
        say(f"{following}: {len(shown)} windows most worth labelling next")


def _lines(files: list[RowFile], judgement: Judgement, doubts: Doubts) -> Iterator[tuple[str, ...]]:
    """What is found in windows without a label; `doubts` learns of all of them."""
    import numpy as np

    from runtime.explore.unknown import predict_unknown

    for part in predict_unknown(files, judgement.known, judgement.probabilities_of):
        given = part.probabilities >= judgement.thresholds
        doubts.add(part, given)
        for i, species in np.argwhere(given):
            window = _window(files[part.file], part.rows[i])
            yield (*window, judgement.names[species], f"{part.probabilities[i, species]:.4f}")


def _window(file: RowFile, row: int) -> tuple[str, str, str, str]:
    times = (f"{seconds:.10g}" for seconds in (file.start_s[row], file.end_s[row]))
    return (str(file.row_ids[row]), str(file.paths[row]), *times)  # type: ignore[return-value]
