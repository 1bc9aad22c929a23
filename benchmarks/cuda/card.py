"""The device by name, found without starting CUDA, which would take memory of the card that steps measure."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from runtime.cores import processor
from runtime.model import cuda

FIELDS = ("name", "driver_version", "memory.total", "compute_cap", "clocks.max.sm", "clocks.max.memory", "power.limit")
STATE = ("temperature.gpu", "clocks.sm", "clocks.mem", "power.draw", "utilization.gpu", "memory.used")


def name(device: str) -> str:
    """The name of a device's card, or of the processor."""
    if device == "cpu":
        return processor()
    number = int(device.removeprefix("cuda:"))
    listed = cuda.gpus()
    return described(device).get("name") or (listed[number] if number < len(listed) else "unknown GPU")


def driver(device: str) -> str | None:
    """The version of a GPU's driver; None for the CPU, and where `nvidia-smi` cannot be asked."""
    return None if device == "cpu" else described(device).get("driver_version")


def described(device: str, fields: tuple[str, ...] = FIELDS) -> Mapping[str, str]:
    """What `nvidia-smi` says of a GPU; nothing where it cannot be asked."""
    number = device.removeprefix("cuda:")
    command = ["nvidia-smi", f"--id={number}", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        answered = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in answered.strip().split(",")]
    return dict(zip(fields, values, strict=True)) if len(values) == len(fields) else {}
