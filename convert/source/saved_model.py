"""What a SavedModel is: its signature, outputs, batch, kind of graph, class lists."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorflow.core.protobuf import saved_model_pb2

from convert import WINDOW_SAMPLES
from convert.errors import ConversionError, first_line
from convert.source import versions as version
from convert.source.versions import StableHlo
from runtime.model.heads import ClassList

GET_IT = (
    "a Perch SavedModel folder holds saved_model.pb, variables/ and assets/; README.md says how to download one, "
    "and `python -m convert.untrained FOLDER` makes an untrained one"
)
# Attributes that keep TensorFlow from inlining (and so tf2onnx from seeing) the function that is the model.
MUST_COMPILE = "_XlaMustCompile"
XLA_ATTRIBUTES = (MUST_COMPILE, "_noinline")
LABEL_LISTS = ("label", "labels")
"""Stems of the files that name the classes of the output `label`; others as long name them otherwise."""


@dataclass(frozen=True)
class Output:
    """One output: the name it gets in ONNX, its key in the signature, its shape without the batch.

    `unfit` says why it can be no head of the file; it is empty where it can.
    """

    name: str
    key: str
    shape: tuple[int, ...]
    unfit: str = ""


@dataclass(frozen=True)
class SavedModel:
    """A Perch SavedModel, looked at but not yet converted.

    `class_lists` of an output name its columns, the first one as the model's makers do. `stablehlo` is None where the
    graph is of plain TensorFlow ops. `function` is the concrete function to convert, its XLA attributes taken off;
    `compiled` says whether it had such, so that XLA computes it.
    """

    path: Path
    fingerprint: str
    outputs: tuple[Output, ...]
    free_batch: bool
    class_lists: dict[str, tuple[ClassList, ...]]
    function: Any
    stablehlo: StableHlo | None
    compiled: bool = False

    @property
    def fit_outputs(self) -> list[Output]:
        """Those that can be heads of the file."""
        return [output for output in self.outputs if not output.unfit]

    @property
    def family(self) -> str:
        """`perch_v2` where prototypes look at each place of the spectrogram, else `perch_v1`."""
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
    """Looks at a SavedModel.

    Raises:
        ConversionError: the folder is not a SavedModel, or holds no model of 160,000 samples.
    """
    folder = Path(folder)
    proto = _read_proto(folder)
    stablehlo = version.found(proto)
    function = _function(folder, proto, stablehlo)
    spec = _window_input(folder, function)
    files = {path.stem: _read_class_list(path) for path in class_list_files(folder)}
    label = next((files.pop(stem) for stem in LABEL_LISTS if stem in files), None)
    class_lists = {**files, "label": label} if label is not None else files
    outputs = _named_outputs(folder, function, spec.shape[0], class_lists)
    names = {output.name for output in outputs}
    by_head: dict[str, tuple[ClassList, ...]] = {name: (known,) for name, known in class_lists.items() if name in names}
    by_head["label"] += _other_lists(by_head["label"][0], {k: v for k, v in files.items() if k not in names})
    return SavedModel(
        path=folder,
        fingerprint=fingerprint(folder),
        outputs=outputs,
        free_batch=spec.shape[0] is None,
        class_lists=by_head,
        function=function,
        stablehlo=stablehlo,
        compiled=any(holder.attr[MUST_COMPILE].b for holder in _holders(proto) if MUST_COMPILE in holder.attr),
    )


def _other_lists(first: ClassList, files: Mapping[str, ClassList]) -> tuple[ClassList, ...]:
    """Class lists that name the same columns in other namespaces: those of as many lines."""
    aligned = [known for known in files.values() if len(known.names) == len(first.names)]
    return tuple({known.namespace: known for known in aligned if known.namespace != first.namespace}.values())


@contextlib.contextmanager
def without_xla(folder: Path) -> Iterator[Path]:
    """A temporary copy of a SavedModel whose functions lost the attributes that force XLA; weights are linked."""
    proto = _read_proto(folder)
    for holder in _holders(proto):
        for attribute in XLA_ATTRIBUTES:
            holder.attr.pop(attribute, None)
    with tempfile.TemporaryDirectory(prefix="perch-") as made:
        copy = Path(made)
        (copy / "saved_model.pb").write_bytes(proto.SerializeToString())
        for part in ("variables", "assets"):
            if (folder / part).is_dir():
                try:
                    (copy / part).symlink_to((folder / part).resolve(), target_is_directory=True)
                except OSError:  # Windows without the right to make links
                    shutil.copytree(folder / part, copy / part)
        yield copy


def _holders(proto: saved_model_pb2.SavedModel) -> Iterator[Any]:
    """All functions and nodes, which have attributes."""
    for graph in proto.meta_graphs:
        yield from graph.graph_def.node
        for function in graph.graph_def.library.function:
            yield function
            yield from function.node_def


def fingerprint(folder: Path) -> str:
    """SHA-256 over the names and contents of the SavedModel's graph, weights and class lists."""
    digest = hashlib.sha256()
    files = [folder / "saved_model.pb", *sorted(folder.glob("variables/*")), *class_list_files(folder)]
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def class_list_files(folder: Path) -> list[Path]:
    """The CSV files of `assets/`, without the shadows that macOS and editors leave."""
    files = sorted((folder / "assets").glob("*.csv"))
    return [path for path in files if path.is_file() and not path.name.startswith(".")]


