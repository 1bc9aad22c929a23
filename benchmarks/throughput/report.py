"""Measurements for people to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.processes import MIB
from benchmarks.throughput.crew import Piece
from benchmarks.throughput.measurements import Key, Measurements
from benchmarks.timing import NOISY

BAR_WIDTH = 40
BLOCK = "█"
GRAPH_NAMES: dict[Piece, str] = {
    "floor": "the floor: another file's backbone alone",
    "backbone": "backbone alone",
    "embedding": "embedding",
    "scores": "label, embedding",
}


def report(found: Measurements) -> str:
    """Tables, from the graph to the whole way, and what to make of them."""
    sections = [
        _graphs(found),
        *(_stages(found, workers) for workers in found.workers),
        _whole(found),
        _processes(found),
        _conclusion(found),
    ]
    return "\n\n".join("\n".join(section) for section in sections)


def _graphs(found: Measurements) -> Iterator[str]:
    yield "The graph alone on windows that are ready, windows/s (times real time)"
    yield _line("", "workers", [f"batch {size}" for size in found.batch_sizes])
    for what, name in GRAPH_NAMES.items():
        for workers in found.workers:
            sizes = [size for size in found.batch_sizes if Key(what, workers, size) in found.rates]
            rates = [found.rate(what, workers, size) for size in sizes]
            if rates:
                yield _line(name, workers, [f"{rate:.1f} ({rate * found.artifact.window_s:.0f})" for rate in rates])


def _line(name: str, workers: object, cells: Iterable[str]) -> str:
    return f"  {name:<42}{workers:>8}" + "".join(f"{cell:>15}" for cell in cells)


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _stages(found: Measurements, workers: int) -> Iterator[str]:
    size = found.run_batch_size
    yield f"Stages, ms a window of one process, {workers} at once, batch {size}"
    stages = found.stages(workers)
    longest = max(stages.values())
    for name, seconds in stages.items():
        bar = BLOCK * max(0, round(BAR_WIDTH * seconds / longest))
        yield f"  {name:<10}{seconds * 1000:>9.2f}  {bar}"
    yield f"  {'sum':<10}{sum(stages.values()) * 1000:>9.2f}"
    if min(stages.values()) < 0:
        yield "  (stages are differences of medians; one below zero is lost in the noise)"


def _whole(found: Measurements) -> Iterator[str]:
    yield f"The whole way, files to rows of label and embedding, batch {found.run_batch_size}"
    yield _line("", "", map(_workers, found.workers))
    rates = [found.rate("run", workers) for workers in found.workers]
    yield _line("windows/s", "", [f"{rate:.1f}" for rate in rates])
    yield _line("times real time", "", [f"{rate * found.artifact.window_s:.0f}" for rate in rates])
    rows: dict[str, list[float]] = {
        "time over graph alone + reading alone": [found.over_parts(workers) for workers in found.workers],
        "embedding graph's time over the floor": [found.over_floor("embedding", workers) for workers in found.workers],
        "label, embedding graph's time over it": [found.over_floor("scores", workers) for workers in found.workers],
        "graph alone scales": [found.scaling("scores", workers) for workers in found.workers],
        "the whole way scales": [found.scaling("run", workers) for workers in found.workers],
        "of what the graph alone scales": [
            found.scaling("run", workers) / found.scaling("scores", workers) for workers in found.workers
        ],
    }
    for name, ratios in rows.items():
        yield _line(name, "", [f"{ratio:.3f}" for ratio in ratios])
    csv, parquet, resample = (1000 / found.rate(what) for what in ("csv", "parquet", "resample_48k"))
    yield f"  not in it: writing a row, {csv:.2f} ms (CSV, label) or {parquet:.2f} ms (Parquet, label and embedding);"
    yield f"  resampling a window from 48 kHz, {resample:.2f} ms, unless the recordings are not at the model's rate"


def _processes(found: Measurements) -> Iterator[str]:
    yield "Processes of the whole way"
    for workers in found.workers:
        about = found.processes(workers)
        yield f"  {_workers(workers)}: ready after {about['start_up_s']:.2f} s" + _busy(about["busy"])
        for name in ("parent", "worker"):
            if about[name] is not None:
                yield f"    {name:<8}{_usage(about[name])}"


def _busy(share: float | None) -> str:
    return "" if share is None else f", {share:.2f} processor seconds a second and worker, start-up included"


def _usage(used: dict[str, Any]) -> str:
    sizes = {"resident": used["peak_rss"], "proportional": used["pss"], "private": used["private"]}
    return f"{used['threads']} threads, " + ", ".join(f"{name} {size / MIB:.0f} MiB" for name, size in sizes.items())


def _conclusion(found: Measurements) -> Iterator[str]:
    best = found.best
    rate = found.rate(best.what, best.workers, best.batch_size)
    yield f"Fastest: --workers {best.workers} --batch-size {best.batch_size}, {rate:.1f} windows/s on ready windows"
    noise, worst = found.noise, max(found.rates, key=found.spread)
    spread = f"{noise:.2f} (median of all), {found.spread(worst):.2f} ({worst.what})"
    yield f"Greatest over least rate of the rounds: {spread}"
    if noise > NOISY:
        yield f"The machine is noisy (above {NOISY}): close what else runs, or take more --rounds"
