"""What `perch-run` is told on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from runtime.audio.windows import Segments
from runtime.detections import DetectionFormat
from runtime.model.logits import Activation, LogitScale
from runtime.request import EmbeddingDtype
from runtime.values import parse_seconds, parse_weights

DESCRIPTION = """\
Scores every 5-second window of a folder of recordings with a converted Perch model, and writes a row for each:
row_id (file name and end second) and one column a class. Reads WAV, FLAC, OGG, MP3, Opus, AIFF, CAF and AU at any rate.
"""
EXAMPLES = """\
examples:
  perch-run test_soundscapes --model perch.onnx --classes sample_submission.csv -o submission.csv --deadline 85m
      a BirdCLEF submission: its columns in its order, complete within 85 minutes whatever happens
  perch-run --map-report map.csv --model perch.onnx --classes taxonomy.csv --unmapped genus-max
      which of these classes the model knows, and what stands for the others; nothing is scored
  perch-run archive --model perch.onnx --outputs embedding,label -o out.parquet --resume
      embeddings and scores of any amount of audio; the same command goes on after an interruption
  perch-run recordings --model perch.onnx --outputs embedding,label -o out.npz
      the same as arrays, for numpy
  perch-run archive --model perch.onnx --top 3 --min-score 5 -o detections.csv
      what was heard where: at most 3 classes a window, none that scores less
  perch-run archive --model perch.onnx --top 1 --min-score 5 -o labels --format audacity
      the same as labels, a file for each recording
  perch-run xeno_canto --model perch.onnx --segments peaks --normalize peak -o focal.csv
      windows around the five loudest events of each recording
  perch-run 'site_*/2024*.WAV' --model perch.onnx --hop 2.5 -o scores.csv
      a glob, with windows that overlap by half