class Reference:
    """The SavedModel as published, called for its outputs: what a conversion is compared with.

    `heads` are the outputs that are wanted, all if None; `columns` are those that are wanted of some of them.
    """

    def __init__(
        self,
        model: SavedModel,
        heads: Sequence[str] | None = None,
        columns: Mapping[str, NDArray[np.int64]] = MappingProxyType({}),
    ) -> None:
        self._loaded = tf.saved_model.load(str(model.path))
        self._function = concrete_function(self._loaded)
        self._model = model
        outputs = {output.name: output for output in model.fit_outputs}
        self._outputs = [outputs[name] for name in heads or outputs]
        self._columns = columns

    def kept(self, head: str, values: NDArray[Any]) -> NDArray[Any]:
        """The columns of an output that are wanted."""
        return values[..., self._columns[head]] if head in self._columns else values

    def __call__(self, windows: NDArray[np.float32], batch_size: int = 4) -> dict[str, NDArray[np.float32]]:
        """Outputs by head for `float32 [n, samples]`; one by one where the batch is fixed.

        The last batch is filled up with its last window, since every new shape is compiled anew.
        """
        step = batch_size if self._model.free_batch else 1
        parts: list[dict[str, NDArray[np.float32]]] = []
        for start in range(0, len(windows), step):
            batch = windows[start : start + step]
            padded = np.pad(batch, ((0, step - len(batch)), (0, 0)), mode="edge")
            outputs = _outputs(self._function(tf.constant(padded)))
            parts.append({o.name: self._rows(o, outputs[o.key], step)[: len(batch)] for o in self._outputs})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _rows(self, output: Output, value: Any, windows: int) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = self.kept(output.name, value.numpy())
        if len(rows) != windows:
            raise ConversionError(
                f"{self._model.path}: its output '{output.name}' has {len(rows)} rows for {windows} windows; name the "
                f"others with --outputs"
            )
        return rows


def concrete_function(loaded: Any) -> Any:
    """`serving_default`, or `infer_tf` where a model has no signature."""
    if "serving_default" in loaded.signatures:
        return loaded.signatures["serving_default"]
    infer = getattr(loaded, "infer_tf", None)
    functions = getattr(infer, "concrete_functions", [])
    return functions[0] if functions else None


def _read_proto(folder: Path) -> saved_model_pb2.SavedModel:
    path = folder / "saved_model.pb"
    if folder.is_file():
        raise ConversionError(
            f"{folder} is a file, and no SavedModel's folder; a Keras model becomes one by `model.export(FOLDER)`; "
            f"{GET_IT}"
        )
    if not folder.is_dir():
        raise ConversionError(f"there is no folder {folder}; {GET_IT}")
    if not path.is_file():
        raise ConversionError(f"{folder} is not a SavedModel: it has no saved_model.pb; {GET_IT}")
    if not any(folder.glob("variables/variables.*")):
        raise ConversionError(f"{folder} has no weights: its folder variables/ is missing or empty; {GET_IT}")
    proto = saved_model_pb2.SavedModel()
    try:
        proto.ParseFromString(path.read_bytes())
        if not proto.meta_graphs:
            raise DecodeError("no graph")
    except DecodeError:
        raise ConversionError(f"{path} is damaged: it cannot be parsed; download the SavedModel again") from None
    return proto


