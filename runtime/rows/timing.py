"""How long a run took, and how fast it was."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """How long a run took, how fast it was, and with what."""

    elapsed_s: float
    """Seconds from the call to the result."""
    start_up_s: float
    """Seconds of that until the first worker was ready."""
    windows: int
    """How many windows were scored."""
    rows: int
    """How many rows they made: fewer than windows if `pool` or `shifts` were asked for."""
    windows_per_s: float
    """Windows a second, after start-up."""
    times_real_time: float
    """Seconds of audio a second, after start-up."""
    device: str
    """Where windows were scored: "cpu" or "cuda:N"."""
    tf32: bool
    """Whether float32 could be rounded to TF32 there."""
    workers: int
    """Number of processes."""
    threads: int
    """Threads of each process."""
    batch_size: int
    """Windows scored at once."""
    setup: str
    """Why these workers, threads and batch size were used."""
