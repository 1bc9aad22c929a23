"""How many windows a GPU gets at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.workers.setup import gpu_batch


@pytest.mark.parametrize(("free", "batch"), [(80 * 2**30, 128), (2**30, 8), (2**20, 1), (None, 32)])
def test_batch_fits_into_the_memory_that_another_process_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int | None, batch: int
) -> None:
    package = tmp_path / "runtime" / "model"
    package.mkdir(parents=True)
    (package / "cuda.py").write_text("import contextlib\nloading = contextlib.nullcontext\n")
    (package / "cuda_calls.py").write_text(f"def free_bytes(device):\n    return {free}\n")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert gpu_batch("cuda:0", 1) == batch
