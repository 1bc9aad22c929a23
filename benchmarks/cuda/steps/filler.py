"""A process that fills a card, so that what happens then can be seen. It ends with its parent, and the memory is free
again."""

from __future__ import annotations

import contextlib
import ctypes
import pickle
import queue
import threading
from collections.abc import Iterator
from typing import Any

from runtime.errors import DeviceError, PerchError
from runtime.model import cuda, cuda_calls
from runtime.workers.child import Child, listen, serve

LEAST = 8 * 2**20
"""Smaller allocations are not tried: what is left to others is known to this many bytes."""
PATIENCE_S = 60.0
MODULE = __name__


@contextlib.contextmanager
def filled(device: str, leave: int) -> Iterator[int]:
    """A card of which another process leaves about so many bytes free; gives how many really are.

    Raises:
        DeviceError: it cannot be filled.
    """
    inbox: queue.SimpleQueue[tuple[Child, Any]] = queue.SimpleQueue()
    child = Child(MODULE, (device, leave), inbox)
    try:
        try:
            _, answer = inbox.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise DeviceError(f"{device} was not filled within {PATIENCE_S:.0f} s") from None
        if not isinstance(answer, int):
            raise answer or DeviceError(f"the process that fills {device} {child.last_words()}")
        yield answer
    finally:
        child.stop()


def fill(device: str, leave: int) -> int:
    """Takes memory in plain allocations until only `leave` bytes are free, or no more can be had; returns how many
    are.

    Raises:
        DeviceError: CUDA does not say how much is free.
    """
    size: int | None = None
    while True:
        free = cuda_calls.free_bytes(device)
        if free is None:
            raise DeviceError(f"CUDA does not say how much memory of {device} is free")
        size = min(free - leave, size or free)
        if size < LEAST:
            return free
        if cuda_calls.call("cudaMalloc", ctypes.byref(ctypes.c_void_p()), ctypes.c_size_t(size)) != 0:
            size //= 2  # free memory lies in pieces


def main() -> None:
    """The process: fills the card, says how much is free, and waits for its parent's end."""
    receive, send = serve()
    device, leave = pickle.load(receive)
    waiting = threading.Thread(target=listen, args=(receive, lambda _: None), daemon=True)
    waiting.start()
    try:
        with cuda.loading():
            send(fill(device, leave))
    except PerchError as error:
        send(error)
        return
    waiting.join()
