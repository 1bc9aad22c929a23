"""The options of the CUDA provider, as far as they can be tested without a GPU."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort
import pytest

from runtime.model.cuda import LIBRARIES, CudaOptions


def test_float32_is_strict_unless_asked_otherwise() -> None:
    name, options = CudaOptions().provider("cuda:3")
    assert name == "CUDAExecutionProvider"
    assert (options["device_id"], options["use_tf32"], options["enable_cuda_graph"]) == ("3", "0", "0")
    assert CudaOptions(tf32=True).provider("cuda:0")[1]["use_tf32"] == "1"


def test_provider_knows_every_option_and_value() -> None:
    libraries = [path for name in LIBRARIES if (path := Path(ort.__file__).parent / "capi" / name).is_file()]
    if not libraries:
        pytest.skip("this is a CPU build of onnxruntime")
    strings = libraries[0].read_bytes()
    options = CudaOptions(conv_search="EXHAUSTIVE").provider("cuda:0")[1] | CudaOptions().provider("cuda:0")[1]
    named = {*options, "HEURISTIC", "EXHAUSTIVE", options["arena_extend_strategy"]}
    assert {name for name in named if name.encode() not in strings} == set()
