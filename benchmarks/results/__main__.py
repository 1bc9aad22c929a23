"""`make results`: measures every perch-bench command and a timeline on untrained models, and makes docs/results.md."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.results.measure import COMMANDS, LABELLING, MODELS, TIMELINE, measure
from benchmarks.results.page import write_results
from runtime.console.terminal import Parser
from runtime.errors import PerchError

ELSEWHERE = ("parity", "deadline")
"""What the table of other machines shows."""
DOCS = Path(__file__).parents[2] / "docs"


def main() -> int:
    """Measures and writes; returns the exit code."""
    parser = Parser(prog="python -m benchmarks.results", description=__doc__)
    parser.add_argument(
        "--models", nargs="*", choices=MODELS, default=list(MODELS), help="versions of Perch (default: all)"
    )
    parser.add_argument(
        "--commands",
        nargs="*",
        choices=(*COMMANDS, TIMELINE, LABELLING),
        help="what to measure (default: all; of another machine parity and deadline)",
    )
    parser.add_argument("--written", action="store_true", help="measure nothing, use the figures of earlier runs")
    parser.add_argument("--machine", metavar="NAME", help="measure another machine, for the table of other machines")
    parser.add_argument("--folder", type=Path, default=DOCS, help="folder of results.md and figures/ (default: docs)")
    args = parser.parse_args()
    figures = args.folder / "figures"
    try:
        if not args.written:
            usual = ELSEWHERE if args.machine else (*COMMANDS, TIMELINE, LABELLING)
            measure(figures / (args.machine or ""), args.models, args.commands or usual)
        print(write_results(figures, args.folder / "results.md"))
    except PerchError as error:
        print(f"make results: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
