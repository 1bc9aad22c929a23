"""What ONNX Runtime's errors say, in one clause for people, and what to do about those of a GPU."""

from __future__ import annotations

import re

import onnxruntime as ort

from runtime.errors import first_line

MOST = 300
SOURCE = re.compile(r"/\S+\.(?:cc|h):\d+ (?:.*provider_options_utils\.h:\d+ \w+ |.*?\) (?=[A-Z]))")
UNKNOWN_OPTION = re.compile(r'Unknown provider option: "(\w+)"')
NUMBER = re.compile(r"Invalid device ID: (\d+), must be between 0 \(inclusive\) and (\d+)")
FAILURE = re.compile(r"((?:CUDA|CUBLAS|CUDNN|CUDNN_FE) failure -?\d+): ([^;\n]+?) ?; GPU=")
MISSING = re.compile(r"(\S+): cannot open shared object file")
OUT_OF_MEMORY = (
    "failed to allocate",
    "out of memory",
    "out_of_memory",
    "bad_alloc",
    "alloc_failed",
    "allocation_failed",
)
"""What ONNX Runtime, CUDA, cuBLAS and cuDNN say of it, in lower case."""
LACKING = ("not found", "could not find", "cannot open shared object file", "cpu build")
"""What is said of libraries that are not installed, in lower case."""
DRIVER = ("libcuda.so", "nvcuda.dll")
INSTALL_CUDA = "install the CUDA libraries with `pip install '.[cuda]'` in the project's folder, or use device='cpu'"
SEE_DRIVER = "see what `nvidia-smi` says of the GPU and its driver, or use device='cpu'"
FREE_MEMORY = "free some of its memory, or use device='cpu'"
UPGRADE = "upgrade onnxruntime-gpu, or use device='cpu'"


def message_of(error: Exception) -> str:
    """What an error says, without the lines of ONNX Runtime's source that come before it."""
    text = str(error)
    if match := UNKNOWN_OPTION.search(text):
        return f"onnxruntime {ort.__version__} does not know the option {match.group(1)} of its CUDA provider"
    if match := NUMBER.search(text):
        number, count = map(int, match.groups())
        return f"there is no GPU {number}; {'there is none at all' if not count else f'the last is cuda:{count - 1}'}"
    if match := FAILURE.search(text):
        return f"{match.group(2)[:MOST]} ({match.group(1)})"
    return SOURCE.sub("", first_line(error))[:MOST]


def lacks(error: OSError) -> str:
    """What is missing where a library cannot be loaded."""
    match = MISSING.match(str(error))
    if match is None:
        return first_line(error)
    name = match.group(1)
    return f"there is no NVIDIA driver ({name}: not found)" if name.startswith(DRIVER) else f"{name}: not found"


def unusable(device: str, why: str) -> str:
    """The sentence that says why a device cannot be used, and what to do."""
    return f"device='{device}' cannot be used: {why}; {remedy(why)}"


def remedy(why: str) -> str:
    """What to do about the reason for which a GPU cannot be used."""
    if "does not know the option" in why:
        return UPGRADE
    said = why.lower()
    if any(words in said for words in OUT_OF_MEMORY):
        return FREE_MEMORY
    failed = " failure " in said  # CUDA's "named symbol not found" is no library that is missing
    missing = not failed and "driver" not in said and any(words in said for words in LACKING)
    return INSTALL_CUDA if missing else SEE_DRIVER
