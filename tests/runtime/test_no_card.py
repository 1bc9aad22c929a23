"""ONNX Runtime's own CUDA provider, on libraries that compute nothing: all of the way to a card but the card."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convert.conversion import convert
from tests.support import no_card
from tests.support.broken import edited
from tests.support.rows_files import npz_arrays
from tests.support.sharing import Shared

ROOT = Path(__file__).parents[2]
EVERY_WAY = """
import sys
from pathlib import Path
import numpy as np
from runtime.doctor import nodes_on_cpu
from runtime.model.cuda_options import CudaOptions
from runtime.model.session import Session

path = Path(sys.argv[1])
options = [{}, {"graph": True}, {"nhwc": True}, {"fuse_bias": True}, {"conv_search": "EXHAUSTIVE"}]
for chosen in (CudaOptions(**each) for each in options):
    session = Session(path, "cuda:0", options=chosen)
    artifact = session.artifact
    windows = np.zeros((3, artifact.window_samples), np.float32)
    for outputs in (["embedding"], ["label", "embedding"], list(artifact.heads)):
        for size in (1, 2):
            found = session.run(windows, outputs, size)
            assert {name: values.shape for name, values in found.items()} == {
                name: (3, *artifact.heads[name].shape) for name in outputs
            }
print(list(nodes_on_cpu(path, "cuda:0", artifact.window_samples)))
"""
ALL_MEMORY = """
import gc
import sys
import numpy as np
from runtime.model import cuda_calls
from runtime.model.session import Session

for size in (8, 2):
    session = Session(sys.argv[1], "cuda:0")
    session.run(np.zeros((size, session.artifact.window_samples), np.float32), list(session.artifact.heads), size)
    used = cuda_calls.free_bytes("cuda:0")
    del session
    gc.collect()
    print(cuda_calls.free_bytes("cuda:0") - used > 2**20, cuda_calls.free_bytes("cuda:0"))
"""
Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Python:
    """Runs Python with these libraries; keywords are environment variables."""
    if (why := no_card.lacking()) is not None:
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("no_card")
    no_card.make_libraries(folder)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(ROOT)}

    def run(*arguments: object, **more: object) -> subprocess.CompletedProcess[str]:
        settings = {name: str(value) for name, value in more.items()}
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, env=environment | settings, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def cuda_model(shared: Shared, saved_model: Path) -> Path:
    return shared.made("perch.cuda.onnx", lambda path: convert(saved_model, path, device="cuda", progress=False))


@pytest.fixture(scope="module")
def unchecked(shared: Shared, cuda_model: Path) -> Path:
    """A file without a golden window, whose outputs no run questions."""
    return shared.made("unchecked.onnx", lambda path: edited(cuda_model, path, lambda proto: None, {}))


def test_every_node_output_batch_and_option_is_taken(python: Python, cuda_model: Path) -> None:
    ended = python("-c", EVERY_WAY, cuda_model)
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), ended.stderr


def test_a_session_that_is_closed_leaves_nothing_on_the_card(python: Python, cuda_model: Path) -> None:
    ended = python("-c", ALL_MEMORY, cuda_model, NO_CARD_BYTES=2**30)
    assert (ended.returncode, ended.stdout) == (0, f"True {2**30}\n" * 2), ended.stderr


def scored(python: Python, recordings: Path, model: Path, target: Path, **more: object) -> str:
    """What a run on the card said; its rows are those of the recordings."""
    words = [recordings, "--model", model, "-o", target, "--device", "cuda", "--batch-size", 8, "--workers", 2]
    ended = python("-m", "runtime", *words, **more)
    assert ended.returncode == 0, ended.stderr
    rows = npz_arrays(target)
    assert rows["row_ids"].tolist() == ["a_5", "a_10", "a_15", "a_20", "b_5", "b_10", "b_15", "c_5", "c_10"]
    assert np.isfinite(rows["label"]).all() and set(rows["status"].tolist()) == {"scored"}
    return ended.stderr


def test_a_run_goes_from_files_to_rows(python: Python, recordings: Path, unchecked: Path, tmp_path: Path) -> None:
    assert "memory" not in scored(python, recordings, unchecked, tmp_path / "rows.npz")


def test_a_small_card_gets_smaller_batches(python: Python, recordings: Path, unchecked: Path, tmp_path: Path) -> None:
    said = scored(python, recordings, unchecked, tmp_path / "rows.npz", NO_CARD_BYTES=16 * 2**20)
    assert "memory ran out; going on with batches of 4 windows instead of 8" in said


def test_a_full_card_of_which_cudnn_tells_gets_smaller_batches(
    python: Python, recordings: Path, unchecked: Path, tmp_path: Path
) -> None:
    full = {"NO_CARD_BYTES": 256 * 2**20, "NO_CARD_PLAN": 3}
    said = scored(python, recordings, unchecked, tmp_path / "rows.npz", **full)
    assert "memory ran out; going on with batches of 4 windows instead of 8" in said


def test_an_error_of_cudnn_is_one_clause(python: Python, recordings: Path, unchecked: Path, tmp_path: Path) -> None:
    words = [recordings, "--model", unchecked, "-o", tmp_path / "rows.npz", "--device", "cuda"]
    ended = python("-m", "runtime", *words, NO_CARD_PLAN=3)
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 2 and "CUDNN_BACKEND_API_FAILED (CUDNN_FE failure 11)" in line


def test_a_card_that_computes_nothing_is_refused(
    python: Python, recordings: Path, cuda_model: Path, tmp_path: Path
) -> None:
    ended = python("-m", "runtime", recordings, "--model", cuda_model, "-o", tmp_path / "rows.npz", "--device", "cuda")
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 2 and line.startswith("perch-run: cuda:0 computes wrongly with onnxruntime ")
    assert not list(tmp_path.iterdir())
