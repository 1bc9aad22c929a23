"""How long a run took, and how fast it was."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """How long a run took, how fast it was, and with what.

    `elapsed_s` is from the call to the result, `start_up_s` of it until the first worker was ready. `windows` is how
    many were scored, `windows_per_s` and `times_real_time` how fast after start-up. `device` is "cpu" or "cuda:N";
    `setup` says why these numbers of `workers`, `threads` and windows a batch were used.
    """

    elapsed_s: float
    start_up_s: float
    windows: int
    windows_per_s: float
    times_real_time: float
    device: str
    workers: int
    threads: int
    batch_size: int
    setup: str
