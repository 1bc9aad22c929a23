"""What a card allows at best for a file in each precision."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.cuda.step import Context
from benchmarks.cuda.steps import ceiling
from benchmarks.cuda.steps.precisions import file_for
from benchmarks.cuda.steps.work import float16_nodes, work_of


def test_what_a_float16_file_computes_in_float32_counts_as_that(model: Path, tmp_path: Path) -> None:
    context = Context({"tiny": model}, "cpu", None, None, True, time.monotonic() + 3600, tmp_path, {}, tf32=False)
    found = {
        "copy": {"bytes_per_s": 1e30},
        "product float32": {"flop_per_s": 1e9},
        "product float16": {"flop_per_s": 1e30},
    }
    result = ceiling._work(context, "tiny", found)
    half = float16_nodes(model, file_for(context, "tiny", "float16"))
    exact = [node for node in work_of(model) if node.name not in half]
    flop = sum(node.flop for node in exact)
    assert half and 0 < flop < result["flop"]  # the spectrogram's products are exact
    assert result["float16"]["arithmetic_alone"] == pytest.approx(1e9 / flop)
    assert result["float16"]["layer_by_layer"]["8"] == pytest.approx(1e9 / flop)
    assert result["float32"]["arithmetic_alone"] == pytest.approx(1e9 / result["flop"])
