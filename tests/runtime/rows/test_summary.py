"""What a summary says of how rows were computed."""

from __future__ import annotations

from dataclasses import replace

from runtime.rows.summary import RunSummary
from runtime.rows.timing import Timing

TIMING = Timing(
    elapsed_s=3.0,
    start_up_s=1.0,
    windows=8,
    rows=8,
    windows_per_s=4.0,
    times_real_time=20.0,
    device="cuda:0",
    tf32=False,
    workers=2,
    threads=1,
    batch_size=128,
    setup="as asked",
)


def test_tf32_is_said_beside_the_device() -> None:
    assert "3.0 s on cuda:0, 1.0 s of it start-up" in RunSummary(timing=TIMING, recordings=1).summary()
    assert "3.0 s on cuda:0 in TF32, 1.0 s" in RunSummary(timing=replace(TIMING, tf32=True), recordings=1).summary()
