"""`python -m convert.untrained FOLDER`: an untrained Perch to try things on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from convert.source.tensorflow import hush_native_log
from convert.untrained.recipe import PERCH_V1, PERCH_V2, PERCH_V2_PUBLISHED, SHALLOW, SURFPERCH, Recipe
from runtime.console.terminal import Parser, command
from runtime.errors import OutputError, PerchError, first_line

PROGRAM = "python -m convert.untrained"
MODELS = {
    "v1": ("Perch v1", PERCH_V1),
    "v1-shallow": ("Perch v1", SHALLOW),
    "v2": ("Perch v2", PERCH_V2),
    "v2-published": ("Perch v2", PERCH_V2_PUBLISHED),
    "surfperch": ("SurfPerch", SURFPERCH),
}


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=PROGRAM,
        description="Writes an untrained Perch: a SavedModel with the graph, names and assets of the real one, and "
        "random weights. Its scores mean nothing; its speed is that of the real model.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write it")
    parser.add_argument(
        "--model",
        choices=MODELS,
        default="v1",
        help="v1-shallow has few blocks, so that its embeddings tell sounds apart; v2 is what Google's public source "
        "exports; v2-published is like the published file, with another STFT "
        "and other activations. All but v1 are always native (default: v1)",
    )
    parser.add_argument(
        "--native",
        action="store_true",
        help="StableHLO, as JAX exports today, instead of plain TensorFlow ops; needs the extra dev",
    )
    parser.add_argument(
        "--platforms",
        choices=("cpu", "cuda", "cpu,cuda"),
        metavar="NAMES",
        help="what a native model runs on: cpu, cuda or cpu,cuda. TensorFlow refuses it elsewhere (default: cpu)",
    )
    parser.add_argument(
        "--frontend",
        choices=("simple", "complex"),
        help="v1's frontend: simple is that of models since 2023; complex is that of 2022, an STFT in complex numbers "
        "(default: simple)",
    )
    parser.add_argument(
        "--smoothing",
        choices=("causal", "reversed"),
        help="how v1's PCEN smooths: causal, as models do since 2024, or reversed, as earlier ones did, where the "
        "oldest frame has the greatest weight (default: causal)",
    )
    parser.add_argument(
        "--pair", action="store_true", help="v1's older form: a tuple (logits, embedding), for any batch size"
    )
    parser.add_argument(
        "--fixed-batch",
        action="store_true",
        help="v1's oldest form: a tuple (logits, embedding), for one window a call",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random weights (default: 0)")
    return parser


def parse_args(args: Sequence[str] | None = None) -> argparse.Namespace:
    parser = make_parser()
    parsed = parser.parse_args(args)
    parsed.native = parsed.native or not parsed.model.startswith("v1")
    if parsed.platforms and not parsed.native:
        parser.error("--platforms is for native models: add --native")
    if parsed.model != "v1" and (parsed.frontend or parsed.smoothing or parsed.pair or parsed.fixed_batch):
        parser.error("--frontend, --smoothing, --pair and --fixed-batch are for --model v1")
    return parsed


def write(args: argparse.Namespace, recipe: Recipe) -> None:
    """Writes the model, natively by JAX or as plain TensorFlow ops.

    Raises:
        PerchError: JAX is missing.
        OutputError: the folder cannot be written.
    """
    import tensorflow as tf

    try:
        if args.native:
            from convert.untrained.native import perch as jax_perch

            jax_perch.write_saved_model(args.folder, recipe, (args.platforms or "cpu").split(","))
        else:
            from convert.untrained import perch as tf_perch

            tf_perch.write_saved_model(args.folder, recipe)
    except ImportError as error:
        raise PerchError(
            f"a native model needs JAX ({first_line(error)}), which belongs to the extra 'dev'; run `pip install "
            "'.[dev]'` in the project's folder"
        ) from None
    except (OSError, tf.errors.OpError) as error:
        raise OutputError(f"cannot write to {args.folder} ({first_line(error)})") from None


@command(PROGRAM)
def main(args: Sequence[str]) -> int:
    """The command; returns its exit code."""
    parsed = parse_args(args)
    title, recipe = MODELS[parsed.model]
    recipe = replace(
        recipe,
        frontend=parsed.frontend or recipe.frontend,
        smoothing=parsed.smoothing or recipe.smoothing,
        pair=parsed.pair or recipe.pair,
        fixed_batch=parsed.fixed_batch,
        seed=parsed.seed,
    )
    hush_native_log()
    write(parsed, recipe)
    print(f"{parsed.folder}: an untrained {title}; next: perch-convert {parsed.folder} -o perch.onnx")
    return 0


if __name__ == "__main__":
    sys.exit(main())
