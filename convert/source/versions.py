"""Versions of StableHLO: a model's, and what this TensorFlow reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

PRODUCER = re.compile(rb"StableHLO_v(\d+(?:\.\d+)+)")
HEADER_BYTES = 200
"""Of a module's bytecode, within which its producer stands."""


@dataclass(frozen=True)
class StableHlo:
    """What is known of the StableHLO in a graph: its version, and the platforms it was exported for (`CPU`, `CUDA`)."""

    version: str
    platforms: tuple[str, ...]


def found(proto: saved_model_pb2.SavedModel) -> StableHlo | None:
    """The StableHLO that a SavedModel's functions hold; None if they are of plain TensorFlow ops."""
    nodes = [node for graph in proto.meta_graphs for f in graph.graph_def.library.function for node in f.node_def]
    modules = [node.attr for node in nodes if node.op == "XlaCallModule"]
    if not modules:
        return None
    versions = [PRODUCER.search(module["module"].s[:HEADER_BYTES]) for module in modules]
    newest = max(
        (each[1].decode() for each in versions if each is not None), key=_numbers, default="of an unknown version"
    )
    platforms = [{name.decode() for name in module["platforms"].list.s} for module in modules]
    return StableHlo(newest, tuple(sorted(set.intersection(*platforms))))


def own() -> str:
    """The StableHLO version of this TensorFlow."""
    try:
        from tensorflow.compiler.mlir.stablehlo import stablehlo
    except ImportError:
        return "of an unknown version"
    return str(stablehlo.get_current_version())


def reads(model: StableHlo) -> bool:
    """Whether this TensorFlow's StableHLO is at least as new as the model's."""
    return _numbers(own()) >= _numbers(model.version)


def unreadable(folder: Path, model: StableHlo, said: str) -> str:
    """What to say of a module that TensorFlow stumbled over."""
    return (
        f"{folder} holds StableHLO {model.version}, which TensorFlow {tf.__version__} (StableHLO {own()}) cannot read: "
        f"{said}; install a newer tensorflow (2.21 reads 1.13), or export the model with an older JAX (0.6.2 does)"
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
