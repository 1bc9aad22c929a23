"""Figures for people to read."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.deadline.contestants import ONNX
from benchmarks.deadline.measurement import DeadlineFigures
from benchmarks.deadline.projection import CONFIDENCE
from benchmarks.deadline.short_deadline import ShortDeadlineResult

BAR_WIDTH = 50
BLOCK, RULE = "█", "│"
PAGE_CACHE = (
    "Soundscapes were read from the page cache, just written or read before; a slow disk adds its time to every side"
)


def report(found: DeadlineFigures, deadline_s: float) -> str:
    """The verdicts first, then what stands behind them."""
    sections = [verdicts(found, deadline_s), _bars(found, deadline_s), rounds(found), _scaled(found), _notes(found)]
    return "\n\n".join("\n".join(section) for section in sections)


def verdicts(found: DeadlineFigures, deadline_s: float) -> Iterator[str]:
    """A line for each side."""
    first = next(iter(found.projections.values()))
    yield f"{first.soundscapes} soundscapes of a minute, from files to a submission, on {_cores(found.cores)}"
    for name, projection in found.projections.items():
        yield f"  {name}: {projection.verdict(found.cores, deadline_s)}"


def _bars(found: DeadlineFigures, deadline_s: float) -> Iterator[str]:
    longest = max(deadline_s, *(projection.total_s for projection in found.projections.values()))
    at = round(BAR_WIDTH * deadline_s / longest)
    yield f"Minutes; {RULE} is the deadline, {deadline_s / 60:.3g}"
    for name, projection in found.projections.items():
        bar = (BLOCK * max(1, round(BAR_WIDTH * projection.total_s / longest))).ljust(BAR_WIDTH + 1)
        yield f"  {name:<24}{bar[:at]}{RULE}{bar[at + 1 :]} {projection.total_s / 60:.3g}"


def rounds(found: DeadlineFigures) -> Iterator[str]:
    """The rates, and what comes before them."""
    yield f"  {'':<24}{'start-up, s':>12}{'s a soundscape':>18}{'rounds':>10}{'files a round':>16}{'times as fast':>16}"
    onnx = found.projections[ONNX].rate
    for name, projection in found.projections.items():
        ratio = "" if name == ONNX else f"{projection.rate / onnx:.1f}"
        cells = f"{projection.start_up_s:>12.1f}{projection.rate:>18.3f}{len(projection.rounds):>10}"
        yield f"  {name:<24}{cells}{found.files_a_round[name]:>16}{ratio:>16}"
    for name, times in found.first_calls.items():
        yield (
            f"  {name}: loading {times['load_s']:.1f} s, first call (compiles) {times['first_call_s']:.1f} s, the next "
            f"{times['next_call_s']:.1f} s"
        )


def _scaled(found: DeadlineFigures) -> Iterator[str]:
    if not found.outcomes:
        return
    deadline_s = next(iter(found.outcomes.values())).deadline_s
    yield (
        f"A deadline of {deadline_s:.1f} s for {found.scaled_soundscapes} soundscapes, about half of what they take "
        f"(in full {found.full_s:.1f} s, which is the truth that macro ROC-AUC is against)"
    )
    shares = f"{'scored':>8}{'interpolated':>14}{'filled':>8}"
    yield f"  {'':<40}{'ended after':>12}{shares}{'ROC-AUC':>9}{'of orders':>11}  submission"
    for name, outcome in found.outcomes.items():
        yield f"  {name:<40}{_outcome(outcome)}"
    if found.skipped:
        yield f"  {found.skipped}"
    yield "  ROC-AUC: macro, a class being there in the 5% of rows in which the full run scores it highest; of orders:"
    yield "  the mean over which soundscape comes first, since a few that stand out hold many of these rows"


def _outcome(outcome: ShortDeadlineResult) -> str:
    shares = f"{outcome.scored:>8.0%}{outcome.interpolated:>14.0%}{outcome.filled:>8.0%}"
    written = "complete" if outcome.complete else "NOT COMPLETE"
    late = f", {outcome.late_s:.1f} s late" if outcome.late_s else ", in time"
    return (
        f"{outcome.elapsed_s:>10.1f} s{shares}{outcome.roc_auc:>9.3f}{outcome.average_roc_auc:>11.3f}  {written}{late}"
    )


def _notes(found: DeadlineFigures) -> Iterator[str]:
    yield (
        f"Projected: start-up once and the mean of the rounds for every soundscape, with Student's t interval of that "
        f"mean ({CONFIDENCE:.0%}), which does not cover a machine that changes."
    )
    yield "Cores: if throughput grows with their number, and start-up stays as it is."
    yield f"{PAGE_CACHE}."
    noise = found.noise
    spreads = f"{noise['spread']:.2f} (median of all), {noise['worst_spread']:.2f} (worst)"
    yield f"Greatest over least time of the rounds: {spreads}."
    if noise["noisy"]:
        yield noise["noisy"]


def _cores(count: int) -> str:
    return "1 core" if count == 1 else f"{count} cores"
