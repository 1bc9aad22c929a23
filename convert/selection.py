"""The part of a SavedModel that a converted file keeps: outputs, and columns of the class head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.errors import ConversionError
from convert.source.saved_model import SavedModel
from runtime.classes.class_map import map_classes
from runtime.classes.wanted import WantedClasses
from runtime.errors import InputError
from runtime.model.heads import ClassList, Head


@dataclass(frozen=True)
class Selection:
    """What is kept: `outputs` in the order asked for, and each as a head of the file.

    `columns` holds the columns to keep of a head, in their order, if not all; `missing` the classes asked for that the
    model does not have.
    """

    outputs: list[str]
    heads: dict[str, Head]
    columns: dict[str, NDArray[np.int64]]
    missing: list[str]


def select(
    source: SavedModel, outputs: Sequence[str] | None, wanted: WantedClasses | None, namespace: str | None
) -> Selection:
    """Looks up outputs by name (all if None) and classes in the output `label` (all if None).

    Raises:
        ConversionError: an output cannot be a head of a file.
        InputError: the model has no such output, or classes are to be kept of an output that is not.
    """
    kept = _outputs(source, outputs)
    heads: dict[str, Head] = {}
    for output in source.outputs:
        if output.name in kept:
            first, *others = source.class_lists.get(output.name, (ClassList("", ()),))
            heads[output.name] = Head(
                output.name, output.shape, first.names, first.namespace, other_lists=tuple(others)
            )
    if wanted is None:
        if namespace is not None:
            raise InputError("--namespace says in which list --classes are looked up, but --classes is missing")
        return Selection(kept, heads, {}, [])
    if "label" not in heads:
        raise InputError("--classes selects classes of the output 'label', which --outputs leaves out")
    class_map = map_classes(wanted, heads["label"], "genus-max", namespace)
    columns = heads["label"].with_namesakes(class_map.needed)
    heads["label"] = heads["label"].keeping(columns)
    missing = [name for name, column in zip(class_map.names, class_map.positions, strict=True) if column < 0]
    return Selection(kept, heads, {"label": np.array(columns)}, missing)


def _outputs(source: SavedModel, names: Sequence[str] | None) -> list[str]:
    usable = [output.name for output in source.usable_outputs]
    unusable = [each for each in source.outputs if each.problem and (names is None or each.name in names)]
    if unusable:
        raise ConversionError(
            f"{source.path}: its output {unusable[0].name!r} {unusable[0].problem}; leave it out with --outputs "
            f"{','.join(usable)}"
        )
    if names is None:
        return usable
    missing = [name for name in names if name not in usable]
    if missing or not names:
        raise InputError(
            f"{source.path} has no output {', '.join(missing) or '(none was named)'}; it has {', '.join(usable)}"
        )
    return list(dict.fromkeys(names))
