"""The outputs of a SavedModel: their names, their shapes, and whether a converted file can hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from convert.errors import ConversionError
from convert.source.folder import GET_IT
from runtime.model.heads import ClassList


@dataclass(frozen=True)
class ModelOutput:
    """One output: its name in the converted file, its key in the signature, its shape without the batch.

    `problem` says why it cannot be a head of the file; it is empty if it can.
    """

    name: str
    key: str
    shape: tuple[int, ...]
    problem: str = ""


def named_outputs(
    folder: Path, structured: Any, batch: int | None, class_lists: Mapping[str, ClassList]
) -> tuple[ModelOutput, ...]:
    """The outputs in the order of their keys, given what a concrete function returns and the batch it takes.

    Raises:
        ConversionError: no single output is `label`, or a class list is missing or does not fit its output.
    """
    specs = by_key(structured)
    shapes = {key: tuple(spec.shape[1:]) if spec.shape.rank else () for key, spec in specs.items()}
    outputs = tuple(
        ModelOutput(_name(key, shapes[key], class_lists), key, shapes[key], _problem(key, specs[key], batch))
        for key in sorted(specs)
    )
    names = [output.name for output in outputs if not output.problem]
    if "label" not in names or len(set(names)) < len(names):
        raise ConversionError(
            f"{folder} is not a Perch model: no single one of its outputs {shapes} can be identified as 'label'; "
            f"class lists in its assets/: {', '.join(class_lists) or 'none'}"
        )
    if "label" not in class_lists:
        raise ConversionError(
            f"{folder} has no assets/label.csv (or labels.csv), which names the classes of its output 'label'; {GET_IT}"
        )
    for output in outputs:
        classes = class_lists.get(output.name)
        if classes and len(classes.names) != output.shape[-1]:
            raise ConversionError(
                f"{folder / 'assets' / output.name}.csv names {len(classes.names)} classes "
                f"but the output '{output.name}' has {output.shape[-1]}"
            )
    return outputs


def by_key(structured: Any) -> dict[str, Any]:
    """Outputs by key; those of a tuple get the keys that a signature would give them."""
    if isinstance(structured, dict):
        return dict(structured)
    values = structured if isinstance(structured, (tuple, list)) else [structured]
    return {f"output_{i}": value for i, value in enumerate(values)}


def _problem(name: str, spec: tf.TensorSpec, batch: int | None) -> str:
    """Why an output does not give a row of floats for each window; empty if it does."""
    if not spec.dtype.is_floating:
        return f"holds {spec.dtype.name}, not floats"
    if not spec.shape.rank or spec.shape[0] not in (None, batch):
        return f"has shape {spec.shape}, which has no row for each window"
    if not spec.shape[1:].num_elements():
        return f"has shape {spec.shape}, whose sizes are 0 or not fixed"
    return "" if name.isprintable() else "has a name that cannot be printed"


def _name(key: str, shape: tuple[int, ...], class_lists: Mapping[str, ClassList]) -> str:
    """The key itself; members of an unnamed tuple are identified by width, not by order."""
    if not key.startswith("output_"):
        return key
    if "label" in class_lists and len(class_lists["label"].names) == shape[-1]:
        return "label"
    widths = {len(classes.names): name for name, classes in class_lists.items()}
    return widths.get(shape[-1], "embedding")
