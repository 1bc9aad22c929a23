"""Measurements for people to read."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.measuring.timing import spread
from benchmarks.measuring.usage import MIB
from benchmarks.throughput.figures import Configuration, Measurements, Parts

BAR_WIDTH, RATE_BAR_WIDTH = 40, 20
BLOCK = "█"
RATIOS = {
    "embedding_over_floor": "embedding's time over the floor (backbone alone)",
    "graph_over_floor": "all outputs' time over the floor",
    "run_over_graph_and_reading": "whole run over graph alone + reading alone",
}
METHOD = """\
A configuration's rate: sound files, in the page cache, decoded and computed to outputs by processes that are warm;
start-up and writing apart. Median of rounds in which all take turns, spread is greatest over least round. Memory is
that of all processes of a run together, pages they share counted once."""


def report(files: Sequence[Measurements], device: str) -> str:
    """Each file's ranking, stages and whole runs, and how the files compare."""
    sections: list[Iterator[str]] = []
    for found in files:
        sections += [_ranking(found), *(_stages(found, parts, device) for parts in found.parts), _whole(found)]
    if len(files) > 1:
        sections.append(_files(files))
    return "\n\n".join("\n".join(section) for section in sections)


def _title(found: Measurements) -> str:
    return f"{found.path} ({found.artifact.family}, {found.precision}; {', '.join(found.outputs)})"


def _ranking(found: Measurements) -> Iterator[str]:
    yield f"{_title(found)}: {len(found.configurations)} configurations"
    yield "  rank  workers  threads  batch  windows/s  x real time  spread    memory"
    fastest = found.ranking[0].rate
    for rank, each in enumerate(found.ranking, 1):
        setup = each.setup
        bar = BLOCK * round(RATE_BAR_WIDTH * each.rate / fastest) if fastest else ""
        if each.rates:
            ranked, speed = str(rank), f"{each.rate:>11.2f}{each.rate * found.artifact.window_s:>13.1f}"
        else:
            ranked, speed = "-", f"{'-':>11}{'-':>13}"
        again = f"{spread(each.rates):.2f}" if len(each.rates) > 1 else "-"
        row = f"{ranked:>6}{setup.workers:>9}{setup.threads:>9}{setup.batch_size:>7}{speed}{again:>8}{_mib(each):>10}"
        yield f"{row}  {bar}{' ' if bar and each.out else ''}{each.out or ''}".rstrip()


def _mib(each: Configuration) -> str:
    return "-" if each.memory is None else f"{each.memory / MIB:.0f} MiB"


def _stages(found: Measurements, parts: Parts, device: str) -> Iterator[str]:
    yield f"Stages, ms a window of one process; {parts.setup} ({found.path.name})"
    stages = parts.stages()
    writing = {ending: 1 / statistics.median(rates) for ending, rates in found.writing.items()}
    longest = max([*stages.values(), *writing.values()])
    for name, seconds in stages.items():
        yield _bar(name, seconds, longest)
    yield f"  {'sum':<16}{sum(stages.values()) * 1000:>9.2f}"
    for ending, seconds in writing.items():
        yield _bar(f"write {ending}", seconds, longest, " the parent, a row")
    yield _bar("from 48 kHz", 1 / (parts.rate("resample_48k") / parts.setup.workers), longest, " more to resample")
    if min(stages.values()) < 0:
        yield "  (stages are differences of medians; one below zero is lost in the noise)"
    if found.no_floor is not None:
        yield f"  (frontend, backbone and head cannot be told apart: {found.no_floor})"
    if device != "cpu":
        yield f"  (decoded by {parts.setup.workers} processes while one computes on {device})"


def _bar(name: str, seconds: float, longest: float, about: str = "") -> str:
    bar = BLOCK * max(0, round(BAR_WIDTH * seconds / longest))
    return f"  {name:<16}{seconds * 1000:>9.2f}  {bar}{about}"


def _whole(found: Measurements) -> Iterator[str]:
    yield f"The whole way, files to rows ({found.path.name})"
    for parts in found.parts:
        used, rate = parts.used(), parts.run_rate
        yield (
            f"  {parts.setup}: {rate:.2f} windows/s, {rate * found.artifact.window_s:.0f} times real time, spread "
            f"{spread(parts.run_rates):.2f}; ready after {used['start_up_s']:.2f} s"
        )
        for name, ratio in parts.ratios().items():
            yield f"    {RATIOS[name]:<52}{ratio:.3f}"
        for name in ("parent", "worker"):
            if used[name] is not None:
                yield f"    {name:<8}{_usage(used[name])}"
        if used["memory_bytes"] is not None:
            yield f"    together {used['memory_bytes'] / MIB:.0f} MiB{_busy(used['busy'])}"
    if len(found.parts) > 1:
        one, best = found.parts
        graph = best.rate("graph") / one.rate("graph")
        yield (
            f"  {best.setup.workers} workers are {best.run_rate / one.run_rate:.2f} times as fast as one, the graph "
            f"alone {graph:.2f} times"
        )


def _busy(share: float | None) -> str:
    return "" if share is None else f"; {share:.2f} processor seconds a second and thread, start-up included"


def _usage(used: dict[str, Any]) -> str:
    sizes = {"resident": used["peak_rss"], "proportional": used["pss"], "private": used["private"]}
    return f"{used['threads']} threads, " + ", ".join(f"{name} {size / MIB:.0f} MiB" for name, size in sizes.items())


def _files(files: Sequence[Measurements]) -> Iterator[str]:
    yield "The files, each at its best"
    for found in sorted(files, key=lambda each: -each.best.rate):
        best = found.best
        times = f"{best.rate / files[0].best.rate:.2f} times {files[0].path.name}"
        yield f"  {best.rate:>9.2f} windows/s  {_mib(best):>9}  {times}  {_title(found)}: {best.setup}"
