"""Converted files, broken on purpose."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from runtime.model.artifact import DESCRIPTION, description_sha256, read_artifact
from runtime.model.fingerprint import to_text


def edited(
    model: Path, target: Path, edit: Callable[[onnx.ModelProto], object], entries: Mapping[str, str] | None = None
) -> Path:
    """A copy of a file after `edit`. With `entries`, which go into its description, all fingerprints are renewed, as if
    `perch-convert` had written it; the fingerprints of the golden window are dropped.
    """
    proto = onnx.load(model)
    edit(proto)
    if entries is not None:
        description = {each.key: each.value for each in proto.metadata_props if each.key != "golden"} | entries
        del proto.metadata_props[:]
        description["artifact_sha256"] = hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
        description[DESCRIPTION] = description_sha256(description)
        onnx.helper.set_model_props(proto, description)
    onnx.save(proto, target)
    return target


def misjudged(model: Path, target: Path, head: str = "label") -> Path:
    """A copy of a file that says other values of a head for the golden window: every device computes it wrongly."""
    golden = dict(read_artifact(model).golden)
    golden[head] = replace(golden[head], values=golden[head].values[::-1])
    return edited(model, target, lambda proto: None, {"golden": to_text(golden)})


def tensor(proto: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(each for each in proto.graph.initializer if each.name == name)


def scale(proto: onnx.ModelProto, name: str) -> None:
    """Scales one weight tensor by 1.01."""
    weights = tensor(proto, name)
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1.01), name))


def swap_columns(proto: onnx.ModelProto, head: str, one: int, other: int) -> None:
    """Exchanges two columns of an output."""
    (node,) = (node for node in proto.graph.node if head in node.output)
    order = np.arange(dict(widths(proto))[head])
    order[[one, other]] = order[[other, one]]
    node.output[list(node.output).index(head)] = f"{head}_before"
    proto.graph.initializer.append(numpy_helper.from_array(order, f"{head}_order"))
    proto.graph.node.append(onnx.helper.make_node("Gather", [f"{head}_before", f"{head}_order"], [head], axis=1))


def widths(proto: onnx.ModelProto) -> list[tuple[str, int]]:
    return [(each.name, each.type.tensor_type.shape.dim[-1].dim_value) for each in proto.graph.output]


def edit_lines(proto: onnx.ModelProto, entry: str, edit: Callable[[list[str]], object]) -> None:
    """Edits the lines of a class list; the first is its header."""
    (metadata,) = (each for each in proto.metadata_props if each.key == entry)
    lines = metadata.value.split("\n")
    edit(lines)
    metadata.value = "\n".join(lines)


def move_line(proto: onnx.ModelProto, entry: str, source: int, target: int) -> None:
    edit_lines(proto, entry, lambda lines: lines.insert(target, lines.pop(source)))
