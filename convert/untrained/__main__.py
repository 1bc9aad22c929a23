"""`python -m convert.untrained FOLDER`: an untrained Perch to try things on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from convert.source.tensorflow import hush_native_log
from convert.untrained.recipe import PERCH_V1, PERCH_V2, PERCH_V2_PUBLISHED, SURFPERCH, Recipe
from runtime.console.terminal import command, complain
from runtime.errors import OutputError, PerchError, first_line

PROGRAM = "python -m convert.untrained"
MODELS = {
    "v1": ("Perch v1", PERCH_V1),
    "v2": ("Perch v2", PERCH_V2),
    "v2-published": ("Perch v2", PERCH_V2_PUBLISHED),
    "surfperch": ("SurfPerch", SURFPERCH),
}


def parse_args(args: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Writes a SavedModel that is a Perch in all but training: the same graph, names and assets, with "
        "random weights. Its scores mean nothing; its speed is that of the real model.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write it")
    parser.add_argument(
        "--model",
        choices=MODELS,
        default="v1",
        help="v2: as Google's public source exports it; v2-published: as the published file is known to be (another "
        "STFT, other activations); these and surfperch are always native (default: v1)",
    )
    parser.add_argument(
        "--native",
        action="store_true",
        help="as JAX exports today: StableHLO instead of plain TensorFlow ops (needs the extra 'dev')",
    )
    parser.add_argument(
        "--platforms",
        choices=("cpu", "cuda", "cpu,cuda"),
        metavar="NAMES",
        help="cpu, cuda or cpu,cuda: what a native model runs on; TensorFlow refuses it elsewhere (default: cpu)",
    )
    parser.add_argument(
        "--frontend",
        choices=("simple", "complex"),
        help="of v1: simple, the mel frontend since 2023; complex, that of 2022, an STFT in complex numbers "
        "(default: simple)",
    )
    parser.add_argument(
        "--smoothing",
        choices=("causal", "reversed"),
        help="of v1: causal, PCEN's smoothing since 2024; reversed, that of all earlier models, in which the oldest "
        "frame has the greatest weight (default: causal)",
    )
    parser.add_argument(
        "--pair", action="store_true", help="v1's older form with any batch size: a (logits, embedding) tuple"
    )
    parser.add_argument(
        "--fixed-batch", action="store_true", help="v1's oldest form: one window per call, a (logits, embedding) tuple"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default: 0)")
    parsed = parser.parse_args(args)
    parsed.native = parsed.native or parsed.model != "v1"
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
    try:
        write(parsed, recipe)
    except PerchError as error:
        complain(PROGRAM, error)
        return 2
    print(f"{parsed.folder}: an untrained {title}; next: perch-convert {parsed.folder} -o perch.onnx")
    return 0


if __name__ == "__main__":
    sys.exit(main())
