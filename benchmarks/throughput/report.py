"""The figures as text for the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.measuring.timing import spread
from benchmarks.measuring.usage import MIB
from benchmarks.throughput.figures import Breakdown, Configuration, FileFigures
from runtime.errors import counted

BAR_WIDTH, RATE_BAR_WIDTH = 40, 20
BLOCK = "█"
RATIOS = {
    "embedding_over_floor": "time to the embedding over the floor (backbone alone)",
    "graph_over_floor": "time to all outputs over the floor",
    "run_over_graph_and_reading": "full run over graph alone + reading alone",
}
METHOD = """\
A rate counts decoding and computing, from sound files to outputs. Start-up and writing do not count: the processes are
warm, and the files are in the page cache. Each round measures every setup once, and a rate is the median of the rounds.
Spread is the time of the slowest round over that of the fastest. Memory is that of all processes of a run together,
shared pages counted once."""


def report(files: Sequence[FileFigures], device: str) -> str:
    """Each file's ranking, stages and full runs, and how the files compare."""
    sections: list[Iterator[str]] = []
    for file in files:
        stages = (_stages(file, breakdown, device) for breakdown in file.breakdowns)
        sections += [_ranking(file), *stages, _full_runs(file)]
    if len(files) > 1:
        sections.append(_files(files))
    return "\n\n".join("\n".join(section) for section in sections)


def _title(file: FileFigures) -> str:
    return f"{file.path} ({file.artifact.family}, {file.precision}; {', '.join(file.outputs)})"


def _ranking(file: FileFigures) -> Iterator[str]:
    yield f"{_title(file)}: {len(file.configurations)} setups"
    yield "  rank  workers  threads  batch  windows/s  x real time  spread    memory"
    fastest = file.ranking[0].rate
    for rank, each in enumerate(file.ranking, 1):
        setup = each.setup
        bar = BLOCK * round(RATE_BAR_WIDTH * each.rate / fastest) if fastest else ""
        if each.rates:
            ranked, speed = str(rank), f"{each.rate:>11.2f}{each.rate * file.artifact.window_s:>13.1f}"
        else:
            ranked, speed = "-", f"{'-':>11}{'-':>13}"
        again = f"{spread(each.rates):.2f}" if len(each.rates) > 1 else "-"
        row = f"{ranked:>6}{setup.workers:>9}{setup.threads:>9}{setup.batch_size:>7}{speed}{again:>8}{_mib(each):>10}"
        yield f"{row}  {bar}{' ' if bar and each.note else ''}{each.note or ''}".rstrip()


def _mib(each: Configuration) -> str:
    return "-" if each.memory is None else f"{each.memory / MIB:.0f} MiB"


def _stages(file: FileFigures, breakdown: Breakdown, device: str) -> Iterator[str]:
    workers = breakdown.setup.workers
    yield f"Stages, ms a window of one process; {breakdown.setup} ({file.path.name})"
    stages = breakdown.stages()
    writing = {ending: 1 / statistics.median(rates) for ending, rates in file.writing.items()}
    longest = max([*stages.values(), *writing.values()])
    for name, seconds in stages.items():
        yield _bar(name, seconds, longest)
    yield f"  {'sum':<16}{sum(stages.values()) * 1000:>9.2f}"
    for ending, seconds in writing.items():
        yield _bar(f"write {ending}", seconds, longest, " in the parent, a row")
    yield _bar("from 48 kHz", workers / breakdown.rate("resample_48k"), longest, " more to resample")
    if min(stages.values()) < 0:
        yield "  (stages are differences of medians; one below zero is lost in the noise)"
    if file.no_floor is not None:
        yield f"  (frontend, backbone and head cannot be told apart: {file.no_floor})"
    if device != "cpu":
        yield f"  ({workers} processes decode while a single one computes on {device})"


def _bar(name: str, seconds: float, longest: float, about: str = "") -> str:
    bar = BLOCK * max(0, round(BAR_WIDTH * seconds / longest))
    return f"  {name:<16}{seconds * 1000:>9.2f}  {bar}{about}"


def _full_runs(file: FileFigures) -> Iterator[str]:
    yield f"Full runs, from files to rows ({file.path.name})"
    for breakdown in file.breakdowns:
        used, rate = breakdown.used(), breakdown.run_rate
        yield (
            f"  {breakdown.setup}: {rate:.2f} windows/s, {rate * file.artifact.window_s:.0f} times real time, spread "
            f"{spread(breakdown.run_rates):.2f}; ready after {used['start_up_s']:.2f} s"
        )
        for name, ratio in breakdown.ratios().items():
            yield f"    {RATIOS[name]:<55}{ratio:.3f}"
        for name in ("parent", "worker"):
            if used[name] is not None:
                yield f"    {name:<8}{_usage(used[name])}"
        if used["memory_bytes"] is not None:
            yield f"    together {used['memory_bytes'] / MIB:.0f} MiB{_busy(used['busy'])}"
    if len(file.breakdowns) > 1:
        one, best = file.breakdowns
        graph = best.rate("graph") / one.rate("graph")
        yield (
            f"  {best.setup.workers} workers are {best.run_rate / one.run_rate:.2f} times as fast as one, the graph "
            f"alone {graph:.2f} times"
        )


def _busy(share: float | None) -> str:
    return "" if share is None else f"; {share:.2f} processor seconds a second and thread, start-up included"


def _usage(used: dict[str, Any]) -> str:
    sizes = {"resident": used["peak_rss"], "proportional": used["pss"], "private": used["private"]}
    memory = [f"{name} {size / MIB:.0f} MiB" for name, size in sizes.items()]
    return ", ".join([counted(used["threads"], "thread"), *memory])


def _files(files: Sequence[FileFigures]) -> Iterator[str]:
    yield "The files, each at its best"
    for file in sorted(files, key=lambda each: -each.best.rate):
        best = file.best
        times = f"{best.rate / files[0].best.rate:.2f} times {files[0].path.name}"
        yield f"  {best.rate:>9.2f} windows/s  {_mib(best):>9}  {times}  {_title(file)}: {best.setup}"
