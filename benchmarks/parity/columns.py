"""Which columns of the SavedModel a file has, according to its class lists, and whether these are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.model.heads import ClassList, Head


@dataclass(frozen=True)
class ColumnMatch:
    """The columns of the SavedModel that an output has, `int64 [columns]`; None if its class lists do not tell.

    `findings` say what is wrong with its class lists.
    """

    index: NDArray[np.int64] | None
    findings: tuple[str, ...] = ()


def match_columns(head: Head, shape: tuple[int, ...], lists: Sequence[ClassList]) -> ColumnMatch:
    """Finds the columns of a file's output in that of the SavedModel, which has this shape and these class lists.

    A file with only some of the classes must name them in the order of the SavedModel's class list, in each namespace.
    """
    if head.shape == shape:
        index: NDArray[np.int64] | None = np.arange(shape[-1])
    elif head.shape[:-1] == shape[:-1] and lists:
        index = _kept(head, lists)
    else:
        index = None
    if index is None:
        here, there = ("x".join(map(str, each)) for each in (head.shape, shape))
        problem = f"it has {here} values a window, the SavedModel {there}, and its classes do not say which of these"
        return ColumnMatch(None, (problem,))
    findings = [
        f"it lacks the SavedModel's class list '{each.namespace}'"
        for each in lists
        if each.namespace not in head.class_lists
    ]
    names = {each.namespace: each.names for each in lists}
    for namespace, own in head.class_lists.items():
        if namespace not in names:
            findings.append(f"the SavedModel has no class list '{namespace}', it has")
        else:
            findings += _differences(namespace, own.names, [names[namespace][i] for i in index])
    return ColumnMatch(index, tuple(findings))


def _kept(head: Head, lists: Sequence[ClassList]) -> NDArray[np.int64] | None:
    """The columns of an output with fewer classes, by the first class list in which no name stands twice."""
    for each in lists:
        own = head.class_lists.get(each.namespace)
        places = {name: i for i, name in enumerate(each.names)}
        if own is None or len(places) < len(each.names):
            continue
        columns = sorted({places[name] for name in own.names if name in places})
        if len(columns) == len(own.names):
            return np.array(columns)
    return None


def _differences(namespace: str, names: Sequence[str], expected: Sequence[str]) -> list[str]:
    """The first class that differs, by its line in the file of a class list; line 1 is the header."""
    wrong = [i for i, pair in enumerate(zip(names, expected, strict=True)) if pair[0] != pair[1]]
    if not wrong:
        return []
    first, last = wrong[0], wrong[-1]
    more = f" ({len(wrong)} lines differ, up to line {last + 2})" if len(wrong) > 1 else ""
    return [
        f"line {first + 2} of its class list '{namespace}' is '{names[first]}', the SavedModel has '{expected[first]}'"
        f"{more}"
    ]
