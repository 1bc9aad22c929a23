"""A card that another process fills, with a stand-in for CUDA's runtime."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cuda.steps.filler import LEAST, fill, filled
from benchmarks.measuring.usage import alive, children
from runtime.errors import DeviceError
from runtime.model import cuda_calls
from tests.support.cuda_card import Card
from tests.support.processes import until

GIB = 2**30
FILLER = f"""
from benchmarks.cuda.steps import filler
from runtime.model import cuda_calls
from tests.support.cuda_card import Card
card = Card([{40 * GIB}])
cuda_calls.library = lambda: card
main = filler.main
"""
PARENT = f"""
import time
from benchmarks.cuda.steps import filler
filler.MODULE = "stand_in"
with filler.filled("cuda:0", {GIB}) as free:
    print(free, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("pieces", [[80 * GIB], [50 * GIB, 20 * GIB, 3 * GIB], [GIB // 2]])
def test_as_much_is_left_as_was_asked_for(pieces: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    card, before = Card(pieces), sum(pieces)
    monkeypatch.setattr(cuda_calls, "library", lambda: card)
    left = fill("cuda:0", GIB)
    assert left == sum(card.pieces)
    assert left == before if before < GIB else GIB <= left < GIB + LEAST


def test_a_card_that_is_not_there_cannot_be_filled() -> None:
    with pytest.raises(DeviceError, match="CUDA"), filled("cuda:99", 2**62):
        raise AssertionError


def test_the_process_that_holds_the_memory_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "stand_in.py").write_text(FILLER)
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    ) as parent:
        assert parent.stdout is not None
        assert GIB <= int(parent.stdout.readline()) < GIB + LEAST
        (holder,) = children(parent.pid)
        parent.kill()
    until(lambda: not alive(holder))
