"""The comparison as text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.baseline.float64 import SpectrogramErrors
from benchmarks.parity.measurement import FileMeasurement
from benchmarks.parity.quality import Quality
from benchmarks.parity.result import ParityResult
from benchmarks.parity.summary import HeadSummary, by_head
from benchmarks.parity.verdict import Finding

COLUMNS = ("error", "mean", "1-cos", "median", "common", "top-1", "top-5", "rank", "median")
LEGEND = """\
error, mean: greatest and mean difference over the range of TensorFlow's values; 1-cos: 1 - cosine of a window, greatest
and median; common: the part of the errors that all windows share, for rounding about 1 / sqrt(windows); top-1: windows
with the same top class; top-5: share of the same five top classes; rank: rank correlation of a window's classes, least
and median. Each is the worst of all devices and batch sizes."""


def table(measured: FileMeasurement, broken: set[str]) -> Iterator[str]:
    """A line for each head."""
    rows = by_head(measured)
    width = max(map(len, [*rows, "output"]))
    yield f"  {'output':<{width}}" + "".join(f"{name:>9}" for name in COLUMNS) + "  verdict"
    for name, summary in rows.items():
        verdict = "broken" if name in broken else "equal"
        yield f"  {name:<{width}}" + "".join(f"{cell:>9}" for cell in cells(summary)) + f"  {verdict}"


def cells(head: HeadSummary) -> tuple[str, ...]:
    """The figures of a head in the order of `COLUMNS`."""
    small = (head.error, head.mean_error, head.cosine_distance, head.median_cosine_distance)
    shares = (head.top1, head.top5)
    ranks = (head.rank_least, head.rank_median)
    return (
        *(f"{value:.1e}" for value in small),
        f"{head.common:.0%}",
        *("-" if value is None else f"{value:.1%}" for value in shares),
        *("-" if value is None else f"{value:.5f}" for value in ranks),
    )


def title(measured: FileMeasurement) -> str:
    """The file, its model, precision and size."""
    options = measured.artifact.options
    made = str(options.get("precision", "float32")) + (", head in int8" if options.get("head") == "int8" else "")
    megabytes = measured.path.stat().st_size / 1e6
    return f"{measured.path}: {measured.artifact.family}, {made}, {megabytes:.0f} MB"


def rounding_line(errors: SpectrogramErrors) -> str:
    """How far both sides are from float64."""
    return (
        f"{errors.head}: TensorFlow is off float64 by {errors.tensorflow:.1e} of the range, ONNX Runtime by "
        f"{errors.onnx:.1e}; the two differ by {errors.between:.1e} ({errors.windows} windows)"
    )


def quality_lines(metrics: Sequence[Quality]) -> Iterator[str]:
    """The metrics with labels."""
    yield f"  {'with labels':<18}{'TensorFlow':>12}{'ONNX':>12}{'difference':>12}  95% interval"
    for each in metrics:
        low, high = each.interval
        values = f"{each.tensorflow:>12.4f}{each.onnx:>12.4f}{each.difference:>12.1e}"
        yield f"  {each.metric:<18}{values}  {low:.1e} to {high:.1e}"


def verdict(findings: Sequence[Finding]) -> str:
    """The verdict on a file in a few words."""
    if not findings:
        return "equal to TensorFlow"
    return "1 finding" if len(findings) == 1 else f"{len(findings)} findings"


def unread(result: ParityResult) -> str:
    """How many windows could not be read, if any."""
    return f"; {result.unread} more could not be read" if result.unread else ""


def report(result: ParityResult) -> str:
    """The whole text."""
    windows = result.measurement.windows
    lines = [f"{len(windows)} windows, {result.audio}{unread(result)}"]
    for file in result.files:
        measured = file.measured
        lines += ["", f"{title(measured)}: {verdict(file.findings)}"]
        lines += [f"  on {'; '.join(map(str, measured.compared))}"] if measured.compared else []
        lines += table(measured, {finding.head for finding in file.findings})
        lines += [f"  {rounding_line(measured.rounding)}"] if measured.rounding else []
        lines += quality_lines(file.quality) if file.quality else []
        lines += [f"  note: {note}" for note in file.notes]
        lines += [f"  finding: {finding}" for finding in file.findings]
    return "\n".join([*lines, "", LEGEND])
