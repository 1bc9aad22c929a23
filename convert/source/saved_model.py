"""A Perch SavedModel before conversion: its signature, outputs, batch, kind of graph, and class lists."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from convert import WINDOW_SAMPLES
from convert.errors import ConversionError
from convert.source import versions
from convert.source.class_lists import class_list_files, lists_by_output, read_class_lists
from convert.source.folder import GET_IT, GRAPH, check_folder
from convert.source.outputs import ModelOutput, named_outputs
from convert.source.versions import StableHlo
from runtime.errors import first_line, reason
from runtime.model.heads import ClassList

# These attributes keep TensorFlow from inlining the function that is the model, so that tf2onnx could not see into it.
MUST_COMPILE = "_XlaMustCompile"
XLA_ATTRIBUTES = (MUST_COMPILE, "_noinline")


@dataclass(frozen=True)
class SavedModel:
    """A Perch SavedModel, inspected but not yet converted.

    `class_lists` holds the class lists of each output, the one that the model's authors use first. `stablehlo` is None
    if the graph consists of plain TensorFlow ops. `function` is the concrete function to convert, without its XLA
    attributes; `compiled` says whether it had them, so that XLA computes the model.
    """

    path: Path
    fingerprint: str
    outputs: tuple[ModelOutput, ...]
    free_batch: bool
    class_lists: dict[str, tuple[ClassList, ...]]
    function: Any
    stablehlo: StableHlo | None
    compiled: bool = False

    @property
    def usable_outputs(self) -> list[ModelOutput]:
        """The outputs that can be heads of a converted file."""
        return [output for output in self.outputs if not output.problem]

    @property
    def family(self) -> str:
        """`perch_v2` if prototypes are compared with each position of the spectrogram, else `perch_v1`."""
        return "perch_v2" if "spatial_embedding" in [output.name for output in self.outputs] else "perch_v1"

    @property
    def cannot_run(self) -> str | None:
        """Why TensorFlow cannot run it on this machine; None if it can."""
        if self.stablehlo is None or "CPU" in self.stablehlo.platforms:
            return None
        if "CUDA" in self.stablehlo.platforms and tf.config.list_physical_devices("GPU"):
            return None
        platforms = " and ".join(self.stablehlo.platforms)
        return f"the SavedModel was exported for {platforms} alone, which TensorFlow does not find on this machine"


def inspect(folder: str | Path) -> SavedModel:
    """Inspects a SavedModel.

    Raises:
        ConversionError: the folder is not a SavedModel, or not one of a Perch that takes 160,000 samples.
    """
    folder = Path(folder)
    proto = _read_proto(folder)
    stablehlo = versions.stablehlo_in(proto)
    function = _load_function(folder, proto, stablehlo)
    batch = _window_input(folder, function).shape[0]
    lists = read_class_lists(folder)
    outputs = named_outputs(folder, function.structured_outputs, batch, lists)
    return SavedModel(
        path=folder,
        fingerprint=fingerprint(folder),
        outputs=outputs,
        free_batch=batch is None,
        class_lists=lists_by_output(lists, {output.name for output in outputs}),
        function=function,
        stablehlo=stablehlo,
        compiled=any(each.attr[MUST_COMPILE].b for each in _functions_and_nodes(proto) if MUST_COMPILE in each.attr),
    )


def fingerprint(folder: Path) -> str:
    """SHA-256 of the names and contents of the SavedModel's graph, weights and class lists."""
    digest = hashlib.sha256()
    files = [folder / GRAPH, *sorted(folder.glob("variables/*")), *class_list_files(folder)]
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


@contextlib.contextmanager
def without_xla(folder: Path) -> Iterator[Path]:
    """A temporary copy of a SavedModel without the attributes that force XLA; its weights are links."""
    proto = _read_proto(folder)
    for each in _functions_and_nodes(proto):
        for attribute in XLA_ATTRIBUTES:
            each.attr.pop(attribute, None)
    with tempfile.TemporaryDirectory(prefix="perch-") as temporary:
        copy = Path(temporary)
        (copy / GRAPH).write_bytes(proto.SerializeToString())
        for part in ("variables", "assets"):
            if (folder / part).is_dir():
                try:
                    (copy / part).symlink_to((folder / part).resolve(), target_is_directory=True)
                except OSError:  # Windows without the right to make links
                    shutil.copytree(folder / part, copy / part)
        yield copy


def concrete_function(loaded: Any) -> Any:
    """The function `serving_default` of a loaded SavedModel, or `infer_tf` if it has no signature, or None."""
    if "serving_default" in loaded.signatures:
        return loaded.signatures["serving_default"]
    infer = getattr(loaded, "infer_tf", None)
    functions = getattr(infer, "concrete_functions", [])
    return functions[0] if functions else None


def _functions_and_nodes(proto: saved_model_pb2.SavedModel) -> Iterator[Any]:
    """All functions and nodes: whatever has attributes."""
    for graph in proto.meta_graphs:
        yield from graph.graph_def.node
        for function in graph.graph_def.library.function:
            yield function
            yield from function.node_def


def _read_proto(folder: Path) -> saved_model_pb2.SavedModel:
    path = folder / GRAPH
    check_folder(folder)
    proto = saved_model_pb2.SavedModel()
    try:
        proto.ParseFromString(path.read_bytes())
        if not proto.meta_graphs:
            raise DecodeError("no graph")
    except OSError as error:
        raise ConversionError(f"{path} cannot be read ({reason(error)})") from None
    except DecodeError:
        raise ConversionError(f"{path} is damaged: it cannot be parsed; download the SavedModel again") from None
    return proto


def _load_function(folder: Path, proto: saved_model_pb2.SavedModel, stablehlo: StableHlo | None) -> Any:
    with without_xla(folder) as copy:
        try:
            loaded = tf.saved_model.load(str(copy))
        except Exception as error:  # for a damaged folder TensorFlow raises errors of any class
            message = first_line(error).replace(str(copy), str(folder))
            if stablehlo is not None and not versions.can_read(stablehlo):
                raise ConversionError(versions.unreadable(folder, stablehlo, message)) from None
            raise ConversionError(f"TensorFlow cannot load {folder}: {message}; {GET_IT}") from None
    function = concrete_function(loaded)
    if function is None:
        raise ConversionError(f"{folder} has neither a serving_default signature nor an infer_tf; {GET_IT}")
    function.owner = loaded  # its variables live only as long as the loaded object
    return function


def _window_input(folder: Path, function: Any) -> tf.TensorSpec:
    args, kwargs = function.structured_input_signature
    specs = [spec for spec in [*args, *kwargs.values()] if isinstance(spec, tf.TensorSpec)]
    if len(specs) == 1:
        (spec,) = specs
        if spec.dtype == tf.float32 and spec.shape.rank == 2 and spec.shape[1] == WINDOW_SAMPLES:
            return spec
    actual = ", ".join(f"{spec.dtype.name} {spec.shape}" for spec in specs) or "nothing"
    raise ConversionError(
        f"{folder} is not a Perch model: its input is {actual}, not float32 [batch, {WINDOW_SAMPLES}] (5 s at 32 kHz)"
    )
