"""The device by name, found without starting CUDA, which would take memory of the card that steps measure."""

from __future__ import annotations

import functools
import os
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
    return described(device).get("name") or _listed(int(device.removeprefix("cuda:")))


def _listed(number: int) -> str:
    listed = cuda.gpus()
    return listed[number] if number < len(listed) else "unknown GPU"


def _id(device: str) -> str:
    """What `nvidia-smi`, which knows all cards of the machine, calls the device of CUDA."""
    number = device.removeprefix("cuda:")
    visible = [each.strip() for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each.strip()]
    return visible[int(number)] if int(number) < len(visible) else number


@functools.cache
def described(device: str) -> Mapping[str, str]:
    """What `nvidia-smi` says of a GPU, `FIELDS` and `STATE`; nothing for the CPU, and where it cannot be asked.

    It is asked once: on a card that nothing uses, each answer takes seconds.
    """
    if device == "cpu":
        return {}
    fields = (*FIELDS, *STATE)
    command = ["nvidia-smi", f"--id={_id(device)}", f"--query-gpu={','.join(fields)}"]
    try:
        answered = subprocess.run(
            [*command, "--format=csv,noheader"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in answered.stdout.strip().split(",")]
    return dict(zip(fields, values, strict=True)) if len(values) == len(fields) else {}
