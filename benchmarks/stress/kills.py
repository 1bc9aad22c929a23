"""A run that is killed again and again ends with the same rows as one that is not."""

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
"""Lengths of the recordings; the last one is long enough to be read in parts."""
ORPHANS_END_S, PATIENCE_S = 5.0, 120.0


def kills(folder: Path, model: Path) -> None:
    """Kills runs and their workers at random moments, and a run while it writes its file; each is resumed."""
    source, undisturbed = folder / "recordings", folder / "undisturbed.parquet"
    source.mkdir()
    for i, minutes in enumerate(MINUTES):
        write_soundscape(source / f"{i:02d}.wav", i, 60.0 * minutes)
    seconds = watched_run(source, model, undisturbed).seconds
    print(f"  seed {SEED}; an undisturbed run takes {seconds:.1f} s", flush=True)
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
            over = check_end(process)
        if over:
            check_same_rows(target, undisturbed)
            ended += 1
    kill_while_writing(source, model, folder / "writing" / "rows.parquet", undisturbed)
    print(f"  {killed + 1} runs and {lost} workers killed, {ended + 1} runs completed", flush=True)


def kill_a_worker(process: subprocess.Popen[str], after_s: float) -> int:
    """Kills one of a run's workers after a while; returns how many, 0 or 1."""
    time.sleep(after_s)
    workers = children(process.pid)
    for worker in workers[:1]:
        print(f"  worker {worker} killed after {after_s:.2f} s", flush=True)
        os.kill(worker, signal.SIGKILL)
    return len(workers[:1])


def kill(process: subprocess.Popen[str], after_s: float, orphans_end_s: float = ORPHANS_END_S) -> bool:
    """Kills a run after a while; its workers must end too. False if the run ended first."""
    try:
        process.wait(after_s)
        return False
    except subprocess.TimeoutExpired:
        workers = children(process.pid)
    process.kill()
    process.communicate()
    promise(
        wait_for(lambda: not any(map(alive, workers)), orphans_end_s),
        f"a run was killed after {after_s:.2f} s; none of its {len(workers)} workers outlives it",
    )
    return True


def check_end(process: subprocess.Popen[str]) -> bool:
    _, errors = process.communicate(timeout=PATIENCE_S)
    promise(process.returncode == 0, f"a resumed run ended with code {process.returncode} {errors.strip()}".strip())
    return True


def spool_of(target: Path) -> Path:
    """The spool that a run keeps until its file is complete."""
    return target.with_name(f"{target.name}.partial")


def kill_while_writing(source: Path, model: Path, target: Path, undisturbed: Path) -> None:
    """Kills a run in the short time in which its file is being written from the spool."""
    target.parent.mkdir()
    process = perch_run(source, model, target, "--resume")
    if not wait_for(lambda: any(target.parent.glob(f".{target.name}.*.partial")), PATIENCE_S, every_s=0.0):
        raise BrokenPromiseError("the run never wrote its file")
    process.kill()
    process.communicate()
    left = sorted(path.name for path in target.parent.iterdir())
    print(f"  a run was killed while it wrote its file; it left {', '.join(left)}", flush=True)
    if spool_of(target).exists():
        check_end(perch_run(source, model, target, "--resume"))
    check_same_rows(target, undisturbed)


def check_same_rows(target: Path, undisturbed: Path) -> None:
    """Promises that the rows are the same, bit for bit, and that no other file is left."""
    table, reference = pq.read_table(target), pq.read_table(undisturbed)
    equal = all(table[name].to_pylist() == reference[name].to_pylist() for name in ("row_id", "status", "start_s"))
    bits, expected = (np.asarray(each["embedding"].combine_chunks().flatten()) for each in (table, reference))
    promise(
        equal and bits.tobytes() == expected.tobytes(), f"{len(table)} rows, bit for bit those of an undisturbed run"
    )
    beside = [path.name for path in target.parent.iterdir() if path != target]
    promise(not beside, f"no other file is left {beside or ''}".strip())


def wait_for(condition: Callable[[], bool], seconds: float, every_s: float = 0.02) -> bool:
    """Waits until a condition holds; False if it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < end:
        time.sleep(every_s)
    return holds
