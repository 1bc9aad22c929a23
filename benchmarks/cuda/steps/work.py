"""What a graph has to compute and to move, counted from the shapes of its nodes, and how fast that can be at best.

The nodes are those of the file: no node is fused, and the body of a loop counts as often as it runs.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from runtime.model.artifact import read_artifact
from runtime.model.schema import INPUTS
from runtime.model.session import load

PRODUCTS = ("Conv", "FusedConv", "MatMul", "FusedMatMul", "Gemm")
REDUCING = ("GlobalAveragePool", "AveragePool", "MaxPool", "ReduceMean", "ReduceMax", "ReduceSum")
"""Besides products and convolutions, the nodes that have to read all their input before what follows can begin."""


@dataclass(frozen=True)
class NodeWork:
    """What one node needs for a window: operations, bytes of values read and written, bytes of weights."""

    name: str
    kind: str
    flop: float
    value_bytes: float
    weight_bytes: float

    def seconds(self, batch: int, flop_per_s: float, bytes_per_s: float, width: float = 1.0) -> float:
        """For a window of a batch at best; `width` is the size of a number, 1 for float32."""
        moved = (self.value_bytes + self.weight_bytes / batch) * width
        return max(self.flop / flop_per_s, moved / bytes_per_s)


def work_of(path: Path) -> list[NodeWork]:
    """The nodes that no other could be fused into: products, convolutions, poolings, reductions.

    All others are counted as if they cost nothing, so that no implementation that computes a graph layer by layer is
    faster than `seconds` says, as long as its values do not stay in a cache.
    """
    samples = read_artifact(path).window_samples
    window = np.random.default_rng(0).standard_normal((1, samples)).astype(np.float32)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")  # packed weights are missing in the profile
    options.enable_profiling = True
    with tempfile.TemporaryDirectory(prefix="perch-bench-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = load(path, options, "cpu")
        session.run(None, {INPUTS: 0.1 * window})
        return list(_nodes(node_events(session.end_profiling())))


def seconds(nodes: Sequence[NodeWork], batch: int, flop_per_s: float, bytes_per_s: float, width: float = 1.0) -> float:
    """For a window of a batch at best, if nodes are computed one after another."""
    return sum(node.seconds(batch, flop_per_s, bytes_per_s, width) for node in nodes)


def float16_nodes(path: Path, half: Path) -> set[str]:
    """The names of nodes in a file that its float16 file computes in float16; the spectrogram stays in float32.

    Raises:
        ValueError: the files do not have the same nodes.
    """
    import onnx_ir as ir  # it is needed for nothing else here

    counted = (*PRODUCTS, *REDUCING)
    own, halved = ([node for node in ir.load(each).graph if node.op_type in counted] for each in (path, half))
    if [node.op_type for node in own] != [node.op_type for node in halved]:
        raise ValueError(f"{half} has other nodes than {path}")
    pairs = zip(own, halved, strict=True)
    return {str(node.name) for node, other in pairs if other.outputs[0].dtype == ir.DataType.FLOAT16}


def node_events(profile: str | Path) -> list[dict[str, Any]]:
    """The nodes in a profile of ONNX Runtime: name, duration (`dur`, in microseconds) and `args`."""
    events = json.loads(Path(profile).read_text())
    return [event for event in events if event.get("cat") == "Node" and "op_name" in event.get("args", {})]


def _nodes(events: Sequence[Mapping[str, Any]]) -> Iterator[NodeWork]:
    for event in events:
        node = event["args"]
        flop = flop_of(node)
        if flop or node["op_name"] in REDUCING:
            moved = int(node["activation_size"]) + int(node["output_size"])
            name = event["name"].removesuffix("_kernel_time")
            yield NodeWork(name, node["op_name"], flop, moved, int(node["parameter_size"]))


def flop_of(node: Mapping[str, Any]) -> float:
    """The operations of a product or a convolution, two for each multiplication with its addition; 0 for others."""
    if node["op_name"] not in PRODUCTS:
        return 0.0
    inputs, outputs = shapes(node["input_type_shape"]), shapes(node["output_type_shape"])
    results = math.prod(outputs[0])
    if node["op_name"].endswith("Conv"):
        return 2.0 * results * math.prod(inputs[1][1:])
    terms = inputs[0][-1] if node["op_name"].endswith("MatMul") else math.prod(inputs[0]) / max(1, outputs[0][0])
    return 2.0 * results * terms


def shapes(described: Sequence[Mapping[str, Sequence[int]]]) -> list[list[int]]:
    """The shapes in a profile's `input_type_shape`, such as `[{"float": [1, 32]}]`."""
    return [list(shape) for each in described for shape in each.values()]
