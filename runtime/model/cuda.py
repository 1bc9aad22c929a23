"""Whether CUDA can really be used here, and if not, why."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from runtime.model.messages import lacks, message_of

PROVIDER = "CUDAExecutionProvider"
LIBRARIES = ("libonnxruntime_providers_cuda.so", "onnxruntime_providers_cuda.dll")
WINDOW_BYTES, MOST_BATCH = 48 * 2**20, 128
"""Memory that one window is assumed to need on a GPU (three times that of its activations on the CPU), and the
largest useful batch: larger ones are no faster."""
NEEDED = ("cublasLt", "cublas", "nvrtc", "curand", "cufft", "cudart", "cudnn")
"""The libraries that ONNX Runtime's CUDA provider loads, each after those that it needs itself."""
TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"
ASK = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from runtime.model.cuda import free_bytes, loading
with loading():
    print(free_bytes(sys.argv[2]))
"""
ASK_S = 60.0
CONVOLUTION = (
    b'\x08\x08:k\n\x0f\n\x01x\n\x01w\x12\x01y"\x04Conv\x12\x01gZ\x1b\n\x01x\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01'
    b"\n\x02\x08\x01\n\x02\x08\x08\n\x02\x08\x08Z\x1b\n\x01w\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x03"
    b"\n\x02\x08\x03b\x1b\n\x01y\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x06\n\x02\x08\x06B\x04\n\x00\x10\r"
)
"""An ONNX file with one convolution of `x`, 8 by 8, with `w`, 3 by 3: to try a device, and cuDNN, which is loaded for
the first convolution. (`onnx`, which could write it, is no dependency.)"""


Search = Literal["HEURISTIC", "EXHAUSTIVE"]


@dataclass(frozen=True)
class CudaOptions:
    """How ONNX Runtime's CUDA provider computes. The defaults are those of a run.

    Names and values are those of the provider's documentation
    (https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html). What the provider does with them was
    read in its source, of which the numbers of pull requests to microsoft/onnxruntime are given here. Left at their
    defaults are `gpu_mem_limit` (all memory), `do_copy_in_default_stream` (1; 0 can race) and
    `cudnn_conv_use_max_workspace` (since 1.20 a convolution takes the workspace that cuDNN's plan names, #19470).
    """

    tf32: bool = False
    """Whether products and convolutions of float32 may round their factors to TF32's 10 bits of mantissa (#19357,
    #19426). ONNX Runtime's own default is to do so."""
    conv_search: Search = "HEURISTIC"
    """How cuDNN chooses the plan of a convolution. Since 1.20 nothing is timed: HEURISTIC asks cuDNN's heuristic A, and
    EXHAUSTIVE its heuristic B, which takes longer to answer (#19470, #22705). NVIDIA recommends A first. The third
    value, DEFAULT, takes what cuDNN keeps for emergencies and is up to 50 times as slow."""
    nhwc: bool = False
    """Whether the provider moves channels last, as tensor cores want them (#17200). Float32 without TF32 does not use
    tensor cores, and a convolution for which cuDNN has no other plan is computed in TF32 all the same."""
    graph: bool = False
    """Whether a CUDA graph replays the launches of a batch (#10859). It needs buffers that stay where they are, see
    `Binding`, and one call at a time; capturing fails where a node is left to the CPU."""
    fuse_bias: bool = False
    """Whether cuDNN adds a convolution's bias in the same kernel (#19470). Here, too, a convolution without such a plan
    in exact float32 is computed in TF32."""

    memory_pattern: bool = False
    """Whether the second run of a shape takes one block for all tensors (an option of the session, not the provider).
    Those of the first run stay in the arena, which cannot join them to such a block: memory would be taken twice."""

    def provider(self, device: str) -> tuple[str, dict[str, str]]:
        """The provider's name and options for "cuda:N", as `InferenceSession` takes them."""
        return PROVIDER, {
            "device_id": device.removeprefix("cuda:"),
            "use_tf32": _flag(self.tf32),
            "cudnn_conv_algo_search": self.conv_search,
            "prefer_nhwc": _flag(self.nhwc),
            "enable_cuda_graph": _flag(self.graph),
            "fuse_conv_bias": _flag(self.fuse_bias),
            # The other strategy, kNextPowerOfTwo, may take twice the memory that is needed. A run repeats one shape, so
            # that memory grows in the first call alone.
            "arena_extend_strategy": "kSameAsRequested",
        }


def _flag(value: bool) -> str:
    return "1" if value else "0"


def gpus() -> list[str]:
    """Names of the GPUs that a driver lists, read without loading CUDA, which takes seconds."""
    described = [path.read_text() for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))]
    matches = [re.search(r"Model:\s*(.+)", text) for text in described]
    if matches:
        return [match.group(1).strip() if match else "unnamed GPU" for match in matches]
    present = any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/dxg"))
    return ["unnamed GPU"] if present else []


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Loads CUDA and cuDNN from their wheels, where the system's loader does not look, so that a session can be made.

    Messages that ONNX Runtime prints about missing libraries are dropped; see `missing_library`.
    """
    ort.set_default_logger_severity(4)
    try:
        if hasattr(ort, "preload_dlls"):
            with contextlib.redirect_stdout(io.StringIO()):
                ort.preload_dlls()
        _load_wheels()
        yield
    finally:
        ort.set_default_logger_severity(2)  # ONNX Runtime's default; it has no getter


def _load_wheels() -> None:
    """Loads what `preload_dlls` did not find: it looks beside `onnxruntime` alone, not on the rest of Python's path."""
    for stem in NEEDED:
        for folder in sys.path:
            for path in sorted(Path(folder or ".").glob(f"nvidia/*/lib/lib{stem}.so.*[0-9]")):
                if not _loads(path.name):
                    _loads(str(path))


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
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


