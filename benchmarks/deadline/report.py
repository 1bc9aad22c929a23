"""The figures as text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.deadline.contestants import ONNX
from benchmarks.deadline.measurement import DeadlineFigures
from benchmarks.deadline.projection import CONFIDENCE, MOST_RATIO
from benchmarks.deadline.short_deadline import ShortDeadlineResult
from benchmarks.measuring.timing import spreads_in_words
from runtime.errors import counted

BAR_WIDTH = 50
BLOCK, RULE = "█", "│"
PAGE_CACHE = (
    "All sound files were in the page cache, just written or just read. "
    "A slow disk would add the same time to each side"
)


def report(figures: DeadlineFigures, deadline_s: float) -> str:
    """The verdicts first, then the figures behind them."""
    sections = [
        verdicts(figures, deadline_s),
        _bars(figures, deadline_s),
        rounds(figures),
        _short_deadline(figures),
        _notes(figures),
    ]
    return "\n\n".join("\n".join(section) for section in sections)


def verdicts(figures: DeadlineFigures, deadline_s: float) -> Iterator[str]:
    """A line for each side."""
    first = next(iter(figures.projections.values()))
    cores = counted(figures.cores, "core")
    yield f"{first.soundscapes} soundscapes of a minute, from files to a submission, on {cores}"
    for name, projection in figures.projections.items():
        yield f"  {name}: {projection.verdict(figures.cores, deadline_s)}"


def _bars(figures: DeadlineFigures, deadline_s: float) -> Iterator[str]:
    known = {name: each for name, each in figures.projections.items() if each.kind != "not projected"}
    longest = max([deadline_s, *(projection.total_s for projection in known.values())])
    at = round(BAR_WIDTH * deadline_s / longest)
    yield f"Minutes; {RULE} is the deadline, {deadline_s / 60:.3g}"
    for name, projection in known.items():
        bar = (BLOCK * max(1, round(BAR_WIDTH * projection.total_s / longest))).ljust(BAR_WIDTH + 1)
        yield f"  {name:<24}{bar[:at]}{RULE}{bar[at + 1 :]} {projection.total_s / 60:.3g}"


def rounds(figures: DeadlineFigures) -> Iterator[str]:
    """The time of a soundscape and of start-up, for each side."""
    yield f"  {'':<24}{'start-up, s':>12}{'s a soundscape':>18}{'rounds':>10}{'files a round':>16}{'times as fast':>16}"
    onnx = figures.projections[ONNX].rate
    for name, projection in figures.projections.items():
        ratio = "" if name == ONNX else f"{projection.rate / onnx:.1f}"
        cells = f"{projection.start_up_s:>12.1f}{projection.rate:>18.3f}{len(projection.rounds):>10}"
        yield f"  {name:<24}{cells}{figures.files_a_round[name]:>16}{ratio:>16}"
    for name, times in figures.first_calls.items():
        yield (
            f"  {name}: loading {times['load_s']:.1f} s, first call (compiles) {times['first_call_s']:.1f} s, "
            f"next call {times['next_call_s']:.1f} s"
        )


def _short_deadline(figures: DeadlineFigures) -> Iterator[str]:
    if not figures.results:
        return
    deadline_s = next(iter(figures.results.values())).deadline_s
    yield (
        f"A deadline of {deadline_s:.1f} s for {figures.short_deadline_soundscapes} soundscapes, about half the time "
        f"that they need (the full run took {figures.full_s:.1f} s)"
    )
    shares = f"{'scored':>8}{'interpolated':>14}{'filled':>8}"
    yield f"  {'':<40}{'ended after':>12}{shares}{'ROC-AUC':>9}{'averaged':>10}  submission"
    for name, result in figures.results.items():
        yield f"  {name:<40}{_cells(result)}"
    if figures.skipped:
        yield f"  {figures.skipped}"
    yield "  ROC-AUC: macro, against the full run: a class is present in the 5% of rows where it scores highest;"
    yield "  averaged: over orders of the soundscapes, since a few that stand out hold many of these rows"


def _cells(result: ShortDeadlineResult) -> str:
    shares = f"{result.scored:>8.0%}{result.interpolated:>14.0%}{result.filled:>8.0%}"
    areas = f"{result.roc_auc:>9.3f}{result.average_roc_auc:>10.3f}"
    written = "complete" if result.complete else "NOT COMPLETE"
    late = f", {result.late_s:.1f} s late" if result.late_s else ", in time"
    return f"{result.elapsed_s:>10.1f} s{shares}{areas}  {written}{late}"


def _notes(figures: DeadlineFigures) -> Iterator[str]:
    yield (
        "Projected minutes: start-up once, and for every soundscape the mean of the rounds, with Student's t interval "
        f"of that mean ({CONFIDENCE:.0%}), if its ends differ by {MOST_RATIO:g} times at most. The interval does not "
        "cover a machine that changes."
    )
    yield "Cores needed: if throughput grows with their number, and start-up stays as it is."
    yield f"{PAGE_CACHE}."
    noise = figures.noise
    yield f"{spreads_in_words(noise)}."
    if noise["noisy"]:
        yield noise["noisy"]
