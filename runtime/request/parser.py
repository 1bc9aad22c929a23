"""The command line of `perch-run`, made from the options of a request."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.console.terminal import Parser, add_version
from runtime.request.archive import ArchiveOptions
from runtime.request.detections import Detections
from runtime.request.field import Option, options_of
from runtime.request.request import Request
from runtime.request.values import parse_model

DESCRIPTION = """\
Scores every 5-second window of recordings with a converted Perch model, and writes a row for each: row_id (file name
and end second) and one column a class. Reads WAV, FLAC, OGG, MP3, Opus, AIFF, CAF and AU at any rate;
with the extra `formats` also M4A, WMA, AMR, WavPack and videos.
"""
EXAMPLES = """\
examples:
  perch-run test_soundscapes --model perch.onnx --classes sample_submission.csv -o submission.csv --deadline 85m
      a BirdCLEF submission: its columns in its order, complete within 85 minutes whatever happens
  perch-run test_soundscapes --model v1.onnx --model v2.onnx --blend 0.6,0.4 --classes sample_submission.csv -o out.csv
      two models score the same windows; the submission has the weighted mean of their scores
  perch-run --map-report map.csv --model perch.onnx --classes taxonomy.csv --unmapped genus-max
      which of these classes the model has, and what stands for the others; nothing is scored
  perch-run archive --model perch.onnx --outputs embedding,label -o out/
      embeddings and scores of any amount of audio, on any number of machines; the same command goes on
  perch-run --merge out/ -o out.parquet
      one file of them
  perch-run recordings --model perch.onnx --outputs embedding,label -o out.npz
      the same as arrays, for numpy
  perch-run archive --model perch.onnx --top 3 --min-score 5 -o detections.csv
      the species in each window: at most 3, each scoring 5 or more
  perch-run archive --model perch.onnx --top 1 --min-score 5 -o labels --format audacity
      the best species in each window as labels, a file for each recording
  perch-run xeno_canto --model perch.onnx --segments peaks --normalize peak -o focal.csv
      windows around the five loudest events of each recording
  perch-run 'site_*/2024*.WAV' --model perch.onnx --hop 2.5 -o scores.csv
      a glob, with windows that overlap by half

scores are the model's logits: not probabilities, and not comparable between classes. So find a --min-score for each
class by listening to some detections.

TIME is a number of seconds, or has a unit: 300, 300s, 85m, 1.5h.