def pin(array: NDArray[np.float32]) -> bool:
    """Pins memory (`cudaHostRegister`), from which a GPU then copies faster; returns whether that worked."""
    return call("cudaHostRegister", ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes), 0) == 0


def unpin(array: NDArray[np.float32]) -> None:
    """Undoes `pin`, before the memory is freed: what is there next would pass for pinned."""
    call("cudaHostUnregister", ctypes.c_void_p(array.ctypes.data))


def sleep_while_waiting(device: str) -> bool:
    """Makes threads of this process sleep while they wait for "cuda:N" (`cudaDeviceScheduleBlockingSync`).

    By default each of them spins, and takes a core from the decoders. Call it once a session has loaded CUDA. Returns
    whether that worked.
    """
    return _chosen(device) and call("cudaSetDeviceFlags", ctypes.c_uint(4)) == 0


def free_bytes(device: str) -> int | None:
    """Free memory of "cuda:N"; None where it is unknown."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    known = _chosen(device) and call("cudaMemGetInfo", ctypes.byref(free), ctypes.byref(total)) == 0
    return free.value if known else None


def _chosen(device: str) -> bool:
    return call("cudaSetDevice", int(device.removeprefix("cuda:"))) == 0


def batch_size(device: str, models: int = 1) -> int:
    """A batch that fits in half of the free memory for each of so many models; 32 where that is unknown.

    A process of its own asks the card: whoever asks holds some hundred MB of it until the process ends.
    """
    command = [sys.executable, "-P", "-c", ASK, json.dumps(sys.path), device]
    try:
        asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_S, check=True)
        free = int(asked.stdout.split()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 32
    room = free // 2 // models // WINDOW_BYTES
    return max(1, min(MOST_BATCH, 1 << max(0, room.bit_length() - 1)))


def library() -> ctypes.CDLL | None:
    """CUDA's runtime library, which ONNX Runtime has loaded; None where there is none."""
    for name in ("libcudart.so.13", "libcudart.so.12", "cudart64_13.dll", "cudart64_12.dll"):
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    return None


def call(name: str, *arguments: object) -> int | None:
    """Calls a function of CUDA's runtime library; returns its code, which is 0 if it worked, None without a library.

    CUDA keeps the error of a call for the thread until it is asked for it. ONNX Runtime asks after each kernel, and
    would take an error that was left there for the kernel's.
    """
    runtime = library()
    if runtime is None:
        return None
    code = int(getattr(runtime, name)(*arguments))
    if code != 0:
        runtime.cudaGetLastError()
    return code
