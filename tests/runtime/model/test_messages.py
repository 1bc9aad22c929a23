"""Errors of ONNX Runtime in words for people. The texts were recorded with onnxruntime-gpu 1.31.1, CUDA 13 and cuDNN 9,
with a stub in the place of the driver.
"""

from __future__ import annotations

import pytest

from runtime.model.messages import lacks, message_of, unusable

PARSED = (
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider_info.cc:63 static onnxruntime::"
    "CUDAExecutionProviderInfo onnxruntime::CUDAExecutionProviderInfo::FromProviderOptions(const onnxruntime::"
    "ProviderOptions&) [ONNXRuntimeError] : 1 : FAIL : provider_options_utils.h:187 Parse "
)
NO_GPU = (
    'Failed to parse provider option "device_id": CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; '
    "hostname=vm ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider_info.cc ; line=70 ; "
    "expr=cudaGetDeviceCount(&num_devices); \n\n"
)


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        (NO_GPU, "no CUDA-capable device is detected (CUDA failure 100)", "nvidia-smi"),
        ('Unknown provider option: "use_tf32".', "does not know the option use_tf32 of its CUDA", "upgrade"),
        (
            'Failed to parse provider option "device_id": cuda_execution_provider_info.cc:71 operator() Invalid device '
            "ID: 3, must be between 0 (inclusive) and 1 (exclusive).",
            "there is no GPU 3; the last is cuda:0",
            "nvidia-smi",
        ),
        ("CUDA failure 2: out of memory ; GPU=0 ; hostname=vm", "out of memory (CUDA failure 2)", "free some"),
        ("something new", "something new", "pip install"),
    ],
)
def test_sentence_says_why_a_gpu_cannot_be_used_and_what_to_do(text: str, said: str, remedy: str) -> None:
    sentence = unusable("cuda:3", message_of(RuntimeError(PARSED + text)))
    assert sentence.startswith("device='cuda:3' cannot be used: ") and "\n" not in sentence
    assert said in sentence and remedy in sentence


def test_missing_driver_is_not_taken_for_a_missing_package() -> None:
    text = "libcuda.so.1: cannot open shared object file: No such file or directory"
    assert lacks(OSError(text)) == "there is no NVIDIA driver (libcuda.so.1: not found)"
    assert lacks(OSError(text.replace("cuda", "cublas"))) == "libcublas.so.1: not found"


def test_source_lines_are_left_out() -> None:
    text = "/onnxruntime_src/onnxruntime/core/graph/model.cc:154 onnxruntime::Model::Model(int&&) Unsupported model IR"
    assert message_of(RuntimeError(text)) == "Unsupported model IR"
