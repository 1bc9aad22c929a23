"""The page of the documentation that lists all options: `python -m runtime.request.page > docs/options.md`."""

from __future__ import annotations

import re

from runtime.request.field import Option, options_of
from runtime.request.parser import command_options, shown
from runtime.request.request import Request

INTRODUCTION = """\
# Options of a run

Each is an option of `perch-run` and an argument of `run_soundscapes`. `TIME` may have a unit: `300`, `300s`, `85m` or
`1.5h`; in Python it is a number of seconds. `perch-run --help` also lists the options beside a run: `--doctor`,
`--map-report`, `--quiet`, `--version`.

This page is made from `runtime/request/request.py` by `python -m runtime.request.page > docs/options.md`.
"""
HEADER = "| `perch-run` | `run_soundscapes` | default | |\n| --- | --- | --- | --- |"


def options_page() -> str:
    """The page, as Markdown."""
    sections: dict[str, list[str]] = {}
    for option in command_options().values():
        sections.setdefault(option.group, []).append(_row(option))
    sections["in Python alone"] = [_row(option) for option in options_of(Request) if not option.group]
    tables = (f"## {group[0].upper()}{group[1:]}\n\n{HEADER}\n" + "\n".join(rows) for group, rows in sections.items())
    return "\n\n".join([INTRODUCTION.strip(), *tables]) + "\n"


def _row(option: Option) -> str:
    default = option.unset
    if option.default is not None:
        default = "" if option.kind is bool else f"`{shown(option.default)}`"
    return f"| {_flags(option)} | {_argument(option)} | {_coded(default)} | {_coded(option.help)} |"


def _flags(option: Option) -> str:
    if not option.group:
        return ""
    choices = "\\|".join(option.choices)  # `|` would end the cell
    value = "" if option.kind is bool else f" {option.metavar or choices or option.name.upper()}"
    return " or ".join(f"`{flag}{value}`" for flag in option.flags)


def _argument(option: Option) -> str:
    names = [each.name for each in options_of(Request)]
    return f"`{option.name}`" if option.name in names else f"`Detections({option.name})`"


def _coded(text: str) -> str:
    """Values in quotes as code."""
    return re.sub(r'"([^"]+)"', r"`\1`", text)


if __name__ == "__main__":
    print(options_page(), end="")