scores are the model's logits: not probabilities, and not comparable between classes. So a --min-score means another
thing for each class, and is best found by listening to some detections.
exit codes: 0 done (rows filled because a deadline was asked for included); 1 done, but some recordings or folders could
not be read; 2 wrong use or unusable input; 130 and 143 after Ctrl-C and SIGTERM, what was scored so far being written
"""


def parse_args(args: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="perch-run",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "soundscapes", nargs="*", metavar="SOUNDSCAPES", help="folder (read recursively), glob or files"
    )
    parser.add_argument("--model", required=True, type=Path, metavar="FILE.onnx", help="made by perch-convert")
    parser.add_argument(
        "-o",
        "--output",
        "--sink",
        metavar="FILE",
        help=".csv (one output), .parquet or .npz (any outputs; .npz holds all rows in memory until the end); "
        "hoplite:FOLDER, a perch-hoplite database of embeddings; with --top or --min-score also .txt or a folder",
    )
    what = parser.add_argument_group("what to compute")
    what.add_argument(
        "--outputs",
        default="label",
        metavar="NAMES",
        help="heads, with commas between: label,embedding; Perch v1 also has genus, family, order, frontend, v2 "
        "spatial_embedding, spectrogram (default: label)",
    )
    what.add_argument(
        "--classes",
        metavar="FILE.csv",
        help="columns of label: a sample_submission.csv (whose rows are written in its order, if they name recordings "
        "that are there), a taxonomy.csv or a class list (default: all the model has)",
    )
    what.add_argument(
        "--taxonomy",
        type=Path,
        metavar="FILE.csv",
        help="what --classes, and those of detections, stand for: primary_label, scientific_name, common_name, "
        "class_name (default: what eBird's codes and scientific names say themselves; --classes, if it is such a file)",
    )
    what.add_argument(
        "--unmapped",
        default="zero",
        metavar="VALUE",
        help="what classes get that the model does not know: zero or another number; or of their genus's classes the "
        "greatest score, genus-max, or the mean, genus-mean; or genus-head, that of v1's output genus. What has no "
        "relatives gets zero (default: zero)",
    )
    what.add_argument(
        "--map-report",
        type=Path,
        metavar="FILE.csv",
        help="write how each of --classes is met, exactly, by its genus or not at all, and print a summary; without "
        "SOUNDSCAPES and -o nothing else is done",
    )
    what.add_argument(
        "--namespace",
        metavar="NAME",
        help="class list of the model that names columns, and in which --classes are looked up, such as ebird2021 "
        "(default: its first; for --classes the one that knows most of them)",
    )
    what.add_argument(
        "--logit-scale",
        choices=get_args(LogitScale),
        help="perch-hoplite: 0.97 x - 10 of label's logits, as perch-hoplite makes it of Perch v2's (default: as the "
        "model gives them)",
    )
    what.add_argument(
        "--hop",
        type=parse_seconds,
        metavar="TIME",
        help="from one window's start to the next: 2.5 or 2.5s (default: 5s)",
    )
    what.add_argument(
        "--segments",
        choices=get_args(Segments),
        default="grid",
        help="grid: windows one hop apart; peaks: windows around the loudest events, for focal recordings; one without "
        "events has no rows (default: grid)",
    )
    what.add_argument(
        "--max-peaks", type=int, default=5, metavar="N", help="windows a recording at most, around peaks (default: 5)"
    )
    what.add_argument(
        "--normalize",
        choices=("raw", "peak"),
        default="raw",
        help="raw: amplitudes as decoded, as in BirdCLEF notebooks; peak: mean removed and peak 0.25, as in Perch's "
        "own library (default: raw)",
    )
    what.add_argument(
        "--activation",
        choices=get_args(Activation),
        default="none",
        help="sigmoid or softmax of the scores. A score such as ROC-AUC ranks windows within a class: sigmoid leaves "
        "that as it is and softmax, over the columns written, does not; so none is the default",
    )
    what.add_argument(
        "--smooth",
        type=parse_weights,
        metavar="WEIGHTS",
        help="mean of each window's scores and its neighbours' in the same recording, after --activation, with these "
        "weights: 1,2,1 or 0.1,0.2,0.4,0.2,0.1 (default: none)",
    )
    what.add_argument(
        "--embedding-dtype",
        choices=get_args(EmbeddingDtype),
        default="float32",
        help="float16: embeddings (and other outputs without classes) take half the room (default: float32)",
    )
    only = parser.add_argument_group("detections: a table of what scores high, instead of all scores")
    only.add_argument("--top", type=int, metavar="K", help="at most so many classes of each window")
    only.add_argument("--min-score", type=float, metavar="SCORE", help="no lower scores, on the scale written")
    only.add_argument(
        "--format",
        choices=get_args(DetectionFormat),
        help="csv: path, start_s, end_s, class, scientific_name, common_name, score; raven: a selection table; "
        "audacity: labels. The last two of one recording in a file, of several in a folder (default: by FILE's ending, "
        ".csv, .selections.txt or .txt)",
    )
    how = parser.add_argument_group("how to compute")
    how.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:1; cuda never falls back (default: auto)"
    )
    how.add_argument("--workers", type=int, metavar="N", help="processes (default: as many as keep all cores busy)")
    how.add_argument("--threads", type=int, metavar="N", help="threads of each, computing on the CPU (default: 1)")
    how.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="windows at once (default: 2, on a GPU by its free memory). Without these three a run takes what "
        "perch-bench throughput measured to be fastest on this machine, if it did",
    )
    how.add_argument(
        "--deadline", type=parse_seconds, metavar="TIME", help="write a complete file within this time: 85m, 300s"
    )
    how.add_argument(
        "--on-deadline",
        choices=("fill", "interpolate"),
        default="fill",
        help="fill: rows not reached get the value of --fill; interpolate: windows are visited evenly, and those not "
        "reached get the mean of their neighbours (default: fill)",
    )
    how.add_argument(
        "--resume",
        action="store_true",
        help="go on with what an interrupted run left beside FILE (.csv, .parquet); without one, start",
    )
    how.add_argument(
        "--recording-timeout",
        type=parse_seconds,
        metavar="TIME",
        help="give up a recording of which nothing was heard for so long (default: 300s)",
    )
    how.add_argument(
        "--fill", type=float, default=-1000.0, metavar="VALUE", help="score of rows not reached or unreadable (-1000)"
    )
    parser.add_argument(
        "--doctor",
        action="store_true",
        help="say what is installed and which devices work instead (alone, or with --model and --device)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no summary; errors still show")
    parsed = parser.parse_args(args)
    needed = {"SOUNDSCAPES": parsed.soundscapes, "-o/--output": parsed.output}
    missing = [name for name, value in needed.items() if not value]
    if missing and (parsed.map_report is None or len(missing) < len(needed)):
        parser.error(f"the following arguments are required: {', '.join(missing)}")
    return parsed
