"""A conversion from start to end: inspect, translate, optimise, prove, write."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

import onnx
import onnx_ir as ir
import tensorflow as tf
import tf2onnx

from convert import SAMPLE_RATE, WINDOW_SAMPLES, Device, HeadPrecision, Precision
from convert.passes import pipeline
from convert.passes.batch.free_batch import free_batch, name_batch
from convert.passes.heads.selection import keep_classes, keep_heads
from convert.passes.heads.sums import keep_summed_axes
from convert.proof.audio import ProofAudio
from convert.proof.expected import Expected
from convert.selection import Selection, select
from convert.source.folder import model_files
from convert.source.saved_model import SavedModel, inspect
from convert.stablehlo import module as stablehlo
from convert.tf import ops as tf_ops
from convert.variants.float16 import Float16
from convert.variants.float32 import Float32
from convert.variants.int8_head import Int8Head
from convert.variants.variant import Variant
from runtime.audio.paths import find_recordings
from runtime.classes.wanted import read_classes
from runtime.console.progress import progress_bar
from runtime.console.version import __version__
from runtime.errors import InputError, some
from runtime.files import Files, check_outputs, replacing
from runtime.model.artifact import Artifact, own_heads_in

WINDOWS = 12
"""How many windows are compared with TensorFlow: as many as a soundscape of one minute has."""
VARIANTS: dict[tuple[Precision, HeadPrecision], type[Variant]] = {
    ("fp32", "float32"): Float32,
    ("fp16", "float32"): Float16,
    ("fp32", "int8"): Int8Head,
}
STEPS = ("inspect", "translate", "optimise", "check", "run TensorFlow", "compare", "write", "done")


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
    device: Device = "cpu",
    progress: bool = True,
) -> Artifact:
    """Converts a Perch SavedModel to `output` and proves it equal to TensorFlow.

    Args:
        model: the SavedModel's folder.
        output: the `.onnx` file to write. It appears only if the proof succeeds.
        outputs: outputs to keep. None: all.
        classes: classes of the output `label` to keep: a sample submission, a taxonomy, a class list, or names. For a
            class that the model lacks, all classes of its genus are kept, so that runs can fill it as they would with
            the whole model. None: all.
        taxonomy: a CSV that says what the names in `classes` mean, as for `run_soundscapes`.
        audio: a folder (or file) of recordings to compare on. None: synthetic soundscapes.
        namespace: the class list of `label` in which `classes` are looked up, such as "ebird2021". None: the list that
            has most of them.
        precision: "fp32", or "fp16" for CUDA: the spectrogram stays in float32 (the poolings too, unless `device` is
            "cuda"), the rest is float16. Of 400 more windows (or as many as `audio` has), 99.5% must have the top class
            that float32 gives.
        head: "float32", or "int8" for CPUs and models with a head of prototypes (Perch v2), which then multiplies in
            int8. On 100 windows (or as many as `audio` has), scores must correlate with float32's by 0.9995, and 99%
            must have the same top class, or two best classes that are closer than twice int8's error.
        device: "cpu", or "cuda" for a graph of the form that suits GPUs: few large products. Both run on both devices
            and are proven alike. Not with `head="int8"`.
        progress: whether to show a progress bar.

    Returns:
        The file's description of itself, including the measured parity.

    Raises:
        ConversionError: the folder is not a Perch SavedModel that this project can convert.
        ParityError: the outputs differ from TensorFlow's; no file is left.
        InputError: an argument cannot be used.
        OutputError: `output` cannot be written.
    """
    tf.get_logger().setLevel("ERROR")
    output = Path(output)
    variant_class = _variant_class(precision, head, device)
    if classes is None and taxonomy is not None:
        raise InputError("--taxonomy says what --classes mean, but --classes is missing")
    _check_paths(Path(model), output, classes, taxonomy, audio)
    wanted = read_classes(classes, taxonomy) if classes is not None else None
    proof_audio = ProofAudio(audio)
    windows = proof_audio.exactly(WINDOWS)
    with replacing(output) as temporary, _steps(progress) as begin:
        begin("inspect")
        source = inspect(model)
        if source.cannot_run and precision == "fp16":
            raise InputError(
                f"{model} cannot be proven in float16: {source.cannot_run}; convert it with --precision fp32"
            )
        selection = select(source, outputs, wanted, namespace)
        begin("translate")
        graph = stablehlo.to_onnx(source) if source.stablehlo else ir.from_proto(tf_ops.to_onnx(source))
        begin("optimise")
        graph, free = _optimised(graph, source, selection, device)
        begin("check")
        class_file = Path(wanted.source).name if wanted else None
        variant = variant_class(graph, _description(source, selection, class_file, free, device), temporary)
        begin("run TensorFlow")
        expected = Expected.from_tensorflow(source, windows, selection.outputs, selection.columns)
        begin("compare")
        variant.prove(expected, proof_audio)
        begin("write")
        variant.write(temporary)
        begin("done")
    return variant.artifact


def _variant_class(precision: Precision, head: HeadPrecision, device: Device) -> type[Variant]:
    if precision not in get_args(Precision):
        raise InputError(f"precision is {precision!r}, but must be one of {', '.join(get_args(Precision))}")
    if (precision, head) not in VARIANTS:
        raise InputError(f"head is {head!r} with precision {precision!r}, but must be float32, or int8 with fp32")
    if device not in get_args(Device):
        raise InputError(f"device is {device!r}, but must be one of {', '.join(get_args(Device))}")
    if head == "int8" and device != "cpu":
        raise InputError("head 'int8' is for CPUs; convert for device 'cuda' without it, or for 'cpu'")
    return VARIANTS[precision, head]


def _check_paths(
    model: Path,
    output: Path,
    classes: str | Path | Sequence[str] | None,
    taxonomy: str | Path | None,
    audio: str | Path | None,
) -> None:
    """Refuses to write over a file that is read, or that users added heads to."""
    reads: dict[str, Files] = {
        "the SavedModel's": lambda: model_files(model),
        "--classes": classes if isinstance(classes, (str, Path)) else None,
        "--taxonomy": taxonomy,
        "--audio": lambda: find_recordings(audio).paths if audio is not None else (),
    }
    check_outputs({"-o": output}, reads)
    if taught := own_heads_in(output):
        raise InputError(
            f"{output} has the output {some(list(taught))}, which was taught and would be lost; name another"
        )


@contextlib.contextmanager
def _steps(shown: bool) -> Iterator[Callable[[str], None]]:
    """A progress bar over `STEPS`, and the function that begins one of them."""
    with progress_bar(len(STEPS) - 1, shown, unit="step") as bar:

        def begin(step: str) -> None:
            bar.update(STEPS.index(step) - bar.n)
            bar.set_description(step)

        yield begin


def _optimised(graph: ir.Model, source: SavedModel, selection: Selection, device: Device) -> tuple[ir.Model, bool]:
    """The graph after all passes, and whether its batch is free."""
    keep_heads(graph.graph, selection.outputs)
    pipeline.clean(graph)
    graph = pipeline.optimize(graph, device)
    for name, index in selection.columns.items():
        keep_classes(graph.graph, name, index.tolist())
        pipeline.clean(graph)
    keep_summed_axes(graph.graph)
    free = source.free_batch or free_batch(graph.graph)
    if source.free_batch:
        name_batch(graph.graph)
    pipeline.clean(graph)
    if free:
        pipeline.FORMS[device].defer_heads(pipeline.infer_shapes(graph).graph)
    return pipeline.infer_shapes(graph), free


def _description(
    source: SavedModel, selection: Selection, class_file: str | None, free: bool, device: Device
) -> Artifact:
    """What the file says of itself, as far as that is the same in each precision."""
    modules = {"tensorflow": tf, "tf2onnx": tf2onnx, "onnx": onnx, "onnx-ir": ir}  # packages may have other names
    return Artifact(
        family=source.family,
        sample_rate=SAMPLE_RATE,
        window_samples=WINDOW_SAMPLES,
        free_batch=free,
        heads=selection.heads,
        saved_model_sha256=source.fingerprint,
        artifact_sha256="",
        tools={"perch-onnx": __version__, **{name: module.__version__ for name, module in modules.items()}},
        options={
            "outputs": selection.outputs,
            "classes": class_file,
            "unknown_classes": selection.missing,
            "device": device,
        },
    )
