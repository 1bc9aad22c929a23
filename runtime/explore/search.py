"""Finds the windows that sound most like given ones, by the cosine of their embeddings.

The search is exact: it compares all rows, block by block. With several --like a window is ranked by the one it is most
similar to. The given windows themselves are not listed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import InputError, counted, some
from runtime.explore.queries import Query, find_query
from runtime.explore.rows import RowFile, open_runs, recordings_of
from runtime.explore.similarity import find_similar
from runtime.explore.tables import check_table, format_table, say, write_table
from runtime.files import check_outputs
from runtime.model.identity import read_true_artifact
from runtime.request.values import at_least_one

HEADER = ("similarity", "row_id", "path", "start_s", "end_s", "like")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "rows",
        nargs="+",
        type=Path,
        metavar="ROWS",
        help="a .parquet or .npz that perch-run wrote, with the output embedding",
    )
    parser.add_argument(
        "--like",
        required=True,
        action="append",
        metavar="WINDOW",
        help="a window to compare with: its row_id, or RECORDING@START, such as recording.wav@12.5 or "
        "recording.wav@1:02:30. May be repeated",
    )
    parser.add_argument("--top", type=int, default=20, metavar="N", help="how many windows to list (default: 20)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.csv", help="also write the list here")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE.onnx",
        help="the model that made the rows, needed for a --like window that has no row",
    )
    parser.add_argument("--other-recordings", action="store_true", help="leave out the recordings that --like names")


def run(args: argparse.Namespace) -> None:
    """Searches, prints the windows found, and writes them.

    Raises:
        InputError: an argument or a file cannot be used.
        OutputError: the table cannot be written.
    """
    count = at_least_one("--top", args.top)
    if args.output is not None:
        check_table(args.output)
    files = open_runs(args.rows, "embedding")
    like = [text.rpartition("@")[0] for text in args.like]
    check_outputs(
        {"-o": args.output},
        {"ROWS": args.rows, "--model": args.model, "--like": like, "the recording": lambda: recordings_of(files)},
    )
    if args.model is not None:
        _check_model(args.model, files[0])
    queries = [find_query(text, files, args.model) for text in args.like]
    for line in _about_pooled(files, queries):
        say(line)
    hits = find_similar(files, queries, count, args.other_recordings)
    lines = [
        (
            round(hit.similarity, 6),
            str(file.row_ids[hit.row]),
            str(file.paths[hit.row]),
            f"{file.start_s[hit.row]:.10g}",
            f"{file.end_s[hit.row]:.10g}",
            queries[hit.query].text,
        )
        for hit in hits
        for file in [files[hit.file]]
    ]
    if not lines:
        say("no other windows have a score")
    else:
        shown = len(HEADER) if len(queries) > 1 else len(HEADER) - 1
        say(format_table(HEADER[:shown], [line[:shown] for line in lines]))
    if args.output is not None:
        write_table(args.output, HEADER, lines)
        say(f"{args.output}: {counted(len(lines), 'window')}")


def _about_pooled(files: Sequence[RowFile], queries: Sequence[Query]) -> list[str]:
    """Says so where a window that was listened to is compared with means of several."""
    heard = [query.text for query in queries if not query.rows]
    return [
        f"the rows of {file.source} are means of several windows (--{file.pooled_by}) and {some(heard)} is not, so the "
        "same sound has a similarity below 1"
        for file in files
        if heard and file.pooled_by
    ]


def _check_model(model: Path, rows: RowFile) -> None:
    artifact = read_true_artifact(model)
    artifact.head("embedding")
    if artifact.saved_model_sha256 != rows.about.get("saved_model_sha256"):
        raise InputError(
            f"{model} did not make the rows of {rows.source} (its SavedModel is "
            f"{artifact.saved_model_sha256[:12]}, not {str(rows.about.get('saved_model_sha256'))[:12]}); give the "
            "model that did"
        )
