"""StableHLO versions: the one a SavedModel holds, and the newest that the installed TensorFlow reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

PRODUCER = re.compile(rb"StableHLO_v(\d+(?:\.\d+)+)")
HEADER_BYTES = 200
"""The producer stands within so many bytes of a module's start."""
UNKNOWN = "of an unknown version"


@dataclass(frozen=True)
class StableHlo:
    """The StableHLO in a graph: its version, and the platforms it was exported for (`CPU`, `CUDA`)."""

    version: str
    platforms: tuple[str, ...]


def stablehlo_in(proto: saved_model_pb2.SavedModel) -> StableHlo | None:
    """The StableHLO in a SavedModel's functions; None if they consist of plain TensorFlow ops."""
    nodes = [node for graph in proto.meta_graphs for f in graph.graph_def.library.function for node in f.node_def]
    modules = [node.attr for node in nodes if node.op == "XlaCallModule"]
    if not modules:
        return None
    versions = [PRODUCER.search(module["module"].s[:HEADER_BYTES]) for module in modules]
    newest = max((each[1].decode() for each in versions if each is not None), key=_numbers, default=UNKNOWN)
    platforms = [{name.decode() for name in module["platforms"].list.s} for module in modules]
    return StableHlo(newest, tuple(sorted(set.intersection(*platforms))))


def installed_version() -> str:
    """The StableHLO version of the installed TensorFlow."""
    try:
        from tensorflow.compiler.mlir.stablehlo import stablehlo
    except ImportError:
        return UNKNOWN
    return str(stablehlo.get_current_version())


def can_read(model: StableHlo) -> bool:
    """Whether the installed TensorFlow's StableHLO is at least as new as the model's."""
    return _numbers(installed_version()) >= _numbers(model.version)


def unreadable(folder: Path, model: StableHlo, error: str) -> str:
    """The message for a module that TensorFlow fails to read with this error."""
    return (
        f"{folder} holds StableHLO {model.version}, which TensorFlow {tf.__version__} (StableHLO "
        f"{installed_version()}) cannot read: {error}; install a newer tensorflow (2.21 reads 1.13), or export the "
        "model with an older JAX (0.6.2 works)"
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
