"""Compares converted Perch models with TensorFlow: are the outputs equal, is a deadline met, how fast can it go?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks.cuda import command as cuda
from benchmarks.deadline import command as deadline
from benchmarks.labelling import command as labelling
from benchmarks.parity import command as parity
from benchmarks.throughput import command as throughput
from convert.source.tensorflow import hush_native_log
from runtime.console.terminal import Parser, Subparser, add_version, command, complain
from runtime.errors import DeviceError
from runtime.model.session import check_install
from runtime.request.parser import in_flags

COMMANDS = {
    "parity": (
        parity,
        "do converted files give the outputs of their SavedModel?",
        "saved_model perch.onnx --audio recordings/ --html parity.html",
    ),
    "deadline": (
        deadline,
        "is a competition's deadline met, and by a notebook that calls TensorFlow?",
        "saved_model perch.onnx --classes sample_submission.csv",
    ),
    "throughput": (
        throughput,
        "how many windows a second, which setup is fastest, and where does the time go?",
        "perch.onnx --soundscapes recordings/",
    ),
    "cuda": (
        cuda,
        "are outputs right on a CUDA card, and how fast is it?",
        "perch.onnx --json cuda.json",
    ),
    "labelling": (
        labelling,
        "how much does each further label teach, and what share of the predictions is correct?",
        "perch.onnx --json labelling.json",
    ),
}
"""Each command's module, what it answers, and an example of its arguments."""


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="perch-bench", description=__doc__, epilog="`perch-bench COMMAND --help` explains each command."
    )
    add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Subparser)
    for name, (module, question, example) in COMMANDS.items():
        epilog = f"example:\n  perch-bench {name} {example}"
        added = commands.add_parser(name, help=question, description=module.__doc__, epilog=epilog)
        module.add_arguments(added)
        added.set_defaults(run=module.run)
    return parser


@command("perch-bench")
def main(args: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    parsed = make_parser().parse_args(args)
    hush_native_log()
    try:
        check_install()
        return int(parsed.run(parsed))
    except DeviceError as error:
        complain("perch-bench", in_flags(error))
        return 2
    except ModuleNotFoundError as error:
        complain(
            "perch-bench",
            f"the extras 'convert' and 'benchmarks' are needed ({error.name} is missing); run "
            "`pip install '.[convert,benchmarks]'` in the project's folder",
        )
        return 2
