"""`python -m convert.untrained FOLDER`: an untrained Perch to try things on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from convert.source.tensorflow import hush_native_log
from convert.untrained.recipe import PERCH_V1, PERCH_V2, PERCH_V2_PUBLISHED, SURFPERCH

MODELS = {
    "v1": ("Perch v1", PERCH_V1),
    "v2": ("Perch v2", PERCH_V2),
    "v2-published": ("Perch v2", PERCH_V2_PUBLISHED),
    "surfperch": ("SurfPerch", SURFPERCH),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m convert.untrained",
        description="Writes a SavedModel that is a Perch in all but training: same graph, names and assets, random "
        "weights. Its scores mean nothing; its speed is the real model's.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write it")
    parser.add_argument(
        "--model",
        choices=MODELS,
        default="v1",
        help="v2: as Google's public source exports it; v2-published: as the published file was found to be (another "
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
        help="v1's: simple, the mel frontend of 2023 on; complex, that of 2022, an STFT in complex numbers "
        "(default: simple)",
    )
    parser.add_argument(
        "--smoothing",
        choices=("causal", "reversed"),
        help="v1's: causal, PCEN's of 2024 on; reversed, that of all models before, in which the oldest frame weighs "
        "most (default: causal)",
    )
    parser.add_argument(
        "--pair", action="store_true", help="v1's older shape of any batch: a (logits, embedding) tuple"
    )
    parser.add_argument(
        "--fixed-batch", action="store_true", help="v1's oldest shape: one window a call, a (logits, embedding) tuple"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default: 0)")
    args = parser.parse_args(arguments)
    native = args.native or args.model != "v1"
    if args.platforms and not native:
        parser.error("--platforms is for native models: add --native")
    if args.model != "v1" and (args.frontend or args.smoothing or args.pair or args.fixed_batch):
        parser.error("--frontend, --smoothing, --pair and --fixed-batch are for --model v1")
    title, recipe = MODELS[args.model]
    recipe = replace(
        recipe,
        frontend=args.frontend or recipe.frontend,
        smoothing=args.smoothing or recipe.smoothing,
        pair=args.pair or recipe.pair,
        fixed_batch=args.fixed_batch,
        seed=args.seed,
    )
    hush_native_log()
    import tensorflow as tf

    try:
        if native:
            from convert.untrained.native import perch as jax_perch

            jax_perch.write_saved_model(args.folder, recipe, (args.platforms or "cpu").split(","))
        else:
            from convert.untrained import perch as tf_perch

            tf_perch.write_saved_model(args.folder, recipe)
    except ImportError as error:
        parser.exit(2, f"a native model needs JAX ({error}), which belongs to the extra dev: pip install '.[dev]'\n")
    except (OSError, tf.errors.OpError) as error:
        parser.exit(2, f"cannot write to {args.folder} ({str(error).splitlines()[0]})\n")
    print(f"{args.folder}: an untrained {title}; next: perch-convert {args.folder} -o perch.onnx")


if __name__ == "__main__":
    main()
