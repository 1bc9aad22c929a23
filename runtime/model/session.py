"""One ONNX Runtime session, on the device that was asked for and no other."""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import os
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from runtime.console.log import log
from runtime.errors import ArtifactError, DeviceError, InputError
from runtime.model import cuda
from runtime.model.artifact import CONVERT, COPY, Artifact, read_artifact
from runtime.model.binding import Binding, Buffers, Spare
from runtime.model.cuda_options import PROVIDER, CudaOptions
from runtime.model.golden import check, golden_batches
from runtime.model.messages import message_of, unusable
from runtime.model.schema import EMBEDDINGS, GATHERED, HEAD_ROWS, INPUTS, ROWS

Device = Literal["auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:2", "cuda:3", "cuda:4", "cuda:5", "cuda:6", "cuda:7"]
"""Values that type checkers accept; at run time a GPU may have any number."""
DEVICE = re.compile(r"auto|cpu|cuda(?::\d+)?")


def check_install() -> None:
    """Refuses an environment in which two distributions share the module `onnxruntime`.

    In folders of their own they may both be installed: the first on Python's path is the one that is used.

    Raises:
        DeviceError: `onnxruntime` and `onnxruntime-gpu` are both installed, and have overwritten each other's files.
    """
    folders = [folder_of(name) for name in ("onnxruntime", "onnxruntime-gpu")]
    if folders[0] is not None and folders[0] == folders[1]:
        raise DeviceError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; run "
            "`pip uninstall -y onnxruntime onnxruntime-gpu`, then `pip install onnxruntime-gpu`"
        )


def folder_of(distribution: str) -> Path | None:
    """The folder in which a distribution is installed; None if it is not."""
    try:
        return Path(str(importlib.metadata.distribution(distribution).locate_file("")))
    except importlib.metadata.PackageNotFoundError:
        return None


def check_device(name: str, device: str) -> str:
    """The argument of this name, if it is "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        InputError: it is none of them.
    """
    if DEVICE.fullmatch(str(device)) is None:
        raise InputError(f"{name} is {device!r}, but must be 'auto', 'cpu', 'cuda' or 'cuda:1'")
    return device


def choose_device(device: str) -> str:
    """The device that a run uses: "cpu" or "cuda:N". "auto" is the first GPU where there is one, else the CPU.

    Raises:
        InputError: not "auto", "cpu", "cuda" or "cuda:N".
        DeviceError: "cuda" was asked for and its provider is not in this build of ONNX Runtime.
    """
    check_device("device", device)
    if device == "cpu":
        return "cpu"
    present = PROVIDER in ort.get_available_providers()
    if device == "auto":
        return "cuda:0" if present and cuda.gpus() else "cpu"
    if not present:
        raise DeviceError(
            f"device='{device}' needs onnxruntime-gpu, and this is a CPU build of onnxruntime; run `pip uninstall -y "
            "onnxruntime` and `pip install '.[cuda]'` in the project's folder (Linux x86_64 or Windows)"
        )
    return "cuda:0" if device == "cuda" else device


