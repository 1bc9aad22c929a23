"""`python -m convert.untrained FOLDER`: an untrained Perch v1 to try things on."""

from __future__ import annotations

import argparse
from pathlib import Path

from convert.cli import hush_native_log


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m convert.untrained",
        description="Writes a SavedModel that is Perch v1 in all but training: same graph, names and assets, random "
        "weights. Its scores mean nothing; its speed is the real model's.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write it")
    parser.add_argument(
        "--frontend",
        choices=("simple", "complex"),
        default="simple",
        help="simple: mel frontend of 2023 on; complex: that of 2022, an STFT in complex numbers (default: simple)",
    )
    parser.add_argument(
        "--fixed-batch", action="store_true", help="the oldest shape: one window a call, a (logits, embedding) tuple"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default: 0)")
    args = parser.parse_args()
    hush_native_log()
    import tensorflow as tf

    from convert.untrained.perch import Recipe, write_saved_model

    try:
        write_saved_model(args.folder, Recipe(frontend=args.frontend, fixed_batch=args.fixed_batch, seed=args.seed))
    except (OSError, tf.errors.OpError) as error:
        parser.exit(2, f"cannot write to {args.folder} ({str(error).splitlines()[0]})\n")
    print(f"{args.folder}: an untrained Perch v1; next: perch-convert {args.folder} -o perch.onnx")


if __name__ == "__main__":
    main()
