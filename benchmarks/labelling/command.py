"""How much does each further label teach, and is the share of correct predictions as high as --precision asks?

Makes soundscapes with planted sounds of made-up species and embeds them. An oracle, who hears every planted sound,
then labels windows of some soundscapes round by round: those that `perch-explore label` calls most worth labelling,
windows in random order, or windows chosen for a species. After each round what is learnt is tried on the others.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.measuring.arguments import number
from benchmarks.measuring.figures import check_writable_figures, write_json
from runtime.errors import InputError

ROUND = 25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `perch-bench labelling`."""
    parser.add_argument("artifact", type=Path, metavar="FILE.onnx", help="the model that makes embeddings")
    parser.add_argument(
        "--soundscapes", type=number, default=40, metavar="N", help="soundscapes to label, of a minute (default: 40)"
    )
    parser.add_argument(
        "--unseen", type=number, default=200, metavar="N", help="further soundscapes to try it on (default: 200)"
    )
    parser.add_argument("--labels", type=number, default=300, metavar="N", help="windows to label (default: 300)")
    parser.add_argument(
        "--seeds",
        type=number,
        default=5,
        metavar="N",
        help="how often soundscapes are dealt anew into those to label and unseen ones (default: 5)",
    )
    parser.add_argument(
        "--precision", type=float, default=0.9, metavar="SHARE", help="the precision asked for (default: 0.9)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to this file")


def run(args: argparse.Namespace) -> int:
    """Measures, prints and writes; returns the exit code."""
    started = time.monotonic()
    check_writable_figures({"--json": args.json}, {"FILE.onnx": args.artifact})
    if not 0 < args.precision < 1:
        raise InputError(f"--precision is {args.precision:g}, but must be between 0 and 1")

    from benchmarks.labelling.oracle import play_all
    from benchmarks.labelling.pool import NAMES, make_world
    from benchmarks.labelling.summary import report, summarize
    from benchmarks.measuring.environment import environment
    from runtime.model.identity import read_true_artifact

    artifact = read_true_artifact(args.artifact)
    world = make_world(args.artifact, args.soundscapes + args.unseen)
    games = play_all(world, args.soundscapes, args.seeds, args.labels, ROUND, args.precision)
    ways = summarize(games)
    print(report(ways, args.unseen, args.seeds))
    took_s = time.monotonic() - started
    print(f"Took {took_s:.0f} s.")
    about = {
        "artifact_sha256": artifact.artifact_sha256,
        "model_family": artifact.family,
        "embedding": artifact.heads["embedding"].shape[0],
        "soundscapes": args.soundscapes,
        "unseen": args.unseen,
        "windows": int(len(world.truth) / (args.soundscapes + args.unseen) * args.soundscapes),
        "seeds": args.seeds,
        "round": ROUND,
        "precision": args.precision,
        "species": dict(zip(NAMES, world.truth.mean(axis=0).round(4).tolist(), strict=True)),
    }
    more = {"took_s": took_s, "environment": environment()}
    write_json(args.json, "labelling", {**about, "ways": ways, **more})
    return 0
