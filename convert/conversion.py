"""The whole way: look, translate, optimise, prove, write."""

from __future__ import annotations

import importlib.metadata
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnx_ir as ir
import tensorflow as tf
from numpy.typing import NDArray

from convert import SAMPLE_RATE, WINDOW_SAMPLES, write
from convert.errors import ConversionError, ParityError, first_line
from convert.passes import pipeline
from convert.passes.batch.free_batch import free_batch
from convert.passes.heads.deferral import gather_embeddings
from convert.passes.heads.int8 import quantise_prototypes
from convert.passes.heads.selection import keep_classes, keep_heads
from convert.passes.heads.tiling import bound_slab
from convert.proof import half, int8, parity, rounding, synthetic
from convert.source import saved_model
from convert.source.folder import model_files
from convert.source.saved_model import SavedModel
from convert.stablehlo import module as stablehlo
from convert.tf import ops as tf_ops
from runtime.audio.paths import find_recordings
from runtime.audio.recording import Recording
from runtime.classes.class_map import map_classes
from runtime.classes.wanted import WantedClasses, read_classes
from runtime.errors import InputError
from runtime.files import Files, check_outputs, replacing
from runtime.model.artifact import Artifact
from runtime.model.heads import ClassList, Head
from runtime.model.session import Session
from runtime.progress import progress_bar

BATCH_SIZES = (1, 2, 12)
WINDOWS = 12
"""How many windows are compared: as many as a soundscape of a minute has."""
SYNTHETIC = "synthetic soundscapes"
"""What a file calls the windows that it was compared on, where there were no recordings."""
Precision = Literal["fp32", "fp16"]
HeadPrecision = Literal["float32", "int8"]
HEADS = ("float32", "int8")
PRECISIONS: dict[str, str] = {"fp32": "float32", "fp16": "float16"}
STEPS = ("look", "translate", "optimise", "check", "run TensorFlow", "compare", "write")


