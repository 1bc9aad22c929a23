"""An archive of many files, done in shards that are killed again and again, ends with the rows of a plain run."""

from __future__ import annotations

import filecmp
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow.parquet as pq
import soundfile

from benchmarks.measuring.usage import Usage, UsageMonitor, children, usage
from benchmarks.stress.kills import PATIENCE_S, kill, kill_a_worker, wait_for
from benchmarks.stress.many import MOST_FILES, MOST_GROWTH
from benchmarks.stress.promises import mib, perch_run, promise
from convert import SAMPLE_RATE
from convert.proof.synthetic import soundscape
from runtime import cli
from runtime.archive import part
from runtime.archive.status import archive_status

FILES, SEED = 100_000, 2026
FOLDERS, LONG, LONG_S, LONG_RATE = 300, 5, 1500, 8_000
"""A long recording is read in three units of at most ten minutes."""
ODD_EVERY = 20
SHARDS, ROUNDS = 8, 2
COMMIT_S = 2.0
"""Shards commit as often as this here, instead of every two minutes, so that a kill meets them at all stages."""
COMPARED, PAIRS, MOST_OVERHEAD = 20, 5, 1.02
"""How many long recordings take part, how often, and how much longer units may take than a plain run."""
MOST_PLANNING_S, EARLY = 60.0, 0.2
"""Memory is compared from a fifth of the rows on: then the manifest and the model are loaded."""


@dataclass(frozen=True)
class Ended:
    """A run that ended by itself: its wall-clock time, and the processor time of all its processes, in seconds."""

    seconds: float
    cpu_s: float


def archive(folder: Path, model: Path) -> None:
    """Shards of a large archive are killed in turn and all at once; the merged file is that of a plain run."""
    source, plain, dataset = folder / "recordings", folder / "plain.parquet", folder / "dataset"
    started = time.monotonic()
    write_archive(source, FILES)
    print(f"  seed {SEED}; {FILES:,} files made in {time.monotonic() - started:.0f} s", flush=True)
    seconds = check_end(perch_run(source, model, plain), 1).seconds
    print(f"  a plain run takes {seconds:.0f} s", flush=True)
    planning = check_end(perch_run(source, model, dataset, "--dataset", "--plan"), 0).seconds
    promise(
        planning < MOST_PLANNING_S,
        f"planned in {planning:.1f} s, {FILES / planning:,.0f} files/s, the start of the command included",
    )
    kill_shards(source, model, dataset, seconds)
    finish(source, model, dataset)
    check_merge(dataset, plain)
    check_end(perch_run(source, model, dataset, "--dataset", "--retry-failed"), 1)
    check_merge(dataset, plain)
    compare(folder, model)


