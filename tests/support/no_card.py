"""Libraries that stand in for CUDA 13 and cuDNN 9, so that ONNX Runtime's own CUDA provider runs without a card.

It chooses kernels, allocates, binds buffers, captures graphs and raises errors as on a card; what it computes is
nothing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort

SOURCE = Path(__file__).with_suffix(".c")
PROVIDER = Path(ort.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
LIBRARIES = {
    "CUDART": "libcudart.so.13",
    "CUBLAS": "libcublas.so.13",
    "CUBLASLT": "libcublasLt.so.13",
    "CURAND": "libcurand.so.10",
    "CUDA": "libcuda.so.1",
    "CUDNN": "libcudnn.so.9",
}
ALSO = ("cudaSetDevice", "cudaSetDeviceFlags", "cudaHostRegister", "cudaHostUnregister", "cudaDeviceSynchronize")
"""What this project calls of CUDA's runtime library itself."""


def lacking() -> str | None:
    """Why the libraries cannot be made here; None if they can."""
    if not PROVIDER.exists() or not str(getattr(ort, "cuda_version", "")).startswith("13."):
        return "onnxruntime is not built for CUDA 13"
    missing = [name for name in ("cc", "nm") if shutil.which(name) is None]
    return f"there is no {missing[0]}" if missing else None


def make_libraries(folder: Path) -> None:
    """Writes the libraries into a folder, for `LD_LIBRARY_PATH`."""
    wanted = _wanted()
    for macro, library in LIBRARIES.items():
        source = folder / f"{macro}.c"
        written = set(re.findall(r"\b(\w+)\(", SOURCE.read_text()))
        others = sorted(wanted.get(library, set()) - written)
        source.write_text(f'#include "{SOURCE}"\n' + "".join(f"int {name}() {{ return 0; }}\n" for name in others))
        versions = folder / f"{macro}.map"
        versions.write_text(f"{library} {{ global: *; }};\n")
        options = ["-w", "-O1", "-fPIC", "-shared", f"-D{macro}", f"-Wl,-soname,{library}"]
        options += [f"-Wl,--version-script={versions}"] if library not in ("libcuda.so.1", "libcudnn.so.9") else []
        subprocess.run(["cc", *options, str(source), "-o", str(folder / library)], check=True)


def _wanted() -> Mapping[str, set[str]]:
    """The functions that the provider takes from each library. Those of cuDNN it looks up by name when it is loaded."""
    symbols = subprocess.run(
        ["nm", "-D", "--undefined-only", str(PROVIDER)], capture_output=True, text=True, check=True
    )
    wanted: dict[str, set[str]] = {"libcudart.so.13": set(ALSO)}
    for name, library in re.findall(r"U (\w+)@(\S+)", symbols.stdout):
        wanted.setdefault(library, set()).add(name)
    wanted["libcuda.so.1"] = set(re.findall(r"U (cu[A-Z]\w+)$", symbols.stdout, re.MULTILINE))
    wanted["libcudnn.so.9"] = {name.decode() for name in re.findall(rb"\0(cudnn[A-Z]\w+)(?=\0)", PROVIDER.read_bytes())}
    return wanted
