"""Shows functions that take the options of a `Request` as they are at run time.

mkdocstrings reads source text, in which they have one parameter for all options, `request`.
"""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import griffe


class Options(griffe.Extension):
    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        if pkg.path == "runtime":
            _show_defaults(pkg["request.detections.Detections"])
            _show_defaults(pkg["request.request.Request"])
            _list_options(pkg["run.run_soundscapes"], pkg["request.request.Request"])
            _refer_to_options(pkg["loaded.Model.run"])
            _refer_to_options(pkg["archive.run.run_archive"])


def _show_defaults(request: griffe.Class) -> None:
    """Gives fields their defaults for a value, instead of the call of `option` that declares them."""
    for field in fields(griffe.dynamic_import(request.path)):
        request.attributes[field.name].value = repr(field.default)


def _list_options(function: griffe.Function, request: griffe.Class) -> None:
    """Gives a function the keywords and the docstring that it has once it is imported."""
    living = griffe.dynamic_import(function.path)
    parameters = [each for each in function.parameters if each.name != "request"]
    for name in inspect.signature(living).parameters:
        if name not in function.parameters:
            option, keyword = request.attributes[name], griffe.ParameterKind.keyword_only
            parameters.append(griffe.Parameter(name, annotation=option.annotation, kind=keyword, default=option.value))
    function.parameters = griffe.Parameters(*parameters)
    assert function.docstring is not None
    docstring = inspect.getdoc(living) or ""
    function.docstring.value = docstring.replace("*", r"\*").replace("}_{", r"}\_{")  # patterns, no emphasis


def _refer_to_options(function: griffe.Function) -> None:
    """The options are listed once, so here they are `**options`."""
    parameters = [each for each in function.parameters if each.name != "request"]
    options = griffe.Parameter("options", annotation="Any", kind=griffe.ParameterKind.var_keyword)
    function.parameters = griffe.Parameters(*parameters, options)
    assert function.docstring is not None
    function.docstring.value = function.docstring.value.replace(
        "request: the options of a run.", "**options: those of `run_soundscapes`."
    )
