"""Explores a run's rows: plots them, finds windows that sound alike, labels some and learns species from these."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from runtime.console.terminal import Parser, Subparser, add_version, command, complain
from runtime.explore import label, plot, prelabel, search, teach

COMMANDS: dict[str, tuple[Any, str, str]] = {
    "label": (
        label,
        "listen to windows and label them, in the browser",
        "out.parquet --taxonomy taxonomy.csv",
    ),
    "plot": (
        plot,
        "plot embeddings, or the timeline of a soundscape",
        "out.parquet --color species -o out.html",
    ),
    "prelabel": (
        prelabel,
        "label windows from a few labelled ones, and say how good that is",
        "out.parquet --labels labels.csv -o prelabels.csv",
    ),
    "search": (
        search,
        "find windows that sound like given ones",
        "out.parquet --like recording.wav@12.5",
    ),
    "teach": (
        teach,
        "learn species from labelled windows, and keep them in the model's file",
        "out.parquet --labels labels.csv --model perch.onnx -o mine.onnx",
    ),
}
"""Each command's module, what it does, and an example of its arguments."""


def make_parser() -> argparse.ArgumentParser:
    epilog = "`perch-explore COMMAND --help` explains each command."
    parser = Parser(prog="perch-explore", description=__doc__, epilog=epilog)
    add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Subparser)
    for name, (module, about, example) in COMMANDS.items():
        epilog = f"example:\n  perch-explore {name} {example}"
        added = commands.add_parser(name, help=about, description=module.__doc__, epilog=epilog)
        module.add_arguments(added)
        added.set_defaults(run=module.run)
    return parser


@command("perch-explore")
def main(args: Sequence[str]) -> int:
    """The command; returns its exit code: 0 done, 2 wrong use or unusable input."""
    parsed = make_parser().parse_args(args)
    try:
        parsed.run(parsed)
        return 0
    except ModuleNotFoundError as error:
        complain(
            "perch-explore",
            f"the extra 'analysis' is needed ({error.name} is missing); run `pip install '.[analysis]'` in the "
            "project's folder",
        )
        return 2
