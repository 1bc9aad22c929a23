"""Writes the pages that are made from code: `python docs/pages.py`, which `make docs` runs first.

With --check it writes nothing, and exits with 1 if a page is stale.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import cli as bench
from convert import cli as convert
from convert.untrained import __main__ as untrained
from runtime.explore import cli as explore
from runtime.request.archive import ArchiveOptions
from runtime.request.detections import Detections
from runtime.request.field import Option, options_of
from runtime.request.parser import command_options, make_parser, shown
from runtime.request.request import Request

OPTIONS = """\
# Options of a run

Each is an option of `perch-run` and an argument of `runtime.run_soundscapes`, or of the Python name given with it. The
texts name options as Python does.
`TIME` is a number of seconds, or has a unit: `300`, `300s`, `85m`, `1.5h`. In Python it is a number of seconds.
[Command line](command-line.md#perch-run) lists what else `perch-run` can do, such as `--doctor`.
"""
COMMANDS = """\
# Command line

Each command has `--help`. The four that are installed also have `--version`, and another way to start them:
`python -m runtime` is `perch-run`, `python -m convert` is `perch-convert`, `python -m benchmarks` is `perch-bench`, and
`python -m runtime.explore` is `perch-explore`.

Exit codes:

- `0`: done. Rows that are filled because a `--deadline` was near are no failure.
- `1`: `perch-run` is done, but could not read some recordings or folders. `perch-convert` found that outputs differ
  from TensorFlow's, and wrote no file. `perch-bench parity` found a tolerance broken. `perch-bench deadline` found a
  submission incomplete. `perch-bench cuda` found a wrong result, or a step failed.
- `2`: wrong use, or input, an output or a device that cannot be used.
- `130`: Ctrl-C. `perch-run` has written what was scored so far; `perch-convert` leaves no file.
- `143`: SIGTERM, or the terminal was closed, with the same left behind.
"""
RUN = """\
`perch-run SOUNDSCAPES ... --model FILE.onnx -o FILE [options]`

The [options of a run](options.md) have a page of their own. The others are:"""
SAID_ONCE = {"help", "version"}
MORE: Mapping[object, str] = {"+": " ...", "*": " ..."}


def options_page() -> str:
    """The options of a run, each under a heading of its own."""
    groups: dict[str, list[Option]] = {}
    for option in command_options().values():
        groups.setdefault(option.group, []).append(option)
    groups["in Python alone"] = [option for option in options_of(Request) if not option.group]
    anchors = {option.name: f"#{_name(option)}" for options in groups.values() for option in options}
    parts = [OPTIONS.strip()]
    for group, options in groups.items():
        parts.append(f"## {_sentence(group)[:-1]}")
        parts.extend(_option(option, anchors) for option in options)
    return "\n\n".join(parts) + "\n"


def _name(option: Option) -> str:
    return option.flags[-1] if option.group else option.name


def _option(option: Option, anchors: Mapping[str, str]) -> str:
    value = "" if option.kind is bool else f" {option.metavar or '|'.join(option.choices) or option.name.upper()}"
    flags = " or ".join(f"`{flag}{value}`" for flag in option.flags)
    argument = _argument(option)
    facts = f"{flags}, in Python {argument}." if option.group else f"{argument}."
    default = f"`{shown(option.default)}`" if option.default is not None else _values(option.unset)
    if default and not (option.group and option.kind is bool):
        facts += f" Default: {default}."
    text = re.sub(
        r"`(\w+)`", lambda name: f"[{name[0]}]({anchors[name[1]]})" if name[1] in anchors else name[0], option.help
    )
    return f"### `{_name(option)}`\n\n{facts}\n\n{_sentence(_values(text))}"


def _argument(option: Option) -> str:
    """How Python calls an option."""
    if option in options_of(ArchiveOptions):
        return "`run_archive`" if option.name == "dataset" else f"`run_archive({option.name}=)`"
    return f"`Detections({option.name}=)`" if option in options_of(Detections) else f"`{option.name}`"


def _values(text: str) -> str:
    """Values in quotes as code."""
    return re.sub(r'"([^"]+)"', r"`\1`", text)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def command_page() -> str:
    """The commands and their options, but for those of a run."""
    parts = [COMMANDS.strip(), *_command(make_parser(), but=command_options(), call=RUN)]
    for parser in (convert.make_parser(), bench.make_parser(), explore.make_parser(), untrained.make_parser()):
        parts.extend(_command(parser))
    return "\n\n".join(parts) + "\n"


def _command(
    parser: argparse.ArgumentParser, level: str = "##", but: Collection[str] = (), call: str | None = None
) -> Iterator[str]:
    """A command: its name, what it is for, its arguments except `but`; then its subcommands."""
    about = (parser.description or "").split("\n\n")[0]
    yield f"{level} {parser.prog}\n\n{_coded(' '.join(about.split()))}"
    actions = [action for action in parser._actions if action.dest not in {*but, *SAID_ONCE}]
    subcommands = [action for action in actions if isinstance(action, argparse._SubParsersAction)]
    if not subcommands:
        needed = [f"{_forms(action)[0]}{MORE.get(action.nargs, '')}" for action in actions if action.required]
        yield call or f"`{' '.join([parser.prog, *needed, '[options]'])}`"
        yield "\n".join(_item(action) for action in actions if action.help != argparse.SUPPRESS)
    for action in subcommands:
        for each in action.choices.values():
            yield from _command(each, f"{level}#")


def _forms(action: argparse.Action) -> list[str]:
    """An argument with its value, in each way to write it."""
    value = str(action.metavar or "|".join(action.choices or ()) or action.dest.upper())
    return [flag if action.nargs == 0 else f"{flag} {value}" for flag in action.option_strings] or [value]


def _item(action: argparse.Action) -> str:
    text, _, default = ((action.help or "") % vars(action)).partition(" (default: ")
    said = f"{_coded(text)}."
    if default:
        default = default.removesuffix(")")
        said += f" Default: {_coded(default) if action.default is None or ' ' in default else f'`{default}`'}."
    return f"- {' or '.join(f'`{form}`' for form in _forms(action))}: {said}"


def _coded(text: str) -> str:
    """Options and commands as code."""
    words = r"`[^`]*`|(?<![\w-])(?:--\w[\w-]*|-\w\b|perch-(?:run|convert|bench|explore)\b)"
    return re.sub(words, lambda found: found[0] if found[0].startswith("`") else f"`{found[0]}`", text)


PAGES: Mapping[str, Callable[[], str]] = {"options.md": options_page, "command-line.md": command_page}


def main(args: Sequence[str] | None = None) -> int:
    """Writes the pages, or checks them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python docs/pages.py", description=__doc__, allow_abbrev=False)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent, help="the folder of the pages")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is stale")
    parsed = parser.parse_args(args)
    stale = [name for name, make in PAGES.items() if _read(parsed.folder / name) != make()]
    if parsed.check and stale:
        print(f"stale: {', '.join(stale)}; run `python docs/pages.py`", file=sys.stderr)
        return 1
    for name in stale:
        (parsed.folder / name).write_text(PAGES[name](), encoding="utf-8")
    return 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