def convert(
    model: str | Path,
    output: str | Path,
    *,
    outputs: Sequence[str] | None = None,
    classes: str | Path | Sequence[str] | None = None,
    taxonomy: str | Path | None = None,
    audio: str | Path | None = None,
    namespace: str | None = None,
    precision: Precision = "fp32",
    head: HeadPrecision = "float32",
    progress: bool = True,
) -> Artifact:
    """Converts a Perch SavedModel to `output` and proves it equal to TensorFlow.

    Args:
        model: the SavedModel's folder.
        output: the `.onnx` file to write; it appears only if the proof holds.
        outputs: heads to keep; all if None.
        classes: classes of the `label` head to keep (a sample submission, a taxonomy, a class list, or names); all if
            None. For those the model does not know all columns of their genus are kept, so that any choice of what
            stands for them gives what the whole model would.
        taxonomy: a CSV that says what `classes` stand for (see `run_soundscapes`).
        namespace: the class list of `label` in which `classes` are looked up, such as "ebird2021"; if None the one that
            knows most of them.
        audio: a folder (or file) of recordings to compare on; synthetic soundscapes if None.
        precision: "fp32", or "fp16" for CUDA: all but the spectrogram and the poolings in float16, proven on 400 more
            windows (or as many as `audio` holds) to give float32's top class in 99.5% of them.
        head: "float32", or "int8" for a CPU and a model with a head of prototypes (Perch v2): its products in int8,
            proven on 100 windows (or as many as `audio` holds) to correlate with float32's scores by 0.9995 and to give
            their top class in 99%, but where that leads the second by less than int8 differs.
        progress: whether to show a progress bar.

    Returns:
        What the file says of itself, the parity that was measured included.

    Raises:
        ConversionError: the folder is not a Perch SavedModel that this project converts.
        ParityError: the result differs from TensorFlow's; no file is left.
        InputError: an argument cannot be used.
    """
    tf.get_logger().setLevel("ERROR")
    output = Path(output)
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}, but must be one of {', '.join(PRECISIONS)}")
    if head not in HEADS or (head == "int8" and precision == "fp16"):
        raise InputError(f"head is {head!r} with precision {precision!r}, but must be float32, or int8 with fp32")
    if classes is None and taxonomy is not None:
        raise InputError("--taxonomy says what --classes stand for, and there are none")
    reads: dict[str, Files] = {
        "the SavedModel's": lambda: model_files(Path(model)),
        "--classes": classes if isinstance(classes, (str, Path)) else None,
        "--taxonomy": taxonomy,
        "--audio": lambda: find_recordings(audio).paths if audio is not None else (),
    }
    check_outputs({"-o": output}, reads)
    wanted = read_classes(classes, taxonomy) if classes is not None else None
    windows = _proof_windows(audio)
    with replacing(output) as temporary, progress_bar(len(STEPS), progress, unit="step") as bar:

        def done(step: str) -> None:
            bar.update()
            following = STEPS.index(step) + 1
            bar.set_description(STEPS[following] if following < len(STEPS) else "done")

        bar.set_description(STEPS[0])
        source = saved_model.inspect(model)
        if source.cannot_run and precision == "fp16":
            raise InputError(
                f"{model} cannot be proven in float16: {source.cannot_run}; convert it with --precision fp32"
            )
        kept = _kept_heads(source, outputs)
        heads, columns, unknown = _described_heads(source, kept, wanted, namespace)
        done("look")
        graph = stablehlo.to_onnx(source) if source.stablehlo else ir.from_proto(tf_ops.to_onnx(source))
        done("translate")
        graph, free = _optimised(graph, source, kept, columns)
        done("optimise")
        artifact = Artifact(
            family=source.family,
            sample_rate=SAMPLE_RATE,
            window_samples=WINDOW_SAMPLES,
            free_batch=free,
            heads=heads,
            saved_model_sha256=source.fingerprint,
            artifact_sha256="",
            tools=_tools(),
            options={
                "outputs": kept,
                "classes": Path(wanted.source).name if wanted else None,
                "unknown_classes": unknown,
                "precision": PRECISIONS[precision],
                "head": head,
            },
        )
        proto, artifact, session = _written(
            pipeline.rewritten(graph, bound_slab) if free else graph, artifact, temporary
        )
        judged = session
        if head == "int8":
            proto, artifact, judged = _written(pipeline.rewritten(graph, quantise_prototypes), artifact, temporary)
        done("check")
        expected: Mapping[str, NDArray[np.float32]] = {}
        if not source.cannot_run:
            tensorflow = saved_model.Reference(source, kept, columns)
            expected = tensorflow(windows)
        done("run TensorFlow")
        if source.cannot_run:
            _check_runs(judged, windows, kept)
        measured = _measured(session, windows, expected)
        agreement: dict[str, Any] = {}
        if not source.cannot_run:
            agreement = rounding.judge(source, measured, tensorflow, windows, expected, session).as_metadata()
        if head == "int8":
            measured = _measured(judged, windows, expected)
            agreed = int8.compare(session, judged, _windows(audio, int8.WINDOWS))
            int8.judge(measured, agreed, model)
            agreement |= {"float32_head": {name: asdict(found) for name, found in agreed.items()}}
        if precision == "fp16":
            halved, rounded = half.halved(graph)
            _, _, proof = _written(rounded, artifact, temporary)
            proto, artifact, judged = _written(
                pipeline.rewritten(halved, bound_slab) if free else halved, artifact, temporary
            )
            both = [_measured(each, windows, expected) for each in (judged, proof)]
            measured = {name: parity.worst([each[name] for each in both]) for name in measured}
            many = _windows(audio, half.WINDOWS)
            shares = half.top1_agreement(session, proof, many)
            half.judge(measured, shares, len(many), model)
            agreement |= {"float32": {"windows": len(many), "top1_agreement": shares}}
        done("compare")
        described = f"recordings of {Path(audio).name}" if audio is not None else SYNTHETIC
        found = parity.as_metadata(measured, described, BATCH_SIZES if free else (1,))
        if source.cannot_run:
            found = {"measured": False, "reason": source.cannot_run}
        artifact = replace(artifact, parity={**found, **agreement})
        temporary.write_bytes(write.serialize(proto, artifact))
        done("write")
    return artifact


def _proof_windows(audio: str | Path | None) -> NDArray[np.float32]:
    """Windows to compare on, `float32 [12, 160000]`, repeated where there are too few."""
    return np.resize(_windows(audio, WINDOWS), (WINDOWS, WINDOW_SAMPLES))


