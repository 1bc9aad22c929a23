"""Functions that take the options of a request as keywords, with a signature and a docstring made from its fields."""

from __future__ import annotations

import functools
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, get_type_hints

from runtime.request.field import Option, options_of
from runtime.request.request import Request

WIDTH = 120


def takes_request(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function whose last parameter is a `request` take the options of one as keywords instead.

    In its docstring their descriptions replace the line `request: …`. Type checkers see the keywords only if the result
    is annotated with the parameters of `Request` itself, as `run_soundscapes` is.
    """
    before = inspect.signature(function)
    options = inspect.signature(Request)
    leading = [each for each in before.parameters.values() if each.name != "request"]
    signature = before.replace(parameters=[*leading, *options.parameters.values()])

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            arguments = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{function.__name__}() {error}") from None
        request = Request(**{name: arguments.pop(name) for name in options.parameters if name in arguments})
        return function(**arguments, request=request)

    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__annotations__ = {**get_type_hints(Request), **function.__annotations__}
    del call.__annotations__["request"]
    call.__doc__ = documented(function.__doc__)
    return call


def documented(doc: str | None) -> str | None:
    """A docstring in which descriptions of all options replace the line `request: …`."""
    return re.sub(r"^( +)request: .*\n", _descriptions, doc, flags=re.M) if doc else doc


def _descriptions(line: re.Match[str]) -> str:
    indent = line[1]
    filled = textwrap.TextWrapper(
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "".join(f"{filled.fill(f'{each.name}: {python_help(each)}')}\n" for each in options_of(Request))


def python_help(option: Option) -> str:
    """What an option does, for Python."""
    return f"{option.help}.{f' None: {option.unset}.' if option.unset else ''}"
