"""A run that is killed again and again ends with the rows of one that never was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.measuring.usage import alive, children
from benchmarks.stress.promises import BrokenPromiseError, perch_run, promise, watched_run
from convert.proof.synthetic import write_soundscape

SEED, KILLS, KILLS_OF_WORKERS = 2026, 20, 10
MINUTES = (*[1] * 24, 25)
"""Lengths of the recordings: the last one is read in parts."""
ORPHANS_END_S, PATIENCE_S = 5.0, 120.0


def kills(folder: Path, model: Path) -> None:
    """Twenty runs are killed at random moments and taken up again, workers in between, one run while it writes."""
    source, whole = folder / "recordings", folder / "whole.parquet"
    source.mkdir()
    for i, minutes in enumerate(MINUTES):
        write_soundscape(source / f"{i:02d}.wav", i, 60.0 * minutes)
    seconds = watched_run(source, model, whole).seconds
    print(f"  seed {SEED}; a run that is left alone takes {seconds:.1f} s", flush=True)
    chance, killed, lost, ended = random.Random(SEED), 0, 0, 0
    while killed < KILLS or lost < KILLS_OF_WORKERS:
        target = folder / f"run{ended}" / "rows.parquet"
        target.parent.mkdir(exist_ok=True)
        process = perch_run(source, model, target, "--resume")
        if chance.random() < 0.5:  # never two in one run: a recording is given up at its second death
            lost += kill_a_worker(process, chance.uniform(0.4, seconds / 2))
        if killed < KILLS and kill(process, chance.uniform(0.2, seconds)):
            killed += 1
            over = target.exists() and not spool_of(target).exists()
        else:
            over = ends_well(process)
        if over:
            same(target, whole)
            ended += 1
    kill_while_writing(source, model, folder / "writing" / "rows.parquet", whole)
    print(f"  {killed + 1} runs and {lost} workers killed, {ended + 1} runs came to their end", flush=True)


def kill_a_worker(process: subprocess.Popen[str], after_s: float) -> int:
    """Kills one of a run's workers after a while; how many that were."""
    time.sleep(after_s)
    workers = children(process.pid)
    for worker in workers[:1]:
        print(f"  worker {worker} killed after {after_s:.2f} s", flush=True)
        os.kill(worker, signal.SIGKILL)
    return len(workers[:1])


def kill(process: subprocess.Popen[str], after_s: float) -> bool:
    """Kills a run after a while, unless it ended before; its workers must follow."""
    try:
        process.wait(after_s)
        return False
    except subprocess.TimeoutExpired:
        workers = children(process.pid)
    process.kill()
    process.communicate()
    promise(
        comes_about(lambda: not any(map(alive, workers)), ORPHANS_END_S),
        f"run killed after {after_s:.2f} s; none of its {len(workers)} workers outlives it",
    )
    return True


def ends_well(process: subprocess.Popen[str]) -> bool:
    _, errors = process.communicate(timeout=PATIENCE_S)
    promise(process.returncode == 0, f"a resumed run ended with code {process.returncode} {errors.strip()}".strip())
    return True


def spool_of(target: Path) -> Path:
    """What a run leaves until its file is whole."""
    return target.with_name(f"{target.name}.partial")


def kill_while_writing(source: Path, model: Path, target: Path, whole: Path) -> None:
    """The narrow moment when rows are spooled and the file is being made of them."""
    target.parent.mkdir()
    process = perch_run(source, model, target, "--resume")
    if not comes_about(lambda: any(target.parent.glob(f".{target.name}.*.partial")), PATIENCE_S, every_s=0.0):
        raise BrokenPromiseError("the run never wrote its file")
    process.kill()
    process.communicate()
    left = sorted(path.name for path in target.parent.iterdir())
    print(f"  run killed while it wrote its file, leaving {', '.join(left)}", flush=True)
    if spool_of(target).exists():
        ends_well(perch_run(source, model, target, "--resume"))
    same(target, whole)


def same(target: Path, whole: Path) -> None:
    """The same rows, bit for bit, and nothing else beside them."""
    table, reference = pq.read_table(target), pq.read_table(whole)
    equal = all(table[name].to_pylist() == reference[name].to_pylist() for name in ("row_id", "status", "start_s"))
    bits, expected = (np.asarray(found["embedding"].combine_chunks().flatten()) for found in (table, reference))
    promise(equal and bits.tobytes() == expected.tobytes(), f"{len(table)} rows, bit for bit those of an unharmed run")
    beside = [path.name for path in target.parent.iterdir() if path != target]
    promise(not beside, f"nothing is left beside the file {beside or ''}".strip())


def comes_about(condition: Callable[[], bool], seconds: float, every_s: float = 0.02) -> bool:
    """Whether a condition holds before the time is over."""
    end = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < end:
        time.sleep(every_s)
    return holds
