"""A head of one's own in a converted file: classifiers on embeddings, computed in the same pass as the model's outputs.

    probabilities = sigmoid(embedding · weights + bias)

The product is computed in float64: in float32, sums over a thousand numbers move a probability by more than 1e-6.

What the file held before stays: nodes and weights byte for byte, and so the outputs bit for bit. The parts of an own
head are named after it, so that taking all of them out gives the graph that `perch-convert` wrote, by its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from runtime.errors import ArtifactError, InputError, first_line, repeated, some
from runtime.files import check_outputs, remove_leftovers, replacing
from runtime.model.artifact import DESCRIPTION, Artifact, description_sha256, read_entries
from runtime.model.golden import classifiers_fingerprint, windows_to_store
from runtime.model.heads import NO_CLASS, Head
from runtime.model.identity import read_true_artifact
from runtime.model.messages import message_of
from runtime.model.own_heads import NAMESPACE, OwnHead
from runtime.model.session import Session

EMBEDDING = "embedding"
NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,63}")
OUTPUTS = ("label", "genus", "family", "order", "frontend", "spectrogram", "embedding", "spatial_embedding")
"""Outputs of Perch, which a run expects under these names even where a file was converted without them."""
COLUMNS = (
    "about",
    "channel",
    "classes",
    "end_s",
    "path",
    "recorded_at",
    "row_id",
    "row_ids",
    "site",
    "start_s",
    "status",
)
"""What files of rows call their other columns."""
MOST_CLASSES = 20_000
MOST_WEIGHT = 1e100
"""Larger weights could overflow."""
TOLERANCE = 1e-6
"""How far probabilities in the file may lie from a float64 reference; float32 rounds them by 3e-8."""


@dataclass(frozen=True)
class TrainedHead:
    """Classifiers of sounds, from embeddings.

    `names` are the classes, `weights` `[embedding, classes]` and `bias` `[classes]` are held in float64, and `own` is
    what the file's metadata will say.

    Raises:
        InputError: they do not go together.
    """

    names: tuple[str, ...]
    weights: NDArray[np.floating]
    bias: NDArray[np.floating]
    own: OwnHead

    def __post_init__(self) -> None:
        for name in ("weights", "bias"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        count = len(self.names)
        if not 0 < count <= MOST_CLASSES:
            raise InputError(f"a head has 1 to {MOST_CLASSES:,} classes, not {count:,}")
        if twice := repeated(self.names):
            raise InputError(f"a head has each class once, but has {some(twice)} twice")
        check_classes(self.names)
        if self.weights.ndim != 2 or self.weights.shape[1] != count or self.bias.shape != (count,):
            raise InputError(
                f"a head of {count} classes has weights [embedding, {count}] and bias [{count}], not "
                f"{list(self.weights.shape)} and {list(self.bias.shape)}"
            )
        if not all((np.abs(each) < MOST_WEIGHT).all() for each in (self.weights, self.bias)):
            raise InputError(f"weights and bias of a head must be finite numbers, below {MOST_WEIGHT:g} in size")
        if len(self.own.thresholds) != count:
            raise InputError(f"a head of {count} classes has as many thresholds, not {len(self.own.thresholds)}")

    def __call__(self, embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
        """Probabilities `[rows, classes]` of embeddings `[rows, embedding]`, in float64."""
        logits = np.asarray(embeddings, np.float64) @ self.weights + self.bias
        return np.exp(-np.logaddexp(0, -logits))


def check_classes(names: Iterable[str]) -> None:
    """Raises InputError if a class cannot be called so."""
    if wrong := [name for name in names if not name.isprintable() or not name.strip() or name == NO_CLASS]:
        raise InputError(f"a class cannot be called {wrong[0]!r}; names are printable, and not '{NO_CLASS}'")


def add_head(model: Path, target: Path, name: str, head: TrainedHead) -> Artifact:
    """Writes `model` with one more output, `name`, to `target`; one of that name that was added before is replaced.

    Returns:
        What the new file says of itself.

    Raises:
        InputError: the head does not fit the model, or it cannot be called so; or `target` is `model`.
        ArtifactError: the model is missing, damaged, or not made by this project.
        OutputError: `target` cannot be written.
    """
    check_outputs({"-o": target}, {"the model": model})
    before = read_true_artifact(model)
    check_place(model, before, name, len(head.weights))
    windows = windows_to_store(before.window_samples)
    others = [each for each in before.heads if each != name]
    expected = _outputs(model, windows, others)
    proto = _with_head(model, before, name, head)
    own = Head(name, (len(head.names),), head.names, NAMESPACE, own=head.own)
    embeddings = expected[EMBEDDING]
    golden = {**before.golden, name: classifiers_fingerprint(head(embeddings), embeddings, head.weights)}
    after = replace(
        before,
        heads={**{each: before.heads[each] for each in others}, name: own},
        golden=golden if before.golden else {},
        artifact_sha256=_sha256(proto),
        converted_sha256=before.base_sha256,
    )
    onnx.helper.set_model_props(proto, _entries(read_entries(model), after, name))
    remove_leftovers(target)
    with replacing(target) as temporary:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))
        read_true_artifact(temporary)
        found = _outputs(temporary, windows, [*others, name])
        if moved := [each for each in others if not np.array_equal(expected[each], found[each], equal_nan=True)]:
            raise ArtifactError(f"{model} would give another {moved[0]} with this head, so no file was written")
        apart = float(np.abs(found[name] - head(found[EMBEDDING])).max())
        if not apart <= TOLERANCE:
            raise ArtifactError(f"{name} would differ from its weights by {apart:.1e}, so no file was written")
    return after


def _outputs(path: Path, windows: NDArray[np.float32], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """What a file gives for windows. Raises ArtifactError if it cannot be run."""
    session = Session(path)
    try:
        return session.run(windows, names, len(windows))
    except Exception as error:  # onnxruntime raises a class of its own for each status
        raise ArtifactError(f"{path} cannot be run: {message_of(error)}; convert it again") from None


def _with_head(model: Path, before: Artifact, name: str, head: TrainedHead) -> onnx.ModelProto:
    """The file's graph with this head, and without metadata.

    Raises:
        ArtifactError, InputError: the file cannot have such a head.
    """
    proto = _loaded(model)
    del proto.metadata_props[:]
    there = {each: _taken_out(proto, each) for each in before.own_heads}
    if _sha256(proto) != before.base_sha256:
        raise ArtifactError(f"{model} without its own heads is not the file that was converted; convert it again")
    for parts in (*(each for other, each in there.items() if other != name), _parts(proto, name, head)):
        proto.graph.node.extend(parts.nodes)
        proto.graph.initializer.extend(parts.weights)
        proto.graph.output.extend(parts.outputs)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ArtifactError(f"onnx's checker refuses {model} with this head: {first_line(error)}") from None
    return proto


def _loaded(model: Path) -> onnx.ModelProto:
    try:
        return onnx.load_model_from_string(model.read_bytes())
    except Exception as error:  # protobuf raises classes of its own
        raise ArtifactError(f"{model} cannot be taken apart: {first_line(error)}; convert it again") from None


def check_place(model: Path, artifact: Artifact, name: str, width: int) -> None:
    """Refuses a head, learnt from embeddings of so many numbers, that does not fit the model or cannot be called so.

    Raises:
        InputError: it does not, or cannot.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"a head cannot be called {name!r}: a name has letters, digits and _, and begins with no digit"
        )
    if name in (*OUTPUTS, *COLUMNS):
        what = "outputs of Perch" if name in OUTPUTS else "columns of rows"
        raise InputError(f"a head cannot be called {name}: {what} are called so; name another")
    if name not in artifact.own_heads and name in _names(_loaded(model)):
        raise InputError(f"a head cannot be called {name}: something in {model} is called so; name another")
    embedding = artifact.heads.get(EMBEDDING)
    if embedding is None or len(embedding.shape) != 1:
        raise InputError(f"{model} has no output '{EMBEDDING}', from which a head is computed; convert it with it")
    if embedding.shape[0] != width:
        raise InputError(
            f"the head was taught on embeddings of {width:,} numbers, and those of {model} have {embedding.shape[0]:,}"
        )