exit codes: 0 done (rows filled because a deadline was asked for included); 1 done, but some recordings or folders could
not be read; 2 wrong use or unusable input; 130 and 143 after Ctrl-C and SIGTERM; what was scored so far is written
"""

MODEL = """\
the model, made by perch-convert. Given more than once, several models score the same windows, and their outputs are
called NAME.label, NAME.embedding. NAME is the file's name without the ending, unless you give one
"""
DOCTOR = """\
instead of a run, show what is installed and which devices can be used. With --model, also show what the file holds,
whether it is unchanged, how far each device here is off for one made-up window that the file has outputs of, how a run
would be set up, and which nodes of the graph a GPU leaves to the CPU. Exit codes: 0 the device that runs take (or
--device) works; 1 it does not, the installation is broken, the model cannot be run, or a device computes it wrongly; 2
wrong use, or no model
"""
MAP_REPORT = """\
write for each of --classes whether the model has it, has only its genus, or lacks both, and print a summary. Without
SOUNDSCAPES and --output nothing else is done
"""
STATUS = """\
instead of a run, show the progress of the archive whose rows go to this folder: units done, failed by reason and left,
rows, windows a second by machine, and the time to the end. Exit codes: 0 all is done; 1 something is left, or failed
"""
MERGE = """\
instead of a run, write a finished archive's folder as one file: the one that a run over all recordings would have
written to --output. It goes with --fill, --file-scale, --smooth, --blend, --blend-of, --taxonomy and the options
of detections
"""
MODES: Mapping[str, Sequence[str]] = {
    "doctor": ("doctor", "model", "device"),
    "status": ("status",),
    "merge": (
        *("merge", "sink", "fill", "file_scale", "smooth", "blend", "blend_of", "taxonomy", "quiet"),
        *(each.name for each in options_of(Detections)),
    ),
}
"""What goes with each option that replaces a run, itself included."""


def make_parser(defaults: bool = True) -> argparse.ArgumentParser:
    """The parser; its attributes are named like the fields of `Request` and `Detections`.

    Without `defaults` what is parsed has only what was given.
    """
    parser = Parser(prog="perch-run", description=DESCRIPTION, epilog=EXAMPLES)
    parser._negative_number_matcher = re.compile(r"-\.?\d")  # also `-0.5,0` and `-03:30` are values, as in Python 3.14
    parser.add_argument(
        "soundscapes", nargs="*", metavar="SOUNDSCAPES", help="a folder (read recursively), a glob or files"
    )
    parser.add_argument(
        "--model", type=parse_model, action="append", metavar="[NAME=]FILE.onnx", help=" ".join(MODEL.split())
    )
    groups: dict[str, Any] = {}
    for option in command_options().values():
        group = groups.get(option.group) or groups.setdefault(option.group, parser.add_argument_group(option.group))
        group.add_argument(*option.flags, dest=option.name, **_settings(option))
    parser.add_argument("--sink", dest="sink", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    others = parser.add_argument_group("other")
    others.add_argument("--map-report", type=Path, metavar="FILE.csv", help=" ".join(MAP_REPORT.split()))
    others.add_argument("--doctor", action="store_true", help=" ".join(DOCTOR.split()))
    others.add_argument("--status", metavar="DATASET", help=" ".join(STATUS.split()))
    others.add_argument("--merge", metavar="DATASET", help=" ".join(MERGE.split()))
    others.add_argument("--quiet", action="store_true", help="no progress bar and no summary; errors still show")
    add_version(others)
    for action in parser._actions if not defaults else ():
        action.default = argparse.SUPPRESS
    return parser


def command_options() -> Mapping[str, Option]:
    """The options that the command line has, by name and grouped as `--help` shows them."""
    options = [*options_of(Request), *options_of(Detections), *options_of(ArchiveOptions)]
    groups = list(dict.fromkeys(option.group for option in options if option.group))
    return {option.name: option for group in groups for option in options if option.group == group}


def _settings(option: Option) -> dict[str, Any]:
    """How argparse reads an option."""
    text = terminal_help(option).replace("%", "%%")
    if option.kind is bool:
        return {"action": "store_true", "help": text}
    kind = option.parse or option.kind
    optional = {} if option.bare is None else {"nargs": "?", "const": option.bare}
    return {
        **optional,
        "type": kind,
        "default": option.default,
        "choices": option.choices or None,
        "metavar": option.metavar,
        "help": text,
    }


def terminal_help(option: Option) -> str:
    """What an option does, for a terminal: other options by their flags, and the default."""
    default = option.unset
    if option.default is not None and option.kind is not bool:
        default = shown(option.default)
    text = f"{option.help}{f' (default: {default})' if default else ''}"
    return re.sub(r"`([^`]+)`", lambda name: _flag(name[1]), text)


def shown(default: Any) -> str:
    """A default as it is written on the command line."""
    if isinstance(default, tuple):
        return ",".join(default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def _shown_name(name: str) -> str:
    """What a user calls an attribute of what was parsed."""
    if name == "soundscapes":
        return name.upper()
    return _flag(name) if name in command_options() else f"--{name.replace('_', '-')}"


def _flag(name: str) -> str:
    option = command_options().get(name)
    return name if option is None else option.flags[-1]


def in_flags(message: object) -> str:
    """A message that calls options by their names in Python, as its first word or elsewhere, with their flags."""
    text = str(message)
    for name, option in command_options().items():
        apart = rf"(?<![\w./\\-]){name}(?![\w./\\-])"  # not as a part of a path
        flag = option.flags[-1]
        text = re.sub(rf"{apart}='([^']*)'", rf"{flag} \1", text)
        text = re.sub(apart if "_" in name else rf"^{name}(?= )|{apart}(?= was )", flag, text)
    return text


def parse_args(args: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the arguments, and exits with a message if required ones are missing."""
    parser = make_parser()
    parsed = parser.parse_args(args)
    for mode, allowed in MODES.items():
        if getattr(parsed, mode):
            given = vars(make_parser(defaults=False).parse_args(args))
            if others := [_shown_name(name) for name in given if name not in allowed]:
                goes_with = ", ".join(_shown_name(name) for name in allowed[1:]) or "nothing"
                parser.error(f"--{mode} goes with {goes_with}, not with {', '.join(others)}")
            if "sink" in allowed and parsed.sink is None:
                parser.error(f"--{mode} also needs -o/--output")
            return parsed
    needed = {"SOUNDSCAPES": parsed.soundscapes, "-o/--output": parsed.sink}
    missing = [name for name, value in needed.items() if not value]
    if parsed.map_report is not None and len(missing) == len(needed):
        missing = []
    if not parsed.model:
        missing.append("--model")
    if missing:
        parser.error(f"the following arguments are required: {', '.join(missing)}")
    return parsed


def request_of(parsed: argparse.Namespace) -> Request:
    """The request that the command line makes.

    Raises:
        InputError: an option cannot be used.
    """
    given = {option.name: getattr(parsed, option.name) for option in options_of(Request) if option.group}
    wanted = {option.name: getattr(parsed, option.name) for option in options_of(Detections)}
    detections = None if all(value is None for value in wanted.values()) else Detections(**wanted)
    return Request(**given, detections=detections, progress=not parsed.quiet)


def archive_options_of(parsed: argparse.Namespace) -> ArchiveOptions:
    """What the command line says of an archive.

    Raises:
        InputError: an option cannot be used.
    """
    return ArchiveOptions(**{option.name: getattr(parsed, option.name) for option in options_of(ArchiveOptions)})