def _function(folder: Path, proto: saved_model_pb2.SavedModel, stablehlo: StableHlo | None) -> Any:
    with without_xla(folder) as stripped:
        try:
            loaded = tf.saved_model.load(str(stripped))
        except Exception as error:  # of a damaged folder TensorFlow raises anything
            said = first_line(error).replace(str(stripped), str(folder))
            if stablehlo is not None and not version.reads(stablehlo):
                raise ConversionError(version.unreadable(folder, stablehlo, said)) from None
            raise ConversionError(f"TensorFlow cannot load {folder}: {said}; {GET_IT}") from None
    function = concrete_function(loaded)
    if function is None:
        raise ConversionError(f"{folder} has neither a serving_default signature nor an infer_tf; {GET_IT}")
    function.owner = loaded  # variables live as long as the loaded object does
    return function


def _window_input(folder: Path, function: Any) -> tf.TensorSpec:
    args, kwargs = function.structured_input_signature
    specs = [spec for spec in [*args, *kwargs.values()] if isinstance(spec, tf.TensorSpec)]
    if len(specs) == 1:
        (spec,) = specs
        if spec.dtype == tf.float32 and spec.shape.rank == 2 and spec.shape[1] == WINDOW_SAMPLES:
            return spec
    found = ", ".join(f"{spec.dtype.name} {spec.shape}" for spec in specs) or "nothing"
    raise ConversionError(
        f"{folder} is not a Perch model: its input is {found}, not float32 [batch, {WINDOW_SAMPLES}] (5 s at 32 kHz)"
    )


def _outputs(structured: Any) -> dict[str, Any]:
    """Outputs by key; those of a tuple get the keys that a signature would give them."""
    if isinstance(structured, dict):
        return dict(structured)
    values = structured if isinstance(structured, (tuple, list)) else [structured]
    return {f"output_{i}": value for i, value in enumerate(values)}


def _named_outputs(
    folder: Path, function: Any, batch: int | None, class_lists: Mapping[str, ClassList]
) -> tuple[Output, ...]:
    specs = _outputs(function.structured_outputs)
    shapes = {key: tuple(spec.shape[1:]) if spec.shape.rank else () for key, spec in specs.items()}
    outputs = tuple(
        Output(_head_name(key, shapes[key], class_lists), key, shapes[key], _unfit(key, specs[key], batch))
        for key in sorted(specs)
    )
    names = [output.name for output in outputs if not output.unfit]
    if "label" not in names or len(set(names)) < len(names):
        raise ConversionError(
            f"{folder} is not a Perch model: no single output can be told to be 'label' among {shapes}; "
            f"class lists in its assets/: {', '.join(class_lists) or 'none'}"
        )
    if "label" not in class_lists:
        raise ConversionError(
            f"{folder} has no assets/label.csv (or labels.csv), which names the classes of its output 'label'; {GET_IT}"
        )
    for output in outputs:
        known = class_lists.get(output.name)
        if known and len(known.names) != output.shape[-1]:
            raise ConversionError(
                f"{folder / 'assets' / output.name}.csv names {len(known.names)} classes "
                f"but the output '{output.name}' has {output.shape[-1]}"
            )
    return outputs


def _unfit(name: str, spec: tf.TensorSpec, batch: int | None) -> str:
    """Why an output has no row of floats for each window; empty if it has."""
    if not spec.dtype.is_floating:
        return f"holds {spec.dtype.name}, no floats"
    if not spec.shape.rank or spec.shape[0] not in (None, batch):
        return f"is of shape {spec.shape}, which has no row for each window"
    if not spec.shape[1:].num_elements():
        return f"is of shape {spec.shape}, whose sizes are 0 or not fixed"
    return "" if name.isprintable() else "has a name that cannot be printed"


def _head_name(key: str, shape: tuple[int, ...], class_lists: Mapping[str, ClassList]) -> str:
    """A signature's own name; an unnamed tuple's members are told apart by width, not by order."""
    if not key.startswith("output_"):
        return key
    if "label" in class_lists and len(class_lists["label"].names) == shape[-1]:
        return "label"
    widths = {len(known.names): name for name, known in class_lists.items()}
    return widths.get(shape[-1], "embedding")


def _read_class_list(path: Path) -> ClassList:
    """A class list: the header, then one name a line. Line ends and a byte order mark do not count."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ConversionError(f"{path} is no class list: it is not UTF-8 text") from None
    namespace, *names = lines or [""]
    return ClassList(namespace.strip(), tuple(name.strip() for name in names if name.strip()))
