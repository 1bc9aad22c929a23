"""What is printed in the terminal."""

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
and median; common: how much of their errors all windows have in common, of rounding about 1 / sqrt(windows); top-1:
windows with the same top class; top-5: share of the same five top classes; rank: rank correlation of a window's
classes, least and median. Of all devices and batch sizes the worst is told."""


def table(measured: FileMeasurement, broken: set[str]) -> Iterator[str]:
    """A line for each head."""
    rows = by_head(measured)
    width = max(map(len, [*rows, "output"]))
    yield f"  {'output':<{width}}" + "".join(f"{name:>9}" for name in COLUMNS) + "  verdict"
    for name, found in rows.items():
        verdict = "broken" if name in broken else "equal"
        yield f"  {name:<{width}}" + "".join(f"{cell:>9}" for cell in cells(found)) + f"  {verdict}"


def cells(found: HeadSummary) -> tuple[str, ...]:
    """A head's measures in the order of `COLUMNS`."""
    small = (found.error, found.mean_error, found.cosine_distance, found.median_cosine_distance)
    shares = (found.top1, found.top5)
    ranks = (found.rank_least, found.rank_median)
    return (
        *(f"{value:.1e}" for value in small),
        f"{found.common:.0%}",
        *("-" if value is None else f"{value:.1%}" for value in shares),
        *("-" if value is None else f"{value:.5f}" for value in ranks),
    )


def title(measured: FileMeasurement) -> str:
    """The file, and what it says it is."""
    options = measured.artifact.options
    made = str(options.get("precision", "float32")) + (", head in int8" if options.get("head") == "int8" else "")
    megabytes = measured.path.stat().st_size / 1e6
    return f"{measured.path}: {measured.artifact.family}, {made}, {megabytes:.0f} MB"


def rounding_line(found: SpectrogramErrors) -> str:
    """Whose rounding it is."""
    return (
        f"{found.head}: TensorFlow is off float64 by {found.tensorflow:.1e} of the range, ONNX Runtime by "
        f"{found.onnx:.1e}, and they are off each other by {found.between:.1e} ({found.windows} windows)"
    )


def quality_lines(found: Sequence[Quality]) -> Iterator[str]:
    """The metrics with labels."""
    yield f"  {'with labels':<18}{'TensorFlow':>12}{'ONNX':>12}{'difference':>12}  95% interval"
    for each in found:
        low, high = each.interval
        values = f"{each.tensorflow:>12.4f}{each.onnx:>12.4f}{each.difference:>12.1e}"
        yield f"  {each.metric:<18}{values}  {low:.1e} to {high:.1e}"


def verdict(found: Sequence[Finding]) -> str:
    """In a few words."""
    if not found:
        return "equal to TensorFlow"
    return "1 finding" if len(found) == 1 else f"{len(found)} findings"


def unread(outcome: ParityResult) -> str:
    """How many windows are missing, if any."""
    return f"; {outcome.unread} more could not be read" if outcome.unread else ""


def report(outcome: ParityResult) -> str:
    """All of it."""
    windows = outcome.measurement.windows
    lines = [f"{len(windows)} windows, {outcome.audio}{unread(outcome)}"]
    for judged in outcome.files:
        measured = judged.measured
        lines += ["", f"{title(measured)}: {verdict(judged.findings)}"]
        lines += [f"  on {'; '.join(map(str, measured.compared))}"] if measured.compared else []
        lines += table(measured, {finding.head for finding in judged.findings})
        lines += [f"  {rounding_line(measured.rounding)}"] if measured.rounding else []
        lines += quality_lines(judged.quality) if judged.quality else []
        lines += [f"  note: {note}" for note in judged.notes]
        lines += [f"  finding: {finding}" for finding in judged.findings]
    return "\n".join([*lines, "", LEGEND])