class Session:
    """A converted model, loaded on a device. Several threads may call it at once.

    Args:
        path: the `.onnx` file.
        device: "cpu" or "cuda:N" (see `choose_device`).
        threads: threads that one call uses on the CPU.
        options: how a GPU computes; they mean nothing on the CPU. The convolutions of a float16 file may use tensor
            cores in any case: ONNX Runtime has one switch for theirs and for those of TF32.

    Attributes:
        tf32: whether float32 may be rounded to TF32, as was asked for; False on the CPU.
        skippable_heads: heads that a call can compute for some of its windows only, or for none.
        deferrable_heads: the skippable heads that a later call can compute for the windows of earlier calls.
        deferred_from: the output of earlier calls from which it computes them; empty if there are no such heads.

    Raises:
        ArtifactError: the file is missing, damaged, or not made by this project.
        DeviceError: the GPU was asked for and ONNX Runtime fell back to the CPU, or could not start it.
    """

    def __init__(
        self, path: str | Path, device: str = "cpu", threads: int = 1, options: CudaOptions = CudaOptions()
    ) -> None:
        session_options = ort.SessionOptions()
        session_options.intra_op_num_threads = threads
        session_options.inter_op_num_threads = 1
        session_options.log_severity_level = 4  # errors are raised as well
        session_options.enable_mem_pattern = options.memory_pattern and device != "cpu"
        self.device, self.tf32, self._path = device, options.tf32 and device != "cpu", path
        self.artifact = read_artifact(path)
        if self.artifact.options.get("precision") == "float16":
            options = replace(options, tf32=True)
        self._session = load(Path(path), session_options, device, options)
        self._one_call = threading.Lock() if options.graph else None
        self._graph_ids = itertools.count(1) if options.graph else itertools.repeat(None)
        self._spare = Spare(self._bind)
        _check_io(self._session, self.artifact, path)
        self.skippable_heads, self.deferred_from = _optional_inputs(self._session, self.artifact)
        self.deferrable_heads = self.skippable_heads if self.deferred_from else ()

    def __call__(
        self,
        windows: NDArray[np.float32],
        outputs: Sequence[str],
        gathered: NDArray[np.float32] | None = None,
        head_rows: int | None = None,
    ) -> list[NDArray[np.float32]]:
        """One batch.

        Args:
            windows: `float32 [n, samples]`; a graph that takes one window at a time is fed one by one.
            outputs: names of the outputs to compute. One that is named twice is computed once and given twice.
            gathered: rows of the output `deferred_from` from earlier calls; only on the CPU. The rows of
                `deferrable_heads` then start with the ones computed from these.
            head_rows: for how many of the windows, from the first on, `skippable_heads` are computed; all if None.

        Returns:
            The outputs in the order asked for, `float32 [rows, ...]`.
        """
        names = tuple(dict.fromkeys(outputs))
        if len(names) < len(outputs):
            found = dict(zip(names, self(windows, names, gathered, head_rows), strict=True))
            return [found[name] for name in outputs]
        if self.artifact.free_batch or len(windows) == 1:
            if self.device != "cpu":
                return list(self._spare.run(self._buffers(len(windows), outputs, head_rows), windows))
            feeds: dict[str, NDArray[Any]] = {INPUTS: windows}
            if gathered is not None:
                feeds[GATHERED] = gathered
            if head_rows is not None:
                feeds[HEAD_ROWS] = np.array([head_rows])
            return list(self._session.run(list(outputs), feeds))
        singles = [self(windows[i : i + 1], outputs) for i in range(len(windows))]
        return [np.concatenate(parts) for parts in zip(*singles, strict=True)]

    def binding(self, batch_size: int, outputs: Sequence[str]) -> Binding:
        """Buffers on the device for batches of this size, bound once; heads that nobody asks for are not computed."""
        return self._bind(self._buffers(batch_size, outputs, self._head_rows(outputs)))

    def _bind(self, buffers: Buffers) -> Binding:
        return Binding(self._session, self.device, buffers, next(self._graph_ids), self._one_call)

    def _buffers(self, batch_size: int, outputs: Sequence[str], head_rows: int | None) -> Buffers:
        skippable = batch_size if head_rows is None else head_rows
        rows = {name: skippable if name in self.skippable_heads else batch_size for name in outputs}
        shapes = tuple((name, (count, *self.artifact.heads[name].shape)) for name, count in rows.items())
        return Buffers((batch_size, self.artifact.window_samples), shapes, head_rows)

    def _head_rows(self, outputs: Sequence[str]) -> int | None:
        """0 if none of the skippable heads is among the outputs, None otherwise."""
        return 0 if self.skippable_heads and not set(outputs) & set(self.skippable_heads) else None

    def run(
        self, windows: NDArray[np.float32], outputs: Sequence[str], batch_size: int
    ) -> dict[str, NDArray[np.float32]]:
        """Outputs by name, `float32 [n, ...]`, of windows `float32 [n, samples]`, `batch_size` at a time."""
        if not len(windows):
            return {name: np.empty((0, *self.artifact.heads[name].shape), np.float32) for name in outputs}
        batches = [windows[i : i + batch_size] for i in range(0, len(windows), batch_size)]
        if self.device != "cpu" and len(batches[-1]) < batch_size:  # a GPU picks its kernels anew for every new shape
            batches[-1] = np.pad(batches[-1], ((0, batch_size - len(batches[-1])), (0, 0)))
        deferred = [name for name in outputs if name in self.deferrable_heads and self.device == "cpu"]
        others = [name for name in outputs if name not in deferred]
        if not deferred:
            parts = [self._run_others(batch, others) for batch in batches]
            return {name: _concatenated([part[name] for part in parts])[: len(windows)] for name in outputs}
        earlier = [self._run_others(batch, [*others, self.deferred_from]) for batch in batches[:-1]]
        gathered = np.concatenate([part[self.deferred_from] for part in earlier]) if earlier else None
        # The weights of the heads are read from memory once for all batches.
        last = dict(zip([*others, *deferred], self(batches[-1], [*others, *deferred], gathered), strict=True))
        joined = {name: _concatenated([*(part[name] for part in earlier), last[name]]) for name in others}
        return {name: joined[name] if name in joined else last[name] for name in outputs}

    def _run_others(self, batch: NDArray[np.float32], outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Runs a batch; skips the heads that are not among the outputs."""
        names = list(dict.fromkeys(outputs))
        return dict(zip(names, self(batch, names, head_rows=self._head_rows(names)), strict=True))

    def warm_up(self, outputs: Sequence[str], batch_size: int, spare_own: bool = False) -> None:
        """Computes the golden window and compares; later calls do not take the extra time of a first one.

        With `spare_own`, heads that users added are only warned of.

        Raises:
            ArtifactError: the graph cannot be run on the CPU.
            DeviceError: the GPU cannot run it, or the device computes wrongly.
        """
        try:
            found = self.golden_rows(outputs, batch_size)
        except Exception as error:  # onnxruntime raises a class of its own for each status
            if self.device != "cpu":
                raise DeviceError(unusable(self.device, message_of(error))) from None
            raise ArtifactError(f"{self._path} cannot be run: {message_of(error)}; {CONVERT}") from None
        own = {name: found.pop(name) for name in self.artifact.own_heads if spare_own and name in found}
        self.check(found)
        try:
            self.check(own)
        except DeviceError as error:
            log.warning("%s", error)

    def golden_rows(self, outputs: Sequence[str], batch_size: int) -> dict[str, NDArray[np.float32]]:
        """Outputs of the golden window, `float32 [rows, ...]`, computed in batches of this size among others."""
        windows, golden = golden_batches(self.artifact.window_samples, batch_size, self.device)
        return {name: values[golden] for name, values in self.run(windows, outputs, batch_size).items()}

    def check(self, outputs: Mapping[str, NDArray[np.float32]]) -> None:
        """Raises DeviceError if these cannot be outputs of the golden window; see `golden.check`."""
        check(self.artifact, outputs, self.device, self.tf32)


def load(
    path: Path, session_options: ort.SessionOptions, device: str, options: CudaOptions = CudaOptions()
) -> ort.InferenceSession:
    """ONNX Runtime's own session of a file, on this device and no other.

    Raises:
        ArtifactError: there is no such file, or it is no ONNX.
        DeviceError: the GPU cannot be used.
    """
    if not os.path.isfile(path):
        raise ArtifactError(f"there is no model at {path}; {CONVERT}")
    providers: list[str | tuple[str, dict[str, str]]] = ["CPUExecutionProvider"]
    if device != "cpu":
        providers.insert(0, options.provider(device))
    try:
        with cuda.loading() if device != "cpu" else contextlib.nullcontext():
            # Without enable_fallback=0 it prints an error, such as a refused option, and falls back to the CPU.
            session = ort.InferenceSession(_loadable(path), session_options, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime raises a class of its own for each status, and plain ones too
        if device != "cpu" and "load model" not in str(error).lower():
            raise DeviceError(unusable(device, message_of(error))) from None
        raise ArtifactError(f"{path} cannot be loaded as ONNX: {message_of(error)}; {COPY}") from None
    if device != "cpu" and PROVIDER not in session.get_providers():
        # ONNX Runtime itself falls back in silence (onnxruntime#23372).
        raise DeviceError(unusable(device, cuda.missing_library() or "ONNX Runtime gives no reason"))
    return session


def _concatenated(arrays: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _check_io(session: ort.InferenceSession, artifact: Artifact, path: str | Path) -> None:
    """Compares the file's description with the inputs and outputs of its graph."""
    inputs = {value.name: list(value.shape or ()) for value in session.get_inputs()}
    outputs = {value.name: tuple(value.shape or ())[1:] for value in session.get_outputs()}
    described = {head.name: head.shape for head in artifact.heads.values()}
    if inputs.get(INPUTS, [])[1:] != [artifact.window_samples] or outputs != described:
        raise ArtifactError(f"{path} has a description that does not match its graph; convert it again")


def _optional_inputs(session: ort.InferenceSession, artifact: Artifact) -> tuple[tuple[str, ...], str]:
    """The heads of which a call can compute fewer rows, and the output from which a later call can compute them."""
    inputs = {value.name: value.shape for value in session.get_overridable_initializers()}
    if not artifact.free_batch or HEAD_ROWS not in inputs:
        return (), ""
    row = inputs.get(GATHERED, [])[1:]
    sources = (name for name in EMBEDDINGS if name in artifact.heads)
    source = next((name for name in sources if list(artifact.heads[name].shape) == row), "")
    return tuple(value.name for value in session.get_outputs() if value.shape[0] == ROWS), source


def _loadable(path: Path) -> str | bytes:
    """The path, or the file's bytes if the path is not UTF-8, which ONNX Runtime refuses."""
    try:
        return str(path).encode().decode()
    except UnicodeEncodeError:
        return path.read_bytes()
