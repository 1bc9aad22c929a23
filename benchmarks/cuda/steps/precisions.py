"""The precisions that a device computes a file in, and the files for them.

Strict float32 and float16 are measured in a process in which TF32 is forbidden, as in a run; TF32 in another. A float16
file is made here of the float32 file unless one of the same model is given: `perch-convert` refuses untrained models in
float16, and their speed is that of trained ones.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from benchmarks.cuda.step import Context
from runtime.errors import InputError
from runtime.model.artifact import Artifact, read_artifact
from runtime.model.cuda_options import CudaOptions

Precision = Literal["float32", "tf32", "float16"]
MADE = "made from the float32 file by perch-bench, to be timed"


def precisions(context: Context, model: str) -> tuple[Precision, ...]:
    """The precisions in which a file is computed on the device in this process; a CPU has no TF32."""
    artifact = read_artifact(context.models[model])
    if context.tf32:
        return () if _is_float16(artifact) else ("tf32",)
    if _is_float16(artifact):
        return ("float16",)
    given = any(_is_float16(other) and _same(artifact, other) for other in map(read_artifact, context.models.values()))
    return ("float32",) if given else ("float32", "float16")


def variants(context: Context) -> list[tuple[str, Precision]]:
    """The files and precisions that differ in memory and in what a run has to do: all but TF32, float32 first."""
    pairs = [(name, precision) for name in context.models for precision in precisions(context, name)]
    return sorted((pair for pair in pairs if pair[1] != "tf32"), key=lambda pair: pair[1] != "float32")


def options_for(precision: Precision, options: CudaOptions | None = None) -> CudaOptions:
    """How a GPU computes in a precision, otherwise with these options; of float16 see `docs/gpu.md`."""
    return replace(options or CudaOptions(), tf32=precision != "float32")


def file_for(context: Context, model: str, precision: Precision) -> Path:
    """The file to compute in this precision; one of float16 is made if need be, and serves later steps, too.

    Raises:
        InputError: it cannot be made.
    """
    path = context.models[model]
    artifact = read_artifact(path)
    if precision != "float16" or _is_float16(artifact):
        return path
    made = context.scratch / f"{model}.float16.onnx"
    if not made.exists():
        _make_float16(path, artifact, made)
    return made


def _is_float16(artifact: Artifact) -> bool:
    return artifact.options.get("precision") == "float16"


def _same(one: Artifact, other: Artifact) -> bool:
    shapes = [{name: head.shape for name, head in artifact.heads.items()} for artifact in (one, other)]
    return one.saved_model_sha256 == other.saved_model_sha256 and shapes[0] == shapes[1]


def _make_float16(path: Path, artifact: Artifact, target: Path) -> None:
    import onnx_ir as ir  # it is needed for nothing else here

    from convert.passes import pipeline
    from convert.passes.float16 import to_float16
    from convert.write import finish

    model = pipeline.infer_shapes(ir.load(path))
    if any(node.op_type == "Loop" for node in model.graph):
        raise InputError(f"{path} holds a loop, which cannot be turned to float16; convert it with --device cuda")
    half = pipeline.rewritten(model, to_float16)
    pipeline.name_by_place(half.graph)
    options = {**artifact.options, "precision": "float16"}
    described = replace(artifact, options=options, parity={"measured": False, "reason": MADE})
    partial = target.with_suffix(".partial")
    finish(pipeline.infer_shapes(half), described).write(partial)
    partial.rename(target)
