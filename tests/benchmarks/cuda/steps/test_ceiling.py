"""Copies from and to the host, with stand-ins for pinning."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from numpy.typing import NDArray

from benchmarks.cuda.step import Context
from benchmarks.cuda.steps import ceiling
from runtime.model import cuda_calls


@pytest.mark.parametrize("can_pin", [True, False])
def test_memory_is_pinned_for_the_copy_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_pin: bool) -> None:
    pinned: list[int] = []

    def pin(array: NDArray[object]) -> bool:
        if can_pin:
            pinned.append(array.ctypes.data)
        return can_pin

    monkeypatch.setattr(cuda_calls, "pin", pin)
    monkeypatch.setattr(cuda_calls, "unpin", lambda array: pinned.remove(array.ctypes.data))
    monkeypatch.setattr(ceiling, "UPLOADED", 4096)
    there = Context({}, "cpu:0", None, None, True, time.monotonic() + 300, tmp_path, {})
    found = ceiling._host(there)
    (line,) = ceiling.lines({"trials": {"host": found}})
    assert pinned == []
    assert ("up_pinned" in found) == can_pin == ("not pinned" not in line)
