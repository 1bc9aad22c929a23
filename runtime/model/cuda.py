"""Whether CUDA can be used here, and if not, why."""

from __future__ import annotations

import contextlib
import ctypes
import io
import itertools
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from runtime.model.cuda_options import PROVIDER, CudaOptions
from runtime.model.messages import lacks, message_of

LIBRARIES = ("libonnxruntime_providers_cuda.so", "onnxruntime_providers_cuda.dll")
NEEDED = ("cublasLt", "cublas", "nvrtc", "curand", "cufft", "cudart", "cudnn")
"""The libraries that ONNX Runtime's CUDA provider loads, each after those that it needs itself."""
DRIVER_LISTS, DEVICES = Path("/proc/driver/nvidia/gpus"), Path("/dev")
TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"
CONVOLUTION = (
    b'\x08\x08:k\n\x0f\n\x01x\n\x01w\x12\x01y"\x04Conv\x12\x01gZ\x1b\n\x01x\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01'
    b"\n\x02\x08\x01\n\x02\x08\x08\n\x02\x08\x08Z\x1b\n\x01w\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x03"
    b"\n\x02\x08\x03b\x1b\n\x01y\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x06\n\x02\x08\x06B\x04\n\x00\x10\r"
)
"""An ONNX file with one convolution of `x`, 8 by 8, with `w`, 3 by 3: to try a device, and cuDNN, which is loaded for
the first convolution. (`onnx`, which could write it, is no dependency.)"""


def gpus() -> list[str]:
    """Names of the GPUs that a driver lists, read without loading CUDA, which takes seconds."""
    described = [path.read_text() for path in sorted(DRIVER_LISTS.glob("*/information"))]
    matches = [re.search(r"Model:\s*(.+)", text) for text in described]
    if matches:
        return [match.group(1).strip() if match else "unnamed GPU" for match in matches]
    devices = [*DEVICES.glob("nvidia[0-9]*"), *DEVICES.glob("dxg")]  # a container's only one may be nvidia3
    return ["unnamed GPU"] * len(devices)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Loads CUDA and cuDNN from their packages, where the system's loader does not look, so that a session can be made.

    Messages that ONNX Runtime prints about missing libraries are dropped; see `missing_library`.
    """
    ort.set_default_logger_severity(4)
    try:
        _load_packages(_of_the_same_cuda())
        if hasattr(ort, "preload_dlls"):
            with contextlib.redirect_stdout(io.StringIO()):
                ort.preload_dlls()
        _load_packages(sys.path)
        yield
    finally:
        ort.set_default_logger_severity(2)  # ONNX Runtime's default; it has no getter


def _of_the_same_cuda() -> list[str]:
    """The folders on Python's path with packages of the CUDA that ONNX Runtime was built for.

    `preload_dlls` looks beside `onnxruntime` alone, and then takes the system's. cuDNN is called the same for each
    version of CUDA: where the packages' CUDA is another, so may be their cuDNN.
    """
    major = str(getattr(ort, "cuda_version", "")).partition(".")[0] or "*"
    return [each for each in sys.path if any(Path(each).glob(f"nvidia/*/lib/libcudart.so.{major}"))]


def _load_packages(folders: Sequence[str]) -> None:
    """Loads the libraries from packages in these folders, unless a program has loaded them, as PyTorch does."""
    for stem, folder in itertools.product(NEEDED, folders):
        for path in sorted(Path(folder).glob(f"nvidia/*/lib/lib{stem}.so.*[0-9]")):
            if not _loads(path.name, os.RTLD_NOLOAD):
                _loads(str(path))


def _loads(name: str, mode: int = ctypes.DEFAULT_MODE) -> bool:
    try:
        ctypes.CDLL(name, mode)
    except OSError:
        return False
    return True


def forbid_tf32() -> None:
    """Keeps NVIDIA's libraries from rounding float32 to TF32 in this process. They must not be loaded yet.

    `use_tf32=0` alone is no promise: where cuDNN has no plan without tensor cores, ONNX Runtime silently takes one
    with TF32. It leaves that plan out of float16 as well, which needs tensor cores to be fast. NVIDIA documents the
    variable: 0 overrides whatever a program asks for, and float16 is not concerned.
    """
    os.environ[TF32_OVERRIDE] = "0"


def missing_library() -> str | None:
    """The library that ONNX Runtime's CUDA provider lacks, such as `libcublasLt.so.13: not found`; None if it has all.

    Call it only after a session fell back to the CPU, since ONNX Runtime itself must be the first to load a provider
    that works. It writes the reason for falling back to its log alone.
    """
    folder = Path(ort.__file__).parent / "capi"
    for path in (folder / name for name in LIBRARIES):
        if path.is_file():
            try:
                ctypes.CDLL(str(path))
            except OSError as error:
                return lacks(error)
    return None


def problem(device: str) -> str | None:
    """Why "cuda:N" cannot be used; None if it computes a convolution."""
    if PROVIDER not in ort.get_available_providers():
        return "this is a CPU build of onnxruntime"
    options = ort.SessionOptions()
    options.log_severity_level = 4
    providers = [CudaOptions().provider(device), "CPUExecutionProvider"]
    with loading():
        try:
            session = ort.InferenceSession(CONVOLUTION, options, providers=providers, enable_fallback=0)
            if PROVIDER not in session.get_providers():
                return missing_library() or "ONNX Runtime gives no reason"
            ones = {"x": np.ones((1, 1, 8, 8), np.float32), "w": np.ones((1, 1, 3, 3), np.float32)}
            (found,) = session.run(None, ones)
        except Exception as error:  # onnxruntime raises a class of its own for each status, and plain ones too
            return message_of(error)
    return None if np.allclose(found, 9) else "it computes a convolution wrongly"
