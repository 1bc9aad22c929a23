"""Recordings far larger than memory should be: a day of FLAC, WAV files beyond 2^31 bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile
from numpy.typing import NDArray

from benchmarks.measuring.usage import MIB
from benchmarks.stress.promises import WORKERS, WatchedRun, mib, promise, watched_run
from convert import SAMPLE_RATE, WINDOW_SAMPLES
from convert.proof.synthetic import soundscape

DAY_S, DAY_RATE = 86_400, 48_000
MOST_MORE = 100 * MIB
"""How much more memory a process may take for a day than for a minute."""
LEAST_SHARE = 0.25
"""The least processor time of the other worker, as a share of the busiest one's."""
WAV_SECONDS = 23_440
"""3,000,320,000 bytes of 16-bit stereo at 32 kHz."""
BURSTS = (10, 2_000, WAV_SECONDS // 5 - 2)
"""The windows that are not silent: at the start, in the middle, and beyond 2^31 bytes."""
SAME_WITHIN = 1e-4


def day(folder: Path, model: Path) -> None:
    """A day in one FLAC file needs no more memory than a minute, and all workers take part."""
    minute_flac, day_flac = write_quiet(folder / "minute.flac", 60), write_quiet(folder / "day.flac", DAY_S)
    print(f"  {day_flac.name}: {DAY_S // 3600} h at {DAY_RATE // 1000} kHz, {mib(day_flac.stat().st_size)}", flush=True)
    few = watched_run(minute_flac, model, folder / "minute.parquet")
    many = watched_run(day_flac, model, folder / "day.parquet")
    all_scored(folder / "day.parquet", DAY_S // 5)
    print(f"  {many.seconds:.0f} s, {DAY_S / many.seconds:.0f} times real time", flush=True)
    no_more_memory(few, many)
    shares = sorted(worker.cpu_s for worker in many.workers)
    promise(len(shares) == WORKERS, f"{len(shares)} workers took part")
    promise(
        shares[0] > LEAST_SHARE * shares[-1],
        f"with {', '.join(f'{share:.0f}' for share in shares)} s of processor time",
    )


def wav(folder: Path, model: Path) -> None:
    """WAV and RF64 files of 3 GB are read to their end, and samples beyond 2^31 bytes are correct."""
    for form in ("WAV", "RF64"):
        path, target = folder / f"{form}.wav", folder / f"{form}.parquet"
        write_sparse(path, form)
        print(f"  {form}: {path.stat().st_size:,} bytes", flush=True)
        run = watched_run(path, model, target)
        embeddings = all_scored(target, WAV_SECONDS // 5)
        print(f"  {run.seconds:.0f} s, parent {mib(run.parent.peak_rss)}", flush=True)
        bursts, silence = embeddings[list(BURSTS)], embeddings[0]
        error = float(np.abs(bursts - bursts[0]).max() / np.abs(bursts[0]).max())
        promise(error < SAME_WITHIN, f"the same sound has the same embedding at windows {BURSTS} (error {error:.1e})")
        promise(bool(np.abs(bursts[-1] - silence).max() > SAME_WITHIN), "and it is not that of silence")
        path.unlink()


def write_quiet(path: Path, seconds: int) -> Path:
    """Writes a quiet night at 48 kHz: one second in ten has faint noise, the others are digital silence."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", DAY_RATE, 1, subtype="PCM_16") as file:
        for second in range(seconds):
            block = np.zeros(DAY_RATE, np.int16)
            if second % 10 == 3:
                block = rng.integers(-2, 3, DAY_RATE, dtype=np.int16)
            file.write(block)
    return path


def write_sparse(path: Path, form: str) -> None:
    """Writes a stereo file that is silent but for the windows in `BURSTS`, and so sparse on disk."""
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 2, subtype="PCM_16", format=form) as file:
        burst = np.repeat((soundscape(5, 5.0) * 32_767).astype(np.int16)[:, None], 2, axis=1)
        for window in BURSTS:
            file.seek(window * WINDOW_SAMPLES)
            file.write(burst)
        file.seek((WAV_SECONDS // 5 - 1) * WINDOW_SAMPLES)
        file.write(np.zeros((WINDOW_SAMPLES, 2), np.int16))


def all_scored(target: Path, rows: int) -> NDArray[np.float32]:
    """The embeddings of a run; promises that all of its rows are scored."""
    table = pq.read_table(target)
    scored = table["status"].to_pylist().count("scored")
    promise(len(table) == scored == rows, f"{scored:,} of {len(table):,} rows scored, {rows:,} expected")
    embedding = table["embedding"].combine_chunks()
    return np.asarray(embedding.flatten(), np.float32).reshape(rows, -1)


def no_more_memory(few: WatchedRun, many: WatchedRun) -> None:
    """Promises that the processes of a long run use little more memory than those of a short one."""
    least = max(worker.peak_rss for worker in few.workers)
    for name, before, after in (
        ("parent", few.parent.peak_rss, many.parent.peak_rss),
        *((f"worker {i}", least, worker.peak_rss) for i, worker in enumerate(many.workers, start=1)),
    ):
        promise(after - before < MOST_MORE, f"{name}: at most {mib(after)}, {mib(before)} for a minute")