@dataclass(frozen=True)
class Parts:
    """What a head adds to a graph."""

    nodes: Sequence[onnx.NodeProto]
    weights: Sequence[onnx.TensorProto]
    outputs: Sequence[onnx.ValueInfoProto]


def _prefix(name: str) -> str:
    return f"own_head/{name}/"


def _parts(proto: onnx.ModelProto, name: str, head: TrainedHead) -> Parts:
    """The nodes, weights and output of a head."""
    prefix = _prefix(name)
    steps: list[tuple[str, list[str], dict[str, int]]] = [
        ("Cast", [], {"to": onnx.TensorProto.DOUBLE}),
        ("MatMul", ["weights"], {}),
        ("Add", ["bias"], {}),
        ("Sigmoid", [], {}),
        ("Cast", [], {"to": onnx.TensorProto.FLOAT}),
    ]
    nodes, value = [], EMBEDDING
    for number, (op, weights, attributes) in enumerate(steps, 1):
        result = name if number == len(steps) else f"{prefix}{number}"
        inputs = [value, *(prefix + each for each in weights)]
        nodes.append(onnx.helper.make_node(op, inputs, [result], name=f"{prefix}{op}{number}", **attributes))
        value = result
    (embedding,) = (each for each in proto.graph.output if each.name == EMBEDDING)
    output = onnx.ValueInfoProto()
    output.CopyFrom(embedding)
    output.name = name
    said = {key: value for key, value in head.own.to_json().items() if key != "taught"}
    output.doc_string = json.dumps({"classes": head.names, **said})  # so that the graph's SHA-256 covers them
    output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    output.type.tensor_type.shape.dim[1].dim_value = len(head.names)
    arrays = {"weights": head.weights, "bias": head.bias}
    return Parts(nodes, [onnx.numpy_helper.from_array(each, prefix + key) for key, each in arrays.items()], [output])


def _taken_out(proto: onnx.ModelProto, name: str) -> Parts:
    """Takes the parts of an own head out of a graph."""
    graph, prefix = proto.graph, _prefix(name)
    return Parts(
        _popped(graph.node, lambda each: each.name.startswith(prefix)),
        _popped(graph.initializer, lambda each: each.name.startswith(prefix)),
        _popped(graph.output, lambda each: each.name == name),
    )


def _popped(held: Any, wanted: Callable[[Any], bool]) -> list[Any]:
    """Takes some of the messages out of a list of them."""
    return [held.pop(place) for place in reversed(range(len(held))) if wanted(held[place])][::-1]


def _names(proto: onnx.ModelProto) -> set[str]:
    """What a graph calls its values."""
    graph = proto.graph
    values = [each.name for each in (*graph.input, *graph.initializer)]
    return {*values, *(value for node in graph.node for value in node.output)}


def _sha256(proto: onnx.ModelProto) -> str:
    return hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()


def _entries(before: Mapping[str, str], after: Artifact, name: str) -> dict[str, str]:
    """The entries of the new file: those of the old one but for what the head changes."""
    new = after.to_metadata()
    changed = ("heads", "artifact_sha256", "own_heads", "base_sha256", "golden", f"classes.{name}")
    entries = {**before, **{key: new[key] for key in changed if key in new}}
    return {**entries, DESCRIPTION: description_sha256(entries)}
