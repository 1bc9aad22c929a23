"""Many files and many rows: nothing grows with them but the files on disk."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile

from benchmarks.measuring.usage import MIB, Usage, UsageMonitor, children, own_usage, usage
from benchmarks.stress.large import all_scored
from benchmarks.stress.promises import mib, promise, watched_run
from convert import SAMPLE_RATE
from convert.proof.synthetic import soundscape
from runtime.rows.block import Block, Columns
from runtime.rows.finished import Finished
from runtime.rows.formats.choice import choose_format
from runtime.rows.sinks import FileSink, Target

FILES, EARLY = 2_000, 200
MOST_GROWTH, MOST_FILES = 20 * MIB, 2
"""By how much memory and open files may grow from 200 files to all of them."""
ROWS, WIDTH, BLOCK_ROWS = 1_000_000, 1280, 120
"""A block is the rows of ten minutes."""
FEW_ROWS = 30_000
"""Enough to fill a few row groups of the Parquet file."""
MOST_FOR_ROWS = 150 * MIB
SEARCHED, MOST_SEARCH_S, MOST_FOR_SEARCH = 20, 60.0, 2_000 * MIB


@dataclass(frozen=True)
class _Snapshot:
    spooled: int
    parent: Usage
    workers: list[Usage]


def files(folder: Path, model: Path) -> None:
    """Two thousand short files leave no memory in use and no file open."""
    source, target = folder / "files", folder / "files.parquet"
    source.mkdir()
    audio = soundscape(3, 60)
    for i in range(FILES):
        start = i * 997 % (len(audio) // 2)
        soundfile.write(source / f"{i:04d}.wav", audio[start : start + (1 + i % 7) * SAMPLE_RATE], SAMPLE_RATE)
    snapshots: list[_Snapshot] = []
    spool = target.with_name(target.name + ".partial")

    def look(pid: int) -> None:
        parent, workers = usage(pid), [used for worker in children(pid) if (used := usage(worker))]
        if parent and len(workers) == 2 and spool.exists():
            snapshots.append(_Snapshot(spool.stat().st_size, parent, workers))

    run = watched_run(source, model, target, look)
    all_scored(target, sum(1 + (1 + i % 7 > 5) for i in range(FILES)))
    print(f"  {FILES:,} files in {run.seconds:.0f} s", flush=True)
    final = snapshots[-1].spooled
    early = next(each for each in snapshots if each.spooled >= final * EARLY / FILES)
    late = snapshots[-1]
    for name, before, after in (
        ("parent", early.parent, late.parent),
        *((f"worker {i}", *pair) for i, pair in enumerate(zip(early.workers, late.workers, strict=True), start=1)),
    ):
        growth = after.rss - before.rss
        promise(growth < MOST_GROWTH, f"{name}: {mib(before.rss)} after {EARLY} files, {mib(after.rss)} at the end")
        promise(after.files - before.files <= MOST_FILES, f"{name}: {before.files}, then {after.files} open files")


def rows(folder: Path, model: Path) -> None:
    """A million rows of 1280 numbers are written in the memory of thirty thousand, and searched."""
    peaks = {}
    for count in (FEW_ROWS, ROWS):
        target = folder / f"{count}.parquet"
        started = time.monotonic()
        command = [sys.executable, "-c", "from benchmarks.stress import many; many.stream()", str(target), str(count)]
        peaks[count] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        seconds, size = time.monotonic() - started, target.stat().st_size
        print(f"  {count:,} rows: {seconds:.0f} s, {size / 1e9:.1f} GB, at most {mib(peaks[count])}", flush=True)
        promise(pq.ParquetFile(target).metadata.num_rows == count, "all rows are in the file")
        if count == ROWS:
            _search(target)
        target.unlink()
    more = peaks[ROWS] - peaks[FEW_ROWS]
    promise(more < MOST_FOR_ROWS, f"{mib(more)} more for {ROWS:,} rows than for {FEW_ROWS:,}")


def _search(target: Path) -> None:
    """Searches all rows for the windows most like one of them."""
    started = time.monotonic()
    command = [sys.executable, "-m", "runtime.explore", "search", str(target), "--like", f"long_{ROWS * 5 // 2}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with UsageMonitor(process.pid) as watch:
        printed, _ = process.communicate()
    seconds = time.monotonic() - started
    promise(process.returncode == 0, f"perch-explore search ended with code {process.returncode}")
    promise(printed.count("long.wav") >= SEARCHED, f"{SEARCHED} windows were found")
    assert watch.parent is not None
    promise(seconds < MOST_SEARCH_S, f"searched in {seconds:.0f} s")
    promise(watch.parent.peak_rss < MOST_FOR_SEARCH, f"the search took {mib(watch.parent.peak_rss)}")


def stream() -> None:
    """Writes rows to a Parquet file, both from the command line; prints the peak memory in bytes."""
    target, count = Path(sys.argv[1]), int(sys.argv[2])
    rng = np.random.default_rng(0)
    columns = Columns({"embedding": (WIDTH,)}, {}, {"saved_model_sha256": "0" * 64, "window_s": "5", "options": "{}"})
    sink = FileSink(Target(target, choose_format(target), columns, 0.0), {"rows": count}, resume=False)
    for part, first in enumerate(range(0, count, BLOCK_ROWS)):
        starts = np.arange(first, min(first + BLOCK_ROWS, count), dtype=np.float64) * 5
        block = Block(
            path="long.wav",
            row_ids=[f"long_{start + 5:g}" for start in starts],
            start_s=starts,
            end_s=starts + 5.0,
            status=np.full(len(starts), "scored", "<U12"),
            outputs={"embedding": rng.random((len(starts), WIDTH), np.float32)},
        )
        sink.append(block, Finished("long.wav", "long", 0, 0, part, -(-count // BLOCK_ROWS), count, None))
    sink.finish([])
    sink.close(keep=False)
    print(own_usage().peak_rss)
