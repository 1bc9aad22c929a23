"""Learns species from labelled windows and keeps them in a model's file, as one more output.

It learns what `perch-explore prelabel` learns, prints the same report, and writes a copy of the model whose output
--name holds the probabilities of the species. perch-run then gives them in the same pass as the model's own outputs.
The file also holds each species' threshold, the probability from which on at least the share --precision of the tested
windows held it; `perch-run --min-score auto` uses them. Species with fewer than 5 labelled windows are left out.

The rows must come from the same conversion: embeddings of another model, another precision or another --classes slice
are refused.

With --weights nothing is learnt: a linear classifier that was trained elsewhere becomes the output. Its probabilities
are the sigmoid of its logits, which nobody has calibrated.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from runtime.audio.windows import Normalization
from runtime.console.version import __version__
from runtime.errors import InputError, some
from runtime.explore.label_files import read_labels
from runtime.explore.rows import RowFile, open_runs, recordings_of
from runtime.explore.tables import say
from runtime.files import check_outputs, check_writable
from runtime.model.artifact import Artifact, own_heads_in
from runtime.model.heads import LABEL
from runtime.model.identity import read_true_artifact

if TYPE_CHECKING:
    from runtime.explore.evaluation import Evaluation
    from runtime.explore.own_head import TrainedHead

PRECISION = 0.9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "rows",
        nargs="*",
        type=Path,
        metavar="ROWS",
        help="a .parquet or .npz that perch-run wrote, with the output embedding",
    )
    parser.add_argument("--labels", type=Path, metavar="FILE.csv", help="the species of some windows")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="instead of ROWS and --labels, a classifier that was trained elsewhere: an .npz with weights [embedding, "
        "classes], bias and classes, or the .json of a LinearClassifier of perch-hoplite or a recognizer of "
        "perch-runner",
    )
    parser.add_argument(
        "--normalize",
        choices=get_args(Normalization),
        help="the --normalize of the windows that the classifier in --weights was trained on; runs with another are "
        "refused (default: what the file says; peak for perch-hoplite's)",
    )
    parser.add_argument(
        "--model", required=True, type=Path, metavar="FILE.onnx", help="the converted model that made the rows"
    )
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FILE.onnx", help="the copy of the model to write"
    )
    parser.add_argument(
        "--name",
        default="mine",
        metavar="NAME",
        help="what to call the new output; one of that name that was taught before is replaced (default: mine)",
    )
    parser.add_argument(
        "--precision",
        type=float,
        metavar="SHARE",
        help="the share of detections by the stored thresholds that should be correct (default: 0.9)",
    )
    parser.add_argument(
        "--skip-missing",
        action="store_true",
        help="ignore labels of windows that have no row, instead of stopping at them",
    )


def run(args: argparse.Namespace) -> None:
    """Learns, prints the evaluation, and writes the model with its new head.

    Raises:
        InputError: an argument or a file cannot be used, or nothing can be learnt from the labels.
        OutputError: the file cannot be written.
    """
    from runtime.explore.own_head import add_head

    if args.output.suffix.lower() != ".onnx":
        raise InputError(f"cannot write a model to {args.output}; end its name in .onnx")
    check_writable(args.output)
    before = read_true_artifact(args.model)
    own = own_heads_in(args.output) | before.own_heads
    if lost := [name for name in own if name not in (*before.heads, args.name)]:
        raise InputError(
            f"{args.output} has the output {some(lost)}, which {args.model} lacks, and would lose it; to keep it, "
            f"teach that file, with --model {args.output} and another -o"
        )
    head = _learnt(args, before) if args.weights is None else _trained_elsewhere(args)
    taught = add_head(args.model, args.output, args.name, head)
    if args.name in own:
        say(f"replaced: the output {args.name} ({some(own[args.name].classes)})")
    say(_conclusion(args.output, args.name, taught))


def _trained_elsewhere(args: argparse.Namespace) -> TrainedHead:
    """The classifier in a file of weights."""
    from runtime.explore.weights import read_weights

    given = {"ROWS": args.rows, "--labels": args.labels, "--precision": args.precision}
    given["--skip-missing"] = args.skip_missing
    if several := [name for name, value in given.items() if value not in (None, False, [])]:
        raise InputError(f"--weights are of a classifier that learns nothing more; leave out {several[0]}")
    check_outputs({"-o": args.output}, {"--model": args.model, "--weights": args.weights})
    return read_weights(args.weights, args.normalize)


def _learnt(args: argparse.Namespace, artifact: Artifact) -> TrainedHead:
    """What labels teach; prints how good that is."""
    from runtime.explore.own_head import check_classes, check_place

    precision = PRECISION if args.precision is None else args.precision
    if not args.rows or args.labels is None:
        raise InputError("teach needs ROWS and --labels to learn from, or --weights of a classifier that has learnt")
    if args.normalize is not None:
        raise InputError("--normalize is for --weights; rows say how their windows were normalised: leave it out")
    if not 0 < precision < 1:
        raise InputError(f"--precision is {precision:g}, but must be between 0 and 1")
    labels = read_labels(args.labels, args.rows)
    files = open_runs(args.rows, "embedding")
    check_outputs(
        {"-o": args.output},
        {
            "--model": args.model,
            "--labels": args.labels,
            "ROWS": args.rows,
            "the recording": lambda: recordings_of(files),
        },
    )
    for file in files:
        _check_belongs(file, args.model, artifact)
    check_place(args.model, artifact, args.name, files[0].shapes["embedding"][0])
    try:
        check_classes(sorted(labels.names))
    except InputError as error:
        raise InputError(f"{error}; correct this species in {args.labels}") from None

    from runtime.explore.evaluation import evaluate

    evaluation = evaluate(files, labels, precision, args.skip_missing)
    say(evaluation.report())
    if any(file.options.get("embedding_dtype") == "float16" for file in files):
        say("embeddings in float16: probabilities of a run may differ from these by about 1e-4")
    return _trained(files, evaluation, labels.sha256, artifact.base_sha256)


def _check_belongs(file: RowFile, model: Path, artifact: Artifact) -> None:
    """Refuses rows whose embeddings are not those that a head of the model would see."""
    base = file.about.get("base_sha256", file.about.get("artifact_sha256"))
    if base != artifact.base_sha256:
        same = file.about.get("saved_model_sha256") == artifact.saved_model_sha256
        what = "another precision or --classes slice of the model" if same else "another model"
        raise InputError(
            f"{file.source} was made with {what} than {model} ({str(base)[:12]}, not {artifact.base_sha256[:12]}); "
            "name the file that made the rows, or run perch-run with this one"
        )
    if file.pooled_by:
        raise InputError(
            f"the rows of {file.source} are means of several windows (--{file.pooled_by}), and a head sees one at a "
            f"time; run perch-run without --{file.pooled_by}"
        )


def _trained(files: Sequence[RowFile], evaluation: Evaluation, labels_sha256: str, base_sha256: str) -> TrainedHead:
    """The classifiers of the species with enough labels, and what they were taught from.

    Raises:
        InputError: no species has enough labels.
    """
    import numpy as np

    from runtime.explore.evaluation import FEWEST
    from runtime.explore.own_head import TrainedHead
    from runtime.model.own_heads import OwnHead

    if not evaluation.enough.any():
        counts = dict(zip(evaluation.labelled.names, evaluation.labelled.truth.sum(axis=0).tolist(), strict=True))
        lacks = [
            f"{name} ({FEWEST - counts[name]} more)" if counts[name] < FEWEST else f"{name} (in other recordings)"
            for name in sorted(counts, key=lambda name: -counts[name])
        ]
        raise InputError(
            f"no species has {FEWEST} labelled windows in several recordings, so nothing is written; label "
            f"{some(lacks)}"
        )
    kept = np.flatnonzero(evaluation.enough)
    weights, bias = evaluation.linear()
    limits = [evaluation.thresholds[i] for i in kept]
    normalize = files[0].options.get("normalize")
    taught = {**_taught(files, evaluation), "labels_sha256": labels_sha256, "base_sha256": base_sha256}
    own = OwnHead(tuple(float(limit) if np.isfinite(limit) else None for limit in limits), normalize, taught)
    return TrainedHead(tuple(evaluation.names[i] for i in kept), weights[:, kept], bias[kept], own)


def _taught(files: Sequence[RowFile], evaluation: Evaluation) -> dict[str, Any]:
    """What classifiers were taught from and how good they are, for the file's metadata; the same for the same input."""
    from dataclasses import asdict

    import numpy as np
    import sklearn

    recordings = evaluation.labelled.recordings
    average_precision, roc_auc = evaluation.average_precision, evaluation.roc_auc
    species = {
        evaluation.names[i]: {
            "windows": int(evaluation.truth[:, i].sum()),
            "recordings": len(np.unique(recordings[evaluation.truth[:, i]])),
            "average_precision": float(average_precision[i]),
            "roc_auc": float(roc_auc[i]),
        }
        for i in np.flatnonzero(evaluation.enough)
    }
    return {
        "labelled_windows": len(recordings),
        "labelled_recordings": int(recordings.max()) + 1,
        "rows": sum(file.count for file in files),
        "recordings": len({path for file in files for path in file.paths}),
        "precision": evaluation.precision,
        "calibration_error": evaluation.calibration_error,
        "hop_s": sorted({file.about.get("hop_s", "") for file in files}),
        "species": species,
        "random_share": asdict(evaluation.random) if evaluation.random else None,
        "versions": {"perch-onnx": __version__, "scikit-learn": sklearn.__version__},
    }


def _conclusion(path: Path, name: str, artifact: Artifact) -> str:
    """What was written, and what to do with it."""
    head = artifact.heads[name]
    assert head.own is not None
    limits = len([limit for limit in head.own.thresholds if limit is not None])
    command = f"perch-run RECORDINGS --model {shlex.quote(str(path))}"
    if head.own.normalize not in (None, "raw"):
        command += f" --normalize {head.own.normalize}"
    both = f"{LABEL},{name}" if LABEL in artifact.heads else name
    lines = [
        f"{path}: the output {name} has {len(head.classes)} species, {limits} of them with a threshold",
        f"probabilities: {command} --outputs {both} -o scores.parquet",
    ]
    if limits:
        lines.append(f"detections:    {command} --outputs {name} --min-score auto -o detections.csv")
    if head.own.normalize is None:
        lines.append(
            "unknown: how windows were normalised in training; give --normalize raw or peak, and perch-run refuses "
            "others"
        )
    return "\n".join(lines)