def write_archive(source: Path, files: int) -> None:
    """Writes an archive whose files are links to a few: most of a second or two, a few long, damaged, unreadable."""
    contents = source.with_name("contents")
    contents.mkdir()
    short, odd = _short(contents), _odd(contents)
    long = contents / "long.wav"
    soundfile.write(long, np.random.default_rng(0).integers(-99, 99, LONG_S * LONG_RATE, np.int16), LONG_RATE)
    chance = random.Random(SEED)
    for i in range(files):
        content = odd[i // ODD_EVERY % len(odd)] if i % ODD_EVERY == 0 else chance.choice(short)
        if (i + 1) * LONG % files < LONG:
            content = long
        target = source / f"site{i % FOLDERS:03d}" / f"{i // FOLDERS:05d}{content.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(content, target)


def _short(contents: Path) -> list[Path]:
    """Recordings of one or two seconds: of ten eight are WAV, one FLAC, one OGG."""
    audio = soundscape(3, 60)
    paths = [contents / f"{i:02d}{'.flac' if i % 10 == 1 else '.ogg' if i % 10 == 2 else '.wav'}" for i in range(40)]
    for i, path in enumerate(paths):
        soundfile.write(path, audio[i * SAMPLE_RATE : (i + 1 + i % 2) * SAMPLE_RATE], SAMPLE_RATE)
    return paths


def _odd(contents: Path) -> list[Path]:
    """Recordings that end too early, that are damaged in the middle, and files that are no recordings."""
    paths = []
    for name in ("00.wav", "01.flac", "02.ogg"):
        data = bytearray((contents / name).read_bytes())
        paths += [contents / f"cut-{name}", contents / f"damaged-{name}"]
        paths[-2].write_bytes(data[: len(data) // 2])
        data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
        paths[-1].write_bytes(data)
    paths += [contents / "empty.wav", contents / "text.wav", contents / "text.flac"]
    for path, text in zip(paths[-3:], ("", "no sound", "no sound")):
        path.write_text(text)
    return paths


def start_shard(source: Path, model: Path, dataset: Path, *options: str) -> subprocess.Popen[str]:
    """Starts perch-run, which commits often, in a process of its own."""
    code = "from benchmarks.stress import archive; archive.run()"
    command = [sys.executable, "-c", code, source, "--model", model, "-o", dataset, "--dataset", "--quiet"]
    command += ["--outputs", "embedding", *options]
    return subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True)


def run() -> None:
    """perch-run, from the command line, but for how often it commits."""
    part.COMMIT_S = COMMIT_S
    sys.exit(cli.main(sys.argv[1:]))


def check_end(process: subprocess.Popen[str], code: int) -> Ended:
    """Waits for a run, and promises that it ends with this code."""
    started = time.monotonic()
    assert process.stderr is not None
    with process.stderr:
        errors = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != code:
        promise(False, f"perch-run ended with code {process.returncode}, not {code}: {errors.strip()}")
    return Ended(time.monotonic() - started, used.ru_utime + used.ru_stime)


def kill_shards(source: Path, model: Path, dataset: Path, seconds: float) -> None:
    """Kills shards and their workers, first in turn and then all at once."""

    def shard(number: int) -> subprocess.Popen[str]:
        return start_shard(source, model, dataset, "--shard", f"{number}/{SHARDS}", "--workers", "1")

    chance, killed = random.Random(SEED), Counter[str]()
    for number in range(1, SHARDS + 1):
        killed += disturb([shard(number)], chance, seconds / SHARDS)
    print(f"  {dict(killed)} killed in turn; {archive_status(dataset).left:,} units left", flush=True)
    for _ in range(ROUNDS):
        at_once = (*range(1, SHARDS + 1), 1)  # one of them twice
        killed += disturb([shard(number) for number in at_once], chance, seconds / 4)
    print(f"  {dict(killed)} killed in all; {archive_status(dataset).left:,} units left", flush=True)
    promise(min(killed["shards"], killed["workers"]) > 0, "both shards and workers were killed")


def disturb(shards: Sequence[subprocess.Popen[str]], chance: random.Random, within_s: float) -> Counter[str]:
    """Kills each shard, or a worker of it, at a random moment; waits for all; returns how many of each it killed.

    A shard loses one worker at most: a recording is given up at the second death.
    """
    killed, started = Counter[str](), time.monotonic()
    victims = [(chance.uniform(0.5, within_s), chance.random() < 0.5, shard) for shard in shards]
    for moment, only_worker, shard in sorted(victims, key=lambda victim: victim[0]):
        wait_s = max(0.0, started + moment - time.monotonic())
        if only_worker:
            wait_for(partial(_has_worker_or_ended, shard), PATIENCE_S)
            killed["workers"] += kill_a_worker(shard, wait_s)
        else:
            killed["shards"] += kill(shard, wait_s, PATIENCE_S)  # others start meanwhile
    for shard in shards:
        if shard.returncode != -signal.SIGKILL:
            _, errors = shard.communicate()
            if shard.returncode not in (0, 1):
                promise(False, f"a shard ended with code {shard.returncode}: {errors.strip()}")
    return killed


def _has_worker_or_ended(shard: subprocess.Popen[str]) -> bool:
    return shard.poll() is not None or bool(children(shard.pid))


def check_merge(dataset: Path, plain: Path) -> None:
    """Promises that the merged dataset is the file of a plain run, in which no row stands twice."""
    target, status = dataset.with_suffix(".parquet"), archive_status(dataset)
    print(f"  {status.units:,} units, {status.failed:,} failed, {status.repeats:,} done twice", flush=True)
    command = [sys.executable, "-m", "runtime", "--merge", dataset, "-o", target, "--quiet"]
    ended = check_end(subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True), 1)
    row_ids = pq.read_table(target, columns=["row_id"])["row_id"]
    promise(len(row_ids) == len(row_ids.unique()), f"merged in {ended.seconds:.0f} s: {len(row_ids):,} rows, each once")
    promise(filecmp.cmp(target, plain, shallow=False), "byte for byte the file of a plain run")
    target.unlink()


def finish(source: Path, model: Path, dataset: Path) -> None:
    """Does what is left, undisturbed; promises that memory does not grow meanwhile."""
    before, seen = _committed(dataset), list[tuple[int, Usage]]()
    process = start_shard(source, model, dataset)

    def look() -> None:
        if (committed := _committed(dataset) - before) and (used := usage(process.pid)):
            seen.append((committed, used))

    with UsageMonitor(process.pid, look):
        ended = check_end(process, 1)
    early = next(used for committed, used in seen if committed >= EARLY * seen[-1][0])
    late = seen[-1][1]
    print(f"  what was left takes {ended.seconds:.0f} s", flush=True)
    growth = late.rss - early.rss
    promise(growth < MOST_GROWTH, f"{mib(early.rss)} after a fifth of these rows, {mib(late.rss)} at the end")
    promise(late.files - early.files <= MOST_FILES, f"{early.files}, then {late.files} open files")


def compare(folder: Path, model: Path) -> None:
    """Times units beside a plain run, in turns. With a model that is this small, much of both is decoding."""
    source, taken = folder / "long", dict[str, list[Ended]](plain=[], units=[])
    source.mkdir()
    for i in range(COMPARED):
        os.link(folder / "contents" / "long.wav", source / f"{i:02d}.wav")
    for number in range(PAIRS):
        target, dataset = folder / f"{number}.parquet", folder / f"units{number}"
        check_end(perch_run(source, model, dataset, "--dataset", "--plan"), 0)
        for name in sorted(taken, reverse=bool(number % 2)):
            out, options = (target, ()) if name == "plain" else (dataset, ("--dataset", "--shard", "1/1"))
            taken[name].append(check_end(perch_run(source, model, out, *options), 0))
    seconds = {name: median(ended.seconds for ended in runs) for name, runs in taken.items()}
    cpu_s = {name: median(ended.cpu_s for ended in runs) for name, runs in taken.items()}
    ratio = seconds["units"] / seconds["plain"]
    promise(
        ratio <= MOST_OVERHEAD,
        f"{COMPARED} recordings of {LONG_S // 60} min in units take {ratio:.3f} times as long as plain "
        f"({seconds['units']:.1f} and {seconds['plain']:.1f} s; processor time {cpu_s['units'] / cpu_s['plain']:.3f} "
        f"times; medians of {PAIRS} runs each, planning apart)",
    )


def _committed(dataset: Path) -> int:
    return sum(path.stat().st_size for path in (dataset / "rows").glob("*.parquet"))
