"""`perch-bench`: is a converted file the same as its SavedModel, is it in time, and how fast can it go."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks.deadline import command as deadline
from benchmarks.parity import command as parity
from benchmarks.throughput import command as throughput
from convert.cli import hush_native_log
from runtime.errors import PerchError
from runtime.model.session import check_install
from runtime.terminal import add_version, command, complain

COMMANDS = {
    "parity": (parity, "whether converted files give what their SavedModel gives"),
    "deadline": (deadline, "does it end in time, beside a notebook that calls TensorFlow"),
    "throughput": (throughput, "windows a second, stage by stage and from files to rows"),
}


def parse_args(args: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="perch-bench", description=__doc__)
    add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (module, about) in COMMANDS.items():
        added = commands.add_parser(name, help=about, description=module.__doc__)
        module.add_arguments(added)
        added.set_defaults(run=module.run)
    return parser.parse_args(args)


@command("perch-bench")
def main(args: Sequence[str]) -> int:
    """The command; returns its exit code."""
    parsed = parse_args(args)
    hush_native_log()
    try:
        check_install()
        return int(parsed.run(parsed))
    except PerchError as error:
        complain("perch-bench", error)
        return 2
    except ModuleNotFoundError as error:
        complain(
            "perch-bench",
            f"the extras 'convert' and 'benchmarks' are needed ({error.name} is missing); run "
            "`pip install '.[convert,benchmarks]'` in the project's folder",
        )
        return 2
    except KeyboardInterrupt:
        complain("perch-bench", "interrupted")
        return 130
