"""What `perch-convert` prints about the file it wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from runtime.classes.suggestions import did_you_mean, suggestions
from runtime.classes.taxonomy import Taxonomy
from runtime.errors import some
from runtime.model.artifact import Artifact


def summary(artifact: Artifact, path: Path) -> Iterator[str]:
    """The lines: what the file is, what was not as asked for, and how near its outputs are to TensorFlow's."""
    precision, head = artifact.options["precision"], artifact.options["head"]
    variant = f"{precision}, head in int8" if head == "int8" else precision
    if artifact.options["device"] == "cuda":
        variant += " for CUDA"
    megabytes = path.stat().st_size / 1e6
    yield f"{path}: {artifact.family}, {variant}, {megabytes:.0f} MB, id {artifact.artifact_sha256[:12]}"
    if not artifact.free_batch:
        yield "The graph takes one window at a time, since its batch size is fixed; perch-run feeds it accordingly."
    if missing := artifact.options["unknown_classes"]:
        meant = did_you_mean(suggestions(missing, artifact.head("label"), Taxonomy()))
        yield (
            f"{len(missing)} of --classes not in the model (others of their genera are kept, where it has some): "
            f"{some(missing, 20)}{f'; {meant}' if meant else ''}"
        )
    yield from _int8_lines(artifact)
    if artifact.parity_warning:
        yield f"Note: {artifact.parity_warning}. It was checked only that ONNX Runtime runs the file."
        return
    less_precise = "float16" if precision != "float32" else head
    verdict = "Equal to TensorFlow" if less_precise == "float32" else f"As near to TensorFlow as {less_precise} gets"
    sizes = " and ".join(", ".join(map(str, artifact.parity["batch_sizes"])).rsplit(", ", 1))
    yield f"{verdict} on {artifact.parity['audio']}, in batches of {sizes}:"
    yield from _table(artifact)
    yield from _rounding_lines(artifact)
    if float32 := artifact.parity.get("float32"):
        shares = ", ".join(f"{name} {share:.2%}" for name, share in float32["top1_agreement"].items())
        yield f"Top class as in float32 on {float32['windows']} windows: {shares or 'no output has classes'}"


def _int8_lines(artifact: Artifact) -> Iterator[str]:
    for name, agreement in artifact.parity.get("float32_head", {}).items():
        yield (
            f"{name} in int8 on {agreement['windows']} windows: correlation {agreement['correlation']:.5f} with "
            f"float32; the same top class in {agreement['top1_equal']}, in {agreement['top1_agrees']} counting windows "
            "whose two best classes are closer than twice int8's error"
        )


def _table(artifact: Artifact) -> Iterator[str]:
    yield f"  {'output':<20}{'shape':<14}{'classes':<24}{'error/range':<13}{'1 - cosine':<12}top-1"
    for name, result in artifact.parity["heads"].items():
        head = artifact.heads[name]
        classes = f"{len(head.classes)} {head.namespace}" if head.classes else "-"
        shape = "x".join(map(str, head.shape))
        top1 = f"{result['top1_equal']} of {result['windows']} equal" if head.classes else "-"
        yield f"  {name:<20}{shape:<14}{classes:<24}{result['error']:<13.1e}{result['cosine_distance']:<12.1e}{top1}"


def _rounding_lines(artifact: Artifact) -> Iterator[str]:
    """How much rounding moves the outputs of an ill-conditioned model; nothing for any other."""
    rounding = artifact.parity.get("rounding", {})
    for name in rounding.get("ill_conditioned", ()):
        file, own, times = artifact.parity["heads"][name], rounding["heads"][name]["itself"], rounding["times"]
        yield (
            f"{name} is ill-conditioned: the file differs from TensorFlow by {_figures(file)}; TensorFlow differs from "
            f"itself by {_figures(own)} when its input is rounded differently. Accepted: {times['error']:g} times that "
            f"error, {times['mean_error']:g} times that mean, {times['cosine_distance']:g} times that 1 - cosine."
        )
        if exact := rounding["heads"][name].get("float64"):
            yield (
                f"  from float64 on {exact['onnx']['windows']} windows: TensorFlow differs by "
                f"{_figures(exact['tensorflow'])}, the file by {_figures(exact['onnx'])}"
            )
    if reason := rounding.get("not_in_float64"):
        yield f"  {reason}"


def _figures(measured: Mapping[str, float]) -> str:
    return f"{measured['error']:.1e} (mean {measured['mean_error']:.1e}, 1 - cosine {measured['cosine_distance']:.1e})"
