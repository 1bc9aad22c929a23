"""An option of a run, declared once for the documentation, `--help` and the check of its value.

A help text is true for Python and the command line alike. In it `smooth` stands for the option of that name, which a
terminal shows as --smooth; values are in double quotes, which a terminal shows without them.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from runtime.request.values import one_of


@dataclass(frozen=True)
class Option:
    """What a field of a request says of itself, to users and to the run.

    Args:
        help: what the option does.
        group: the heading under which `--help` lists it; without one it is no option of the command line.
        unset: what None stands for, as a phrase.
        flags: how it is called on the command line, if not by its own name.
        metavar: what stands for its value there.
        bare: its value where its flag stands alone; without one it takes a value.
        parse: turns text into its value; by its type if None.
        check: given its name and its value, returns the value to keep, or raises InputError.
        journal: what an unfinished run records of it, so that it is resumed with the same value. True: the option,
            unless it is at its default; False: nothing, since rows do not depend on it; names: the keys under which it
            is always recorded.
        recording: whether it is an argument of `Recording`, by its own name.
        name, default, choices, kind: taken from the field (see `options_of`).
    """

    help: str
    group: str = ""
    unset: str = ""
    flags: Sequence[str] = ()
    metavar: str | None = None
    bare: str | None = None
    parse: Callable[[str], Any] | None = None
    check: Callable[[str, Any], Any] | None = None
    journal: bool | Sequence[str] = True
    recording: bool = False
    name: str = ""
    default: Any = None
    choices: tuple[str, ...] = ()
    kind: type = str


def option(default: Any, help: str, group: str = "", **more: Any) -> Any:
    """A field of a request; for the arguments see `Option`."""
    return field(default=default, metadata={"option": Option(help, group, **more)})


def options_of(request: type) -> tuple[Option, ...]:
    """The options of `Request` or `Detections`, in their order.

    `choices` are the values of a `Literal`, unless the option has a check of its own; `kind` is bool, int or float,
    and str for everything else.
    """
    return _options_of(request)


@functools.cache  # a run asks several times; apart, as mypy holds `type[Request]` not to be hashable
def _options_of(request: type) -> tuple[Option, ...]:
    hints = get_type_hints(request)
    options = []
    for each in fields(request):
        own: Option = each.metadata["option"]
        hint = hints[each.name]
        members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        closed = [get_args(member) for member in members if get_origin(member) is Literal and own.check is None]
        kind = next((member for member in members if member in (bool, int, float)), str)
        flags = own.flags or (f"--{each.name.replace('_', '-')}",)
        choices = closed[0] if closed else ()
        options.append(replace(own, name=each.name, default=each.default, flags=flags, choices=choices, kind=kind))
    return tuple(options)


def check_options(request: object) -> None:
    """Checks each option by itself, and keeps the value that its check returns.

    Raises:
        InputError: one cannot be used.
    """
    for each in options_of(type(request)):
        value = getattr(request, each.name)
        if value is None and each.default is None:
            continue
        if each.choices:
            one_of(each.name, value, each.choices if each.default is not None else (None, *each.choices))
        if each.check is not None:
            object.__setattr__(request, each.name, each.check(each.name, value))
