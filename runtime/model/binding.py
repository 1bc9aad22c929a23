"""A batch's buffers on a device, bound to a session once: a call then copies windows in and outputs out, no more.

Otherwise ONNX Runtime allocates the input and the outputs anew for every call.
"""

from __future__ import annotations

import contextlib
import math
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from runtime.model import cuda_calls
from runtime.model.schema import HEAD_ROWS, INPUTS


@dataclass(frozen=True)
class Buffers:
    """The shapes of what a call takes and gives.

    Attributes:
        windows: the shape of the input, `(batch, samples)`.
        outputs: the shapes of the outputs that are computed, by name, batch included.
        head_rows: see `runtime.model.schema`; None leaves the graph's default.
    """

    windows: tuple[int, int]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]
    head_rows: int | None = None


class HostArray:
    """float32 values in memory of the host, to be bound like a `DeviceArray`."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._values = np.empty(shape, np.float32)
        self.pointer = self._values.ctypes.data

    def write(self, values: NDArray[np.float32]) -> None:
        """Copies values of the same shape into it."""
        self._values[...] = values

    def read(self) -> NDArray[np.float32]:
        """A copy."""
        return self._values.copy()


class DeviceArray:
    """float32 values in memory of a GPU, which is free again as soon as nobody refers to this.

    `OrtValue` would take it from an arena that the process keeps to its end.

    Raises:
        RuntimeError: there is no room, or the GPU failed.
    """

    def __init__(self, shape: tuple[int, ...], device: str) -> None:
        self._shape, self._device = shape, device
        self._bytes = math.prod(shape) * np.dtype(np.float32).itemsize
        self.pointer = cuda_calls.allocate(self._bytes, device)
        weakref.finalize(self, cuda_calls.free, self.pointer)

    def write(self, values: NDArray[np.float32]) -> None:
        """Copies values of the same shape into it, and returns when they are there."""
        values = np.ascontiguousarray(values)
        cuda_calls.copy(self.pointer, values.ctypes.data, self._bytes, cuda_calls.TO_DEVICE, self._device)

    def read(self) -> NDArray[np.float32]:
        """A copy on the host."""
        values = np.empty(self._shape, np.float32)
        cuda_calls.copy(values.ctypes.data, self.pointer, self._bytes, cuda_calls.TO_HOST, self._device)
        return values


class Binding:
    """Runs batches of one size through buffers that stay where they are. One thread may use it at a time.

    A copy returns when it is complete, and `run_with_iobinding` when the outputs are: nothing else needs to be waited
    for.

    Args:
        session: ONNX Runtime's session.
        device: "cpu" or "cuda:N", the session's device.
        buffers: the shapes.
        graph_id: the number under which a session with CUDA graphs keeps that of this binding; None without them. A
            graph is tied to its buffers, so every binding needs a number of its own.
        lock: held during calls; for sessions that may run one call at a time.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        device: str,
        buffers: Buffers,
        graph_id: int | None = None,
        lock: contextlib.AbstractContextManager[object] | None = None,
    ) -> None:
        self._session, self._lock = session, lock or contextlib.nullcontext()
        self.buffers = buffers
        self._options = ort.RunOptions()
        if graph_id is not None:
            self._options.add_run_config_entry("gpu_graph_id", str(graph_id))
        kind, _, number = device.partition(":")
        place = kind, int(number or 0), np.float32
        make: Callable[[tuple[int, ...]], HostArray | DeviceArray] = (
            HostArray if kind == "cpu" else partial(DeviceArray, device=device)
        )
        with self._lock:  # while a graph is captured, nothing may be allocated
            self._windows = make(buffers.windows)
            self._outputs = [make(shape) for _, shape in buffers.outputs]
        self._binding = session.io_binding()
        self._binding.bind_input(INPUTS, *place, buffers.windows, self._windows.pointer)
        for (name, shape), array in zip(buffers.outputs, self._outputs, strict=True):
            self._binding.bind_output(name, *place, shape, array.pointer)
        if buffers.head_rows is not None:
            # It belongs to shape arithmetic, which ONNX Runtime leaves on the CPU. bind_cpu_input refuses it: it is
            # optional.
            rows = ort.OrtValue.ortvalue_from_numpy(np.array([buffers.head_rows]))
            self._binding.bind_ortvalue_input(HEAD_ROWS, rows)

    def __call__(self, windows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs of a batch of windows, in the order in which they are bound.

        Raises:
            ValueError: the windows have another shape or type than the buffer.
        """
        if windows.shape != self.buffers.windows or windows.dtype != np.float32:
            raise ValueError(f"windows are {windows.dtype} {list(windows.shape)}, not {list(self.buffers.windows)}")
        with self._lock:
            self._windows.write(windows)
            self._session.run_with_iobinding(self._binding, self._options)
            return [array.read() for array in self._outputs]

    def run_only(self) -> None:
        """Computes the batch that was copied last once more and leaves the outputs on the device: for timing."""
        with self._lock:
            self._session.run_with_iobinding(self._binding, self._options)


class Spare:
    """The bindings of a session that no thread uses at the moment; at most `MOST`, those used last.

    Args:
        make: makes a binding.
    """

    MOST = 8

    def __init__(self, make: Callable[[Buffers], Binding]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._spare: list[Binding] = []

    def run(self, buffers: Buffers, windows: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
        """Runs a batch with a binding for these buffers."""
        with self._lock:
            binding = next((each for each in self._spare if each.buffers == buffers), None)
            if binding is not None:
                self._spare.remove(binding)
        if binding is None:
            binding = self._make(buffers)
        values = binding(windows)  # one that fails is not used again
        with self._lock:
            self._spare = [*self._spare, binding][-self.MOST :]
        return values
