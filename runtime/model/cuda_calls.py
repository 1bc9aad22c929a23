"""Calls to CUDA's runtime library, which ONNX Runtime has loaded."""

from __future__ import annotations

import contextlib
import ctypes

import numpy as np
from numpy.typing import NDArray

OUT_OF_MEMORY = 2
"""`cudaErrorMemoryAllocation`."""
TO_DEVICE, TO_HOST = 1, 2
"""`cudaMemcpyHostToDevice`, `cudaMemcpyDeviceToHost`."""


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


def allocate(size: int, device: str) -> int:
    """The address of so many bytes of memory of "cuda:N".

    Raises:
        RuntimeError: there is no room, or the GPU failed.
    """
    address = ctypes.c_void_p()
    _checked("cudaSetDevice", _number(device))
    _checked("cudaMalloc", ctypes.byref(address), ctypes.c_size_t(max(size, 1)))
    return address.value or 0


def free(address: int) -> None:
    """Frees what `allocate` gave."""
    call("cudaFree", ctypes.c_void_p(address))


def copy(target: int, source: int, size: int, kind: int, device: str) -> None:
    """Copies bytes `TO_DEVICE` or `TO_HOST` of "cuda:N", and returns when they are there.

    A copy from memory that is not pinned may return before, and the streams of ONNX Runtime do not wait for it.

    Raises:
        RuntimeError: the GPU failed, perhaps before, and says so now.
    """
    _checked("cudaSetDevice", _number(device))
    _checked("cudaMemcpy", ctypes.c_void_p(target), ctypes.c_void_p(source), ctypes.c_size_t(size), kind)
    _checked("cudaStreamSynchronize", ctypes.c_void_p(None))


def _checked(name: str, *arguments: object) -> None:
    """Calls a function. Raises RuntimeError if it fails."""
    code = call(name, *arguments)
    if code != 0:
        why = "out of memory" if code == OUT_OF_MEMORY else f"{name} failed"
        raise RuntimeError(f"CUDA failure {code}: {why}" if code is not None else "CUDA's runtime library is gone")


def _chosen(device: str) -> bool:
    return call("cudaSetDevice", _number(device)) == 0


def _number(device: str) -> int:
    return int(device.removeprefix("cuda:"))


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
