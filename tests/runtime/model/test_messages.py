"""Errors of ONNX Runtime in words for people. The texts were recorded with onnxruntime-gpu 1.31.1, CUDA 13 and cuDNN 9,
with a stub in the place of the driver.
"""

from __future__ import annotations

import pytest

from runtime.model.messages import lacks, message_of, remedy, unusable

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
        (
            "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=vm",
            "an illegal memory access was encountered (CUDA failure 700)",
            "nvidia-smi",
        ),
        ("CUDA failure 500: named symbol not found ; GPU=0", "named symbol not found", "nvidia-smi"),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0", "CUBLAS_STATUS_ALLOC_FAILED", "free some"),
        ("CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED ; GPU=0", "CUDNN_STATUS_EXECUTION_FAILED", "nvidia-smi"),
        ("something new", "something new", "nvidia-smi"),
    ],
)
def test_sentence_says_why_a_gpu_cannot_be_used_and_what_to_do(text: str, said: str, remedy: str) -> None:
    sentence = unusable("cuda:3", message_of(RuntimeError(PARSED + text)))
    assert sentence.startswith("device='cuda:3' cannot be used: ") and "\n" not in sentence
    assert said in sentence and remedy in sentence


@pytest.mark.parametrize(
    ("why", "wanted"),
    [
        ("libcublasLt.so.13: not found", "pip install"),
        ("Could not find module 'onnxruntime_providers_cuda.dll' (or one of its dependencies)", "pip install"),
        ("this is a CPU build of onnxruntime", "pip install"),
        ("there is no NVIDIA driver (libcuda.so.1: not found)", "nvidia-smi"),
        ("it computes a convolution wrongly", "nvidia-smi"),
        ("ONNX Runtime gives no reason", "nvidia-smi"),
    ],
)
def test_libraries_are_to_be_installed_only_where_they_are_missing(why: str, wanted: str) -> None:
    assert wanted in remedy(why)


def test_missing_driver_is_not_taken_for_a_missing_package() -> None:
    text = "libcuda.so.1: cannot open shared object file: No such file or directory"
    assert lacks(OSError(text)) == "there is no NVIDIA driver (libcuda.so.1: not found)"
    assert lacks(OSError(text.replace("cuda", "cublas"))) == "libcublas.so.1: not found"


def test_source_lines_are_left_out() -> None:
    text = "/onnxruntime_src/onnxruntime/core/graph/model.cc:154 onnxruntime::Model::Model(int&&) Unsupported model IR"
    assert message_of(RuntimeError(text)) == "Unsupported model IR"
