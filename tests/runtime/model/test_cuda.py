"""The options of the CUDA provider, as far as they can be tested without a GPU."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest

from runtime.errors import DeviceError
from runtime.model import cuda, cuda_calls
from runtime.model.cuda import LIBRARIES
from runtime.model.cuda_options import CudaOptions
from runtime.model.session import check_install


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


def test_distributions_in_folders_of_their_own_are_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnxruntime", "onnxruntime_gpu"):
        described = tmp_path / name / f"{name}-1.31.1.dist-info"
        described.mkdir(parents=True)
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.31.1\n")
    monkeypatch.setattr("sys.path", [str(tmp_path / "onnxruntime"), str(tmp_path / "onnxruntime_gpu")])
    check_install()
    for path in (tmp_path / "onnxruntime").iterdir():
        path.rename(tmp_path / "onnxruntime_gpu" / path.name)
    monkeypatch.setattr("sys.path", [str(tmp_path / "onnxruntime_gpu")])
    with pytest.raises(DeviceError, match="both installed"):
        check_install()


def test_packages_on_the_path_go_before_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, names in {
        "other/nvidia/cudnn/lib": ("libcudnn.so.9",),
        "other/nvidia/curand/lib": ("libcurand.so.10",),
        "right/nvidia/cu13/lib": ("libcudart.so.13", "libcublas.so.13", "libcublasLt.so.13", "libcusolver.so.12"),
        "right/nvidia/cudnn/lib": ("libcudnn.so.9",),
    }.items():
        (tmp_path / place).mkdir(parents=True)
        for name in names:
            (tmp_path / place / name).touch()
    known, loaded = {"libcudart.so.13"}, []  # a program has loaded this one

    def load(name: str, mode: int = 0) -> None:
        if mode != os.RTLD_NOLOAD:
            known.add(Path(name).name)
            loaded.append(name)
        elif name not in known:
            raise OSError("not loaded")

    monkeypatch.setattr("sys.path", [str(tmp_path / "none"), str(tmp_path / "other"), str(tmp_path / "right")])
    monkeypatch.setattr("runtime.model.cuda.ort.cuda_version", "13.0", raising=False)
    monkeypatch.setattr("runtime.model.cuda.ort.preload_dlls", lambda: loaded.append("system"), raising=False)
    monkeypatch.setattr("runtime.model.cuda.ctypes.CDLL", load)
    with cuda.loading():
        pass
    right = ("cu13/lib/libcublasLt.so.13", "cu13/lib/libcublas.so.13", "cudnn/lib/libcudnn.so.9")
    assert loaded == [
        *(str(tmp_path / "right" / "nvidia" / each) for each in right),
        "system",
        str(tmp_path / "other" / "nvidia" / "curand" / "lib" / "libcurand.so.10"),
    ]


class Calls:
    """A CUDA library that notes what it is asked for, and answers with codes."""

    def __init__(self, **codes: int) -> None:
        self.codes, self.names = codes, []  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> Callable[..., int]:
        def called(*arguments: object) -> int:
            self.names.append(name)
            return self.codes.get(name, 0)

        return called


def test_a_copy_is_of_its_device_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls()
    monkeypatch.setattr(cuda_calls, "library", lambda: calls)
    cuda_calls.copy(1, 2, 3, cuda_calls.TO_DEVICE, "cuda:1")
    assert calls.names == ["cudaSetDevice", "cudaMemcpy", "cudaStreamSynchronize"]
    calls.codes["cudaStreamSynchronize"] = 700
    with pytest.raises(RuntimeError, match=r"^CUDA failure 700: cudaStreamSynchronize failed$"):
        cuda_calls.copy(1, 2, 3, cuda_calls.TO_HOST, "cuda:1")


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("cudaMalloc", 2, "CUDA failure 2: out of memory"),
        ("cudaMalloc", 700, "CUDA failure 700: cudaMalloc failed"),
        ("cudaSetDevice", 101, "CUDA failure 101: cudaSetDevice failed"),
    ],
)
def test_why_there_is_no_memory_is_said(monkeypatch: pytest.MonkeyPatch, name: str, code: int, said: str) -> None:
    monkeypatch.setattr(cuda_calls, "library", lambda: Calls(**{name: code}))
    with pytest.raises(RuntimeError, match=f"^{said}$"):
        cuda_calls.allocate(8, "cuda:0")


def test_waiting_threads_sleep_on_the_device_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, int]] = []

    def set_device(number: int) -> int:
        called.append(("device", number))
        return 0 if number < 2 else 101

    def set_flags(flags: ctypes.c_uint) -> int:
        called.append(("flags", flags.value))
        return 0

    def take() -> int:
        called.append(("error taken", 0))
        return 101

    two_gpus = SimpleNamespace(cudaSetDevice=set_device, cudaSetDeviceFlags=set_flags, cudaGetLastError=take)
    monkeypatch.setattr(cuda_calls, "library", lambda: two_gpus)
    assert cuda_calls.sleep_while_waiting("cuda:1")
    assert not cuda_calls.sleep_while_waiting("cuda:2")
    monkeypatch.setattr(cuda_calls, "library", lambda: None)
    assert not cuda_calls.sleep_while_waiting("cuda:0")
    assert called == [("device", 1), ("flags", 4), ("device", 2), ("error taken", 0)]


def test_a_failed_call_leaves_no_error_to_the_next_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []

    def register(address: ctypes.c_void_p, size: ctypes.c_size_t, flags: int) -> int:
        left.append(2)
        return 2

    full = SimpleNamespace(cudaHostRegister=register, cudaGetLastError=lambda: left.pop())
    monkeypatch.setattr(cuda_calls, "library", lambda: full)
    assert not cuda_calls.pin(np.zeros(4, np.float32))
    assert left == []


@pytest.mark.parametrize(
    ("present", "count"), [((), 0), (("nvidiactl", "nvidia3"), 1), (("nvidia0", "nvidia1"), 2), (("dxg",), 1)]
)
def test_gpus_that_no_driver_describes_are_counted_by_their_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: tuple[str, ...], count: int
) -> None:
    for name in present:
        (tmp_path / name).touch()
    monkeypatch.setattr(cuda, "DRIVER_LISTS", tmp_path / "none")
    monkeypatch.setattr(cuda, "DEVICES", tmp_path)
    assert cuda.gpus() == ["unnamed GPU"] * count