def _windows(audio: str | Path | None, count: int) -> NDArray[np.float32]:
    """At most so many windows: from the user's recordings in turn, or synthetic."""
    if audio is None:
        return synthetic.windows(1000, count, WINDOW_SAMPLES)
    recordings = find_recordings(audio)
    if not (found := recordings.paths):
        raise InputError(recordings.nothing(audio))
    taken: list[NDArray[np.float32]] = []
    failures: list[str] = []
    each = -(-count // len(found))
    for path in found:
        recording = Recording(path, SAMPLE_RATE, WINDOW_SAMPLES)
        readable = (window.samples for window in recording.windows() if window.samples is not None)
        taken += itertools.islice(readable, min(each, count - len(taken)))
        if recording.failure:
            failures.append(f"{path} {recording.failure}")
        if len(taken) >= count:
            break
    if not taken:
        why = failures[0] if failures else f"{found[0]} holds silent stretches alone, which were not recorded"
        raise InputError(f"no recording in {audio} could be read to compare on: {why}")
    return np.stack(taken)


def _kept_heads(source: SavedModel, outputs: Sequence[str] | None) -> list[str]:
    names = [output.name for output in source.fit_outputs]
    unfit = [o for o in source.outputs if o.unfit and (outputs is None or o.name in outputs)]
    if unfit:
        rest = ",".join(names)
        raise ConversionError(
            f"{source.path}: its output {unfit[0].name!r} {unfit[0].unfit}; leave it out with --outputs {rest}"
        )
    if outputs is None:
        return names
    unknown = [name for name in outputs if name not in names]
    if unknown or not outputs:
        raise InputError(
            f"{source.path} has no output {', '.join(unknown) or '(none was named)'}; it has {', '.join(names)}"
        )
    return list(dict.fromkeys(outputs))


def _described_heads(
    source: SavedModel, kept: Sequence[str], wanted: WantedClasses | None, namespace: str | None
) -> tuple[dict[str, Head], dict[str, NDArray[np.int64]], list[str]]:
    """The heads as the file will describe them, the columns kept of those that are sliced, and unknown classes."""
    heads: dict[str, Head] = {}
    for output in source.outputs:
        if output.name in kept:
            first, *others = source.class_lists.get(output.name, (ClassList("", ()),))
            heads[output.name] = Head(
                output.name, output.shape, first.names, first.namespace, other_lists=tuple(others)
            )
    if wanted is None and namespace is not None:
        raise InputError("--namespace says where --classes are looked up, and there are none")
    if wanted is None:
        return heads, {}, []
    if "label" not in heads:
        raise InputError("--classes keeps classes of the output 'label', which --outputs leaves out")
    class_map = map_classes(wanted, heads["label"], "genus-max", namespace)
    columns = heads["label"].with_namesakes(class_map.needed)
    heads["label"] = heads["label"].keeping(columns)
    unknown = [name for name, column in zip(class_map.names, class_map.positions, strict=True) if column < 0]
    return heads, {"label": np.array(columns)}, unknown


def _optimised(
    graph: ir.Model, source: SavedModel, kept: Sequence[str], columns: Mapping[str, NDArray[np.int64]]
) -> tuple[ir.Model, bool]:
    """The graph after all passes, and whether its batch is free."""
    keep_heads(graph.graph, kept)
    pipeline.clean(graph)
    graph = pipeline.optimize(graph)
    for name, index in columns.items():
        keep_classes(graph.graph, name, index.tolist())
        pipeline.clean(graph)
    free = source.free_batch or free_batch(graph.graph)
    for value in [*graph.graph.inputs, *graph.graph.outputs] if free else []:
        value.shape = ir.Shape(["batch", *list(value.shape or [])[1:]])
    pipeline.clean(graph)
    if free:
        gather_embeddings(pipeline.infer_shapes(graph).graph)
    return pipeline.infer_shapes(graph), free


def _written(graph: ir.Model, artifact: Artifact, path: Path) -> tuple[onnx.ModelProto, Artifact, Session]:
    """A graph in a file, described as far as is known, and loaded again."""
    pipeline.name_by_place(graph.graph)
    proto, artifact = write.finish(ir.to_proto(pipeline.infer_shapes(graph)), artifact)
    path.write_bytes(write.serialize(proto, artifact))
    return proto, artifact, Session(path)


def _measured(
    session: Session, windows: NDArray[np.float32], expected: Mapping[str, NDArray[np.float32]]
) -> dict[str, parity.HeadParity]:
    """What is expected compared with what each batch size gives; nothing, if nothing is expected."""
    results: dict[str, list[parity.HeadParity]] = {name: [] for name in expected}
    if not expected:
        return {}
    for size in BATCH_SIZES if session.artifact.free_batch else (1,):
        parts = [_run(session, windows[i : i + size], list(expected)) for i in range(0, len(windows), size)]
        for name, values in zip(expected, zip(*parts, strict=True), strict=True):
            results[name].append(parity.compare(expected[name], np.concatenate(values)))
    if session.deferrable_heads:
        (gathered,) = session(windows[:-1], [session.deferred_from])
        for name, rows in zip(
            session.deferrable_heads, session(windows[-1:], session.deferrable_heads, gathered), strict=True
        ):
            results[name].append(parity.compare(expected[name], rows))
    return {name: parity.worst(found) for name, found in results.items()}


def _check_runs(session: Session, windows: NDArray[np.float32], outputs: Sequence[str]) -> None:
    """What can be said without TensorFlow: that the graph runs, and gives numbers."""
    for size in BATCH_SIZES if session.artifact.free_batch else (1,):
        if not all(np.isfinite(values).all() for values in _run(session, windows[:size], outputs)):
            raise ParityError(f"the converted graph gives values that are not finite for {size} windows")


def _run(session: Session, windows: NDArray[np.float32], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
    try:
        return session(windows, outputs)
    except Exception as error:  # onnxruntime has a class for each status
        raise ParityError(f"the converted graph cannot be run on {len(windows)} windows: {first_line(error)}") from None


def _tools() -> dict[str, str]:
    names = ("perch-onnx", "tensorflow", "tf2onnx", "onnx", "onnx-ir")
    return {name: importlib.metadata.version(name) for name in names}
