"""Made-up geomodels, with the inputs and outputs of BirdNET's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_geomodel(path: Path, labels: Sequence[str], at_start: Sequence[float], each_week: Sequence[float]) -> Path:
    """Species whose probability is one value plus another one for each week, times latitude / 10; labels beside it."""
    kind = TensorProto.FLOAT
    given = helper.make_tensor_value_info("input", kind, ["batch", 3])
    found = helper.make_tensor_value_info("probs", kind, ["batch", len(labels)])
    constants = {
        "start": np.float32(at_start),
        "weekly": np.float32([each_week]),
        "first": np.int64([0]),
        "last": np.int64([2]),
        "ten": np.float32(10),
        "zero": np.float32(0),
        "one": np.float32(1),
    }
    nodes = [
        helper.make_node("Gather", ["input", "first"], ["latitude"], axis=1),
        helper.make_node("Gather", ["input", "last"], ["week"], axis=1),
        helper.make_node("MatMul", ["week", "weekly"], ["seasonal"]),
        helper.make_node("Add", ["seasonal", "start"], ["raw"]),
        helper.make_node("Div", ["latitude", "ten"], ["north"]),
        helper.make_node("Mul", ["raw", "north"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "zero", "one"], ["probs"]),
    ]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "geomodel", [given], [found], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    stem = path.stem.removesuffix("_FP32")
    path.with_name(f"{stem}_Labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    return path
