"""A scorer: the process that owns a GPU's session and empties the ring."""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from runtime.errors import counted
from runtime.model import cuda, cuda_calls
from runtime.model.artifact import Artifact
from runtime.model.ensemble import Sessions, open_models
from runtime.model.messages import OUT_OF_MEMORY, message_of
from runtime.model.session import Session
from runtime.workers.child import listen, serve
from runtime.workers.job import Job
from runtime.workers.protocol import Batch, Notice, Ready, Refused, RingSetup, Rows, Scored
from runtime.workers.ring import Ring
from runtime.workers.worker import refusal, rows_of

LANES = 2
"""Batches being worked on at once: one is copied while another is computed."""
SCARCE = 512 * 2**20
"""With fewer bytes free on the card, errors of cuDNN and cuBLAS count as lack of memory."""
T = TypeVar("T")
Score = Callable[[NDArray[np.float32], int], dict[str, NDArray[np.float32]]]


class BatchScorer:
    """Scores batches, and in smaller pieces once memory has run out.

    Args:
        score: computes the outputs of windows, in batches of a given size.
        check: computes the golden window in batches of a given size, and raises DeviceError if that goes wrong.
        lacks_memory: whether an error is for lack of memory.
        batch_size: the size of batches at first.
        send: sends a message to the parent.
    """

    def __init__(
        self,
        score: Score,
        check: Callable[[int], None],
        lacks_memory: Callable[[Exception], bool],
        batch_size: int,
        send: Callable[[object], None],
    ) -> None:
        self._score, self._check, self._lacks_memory = score, check, lacks_memory
        self._batch_size, self._send = batch_size, send
        self._checked: int | None = None

    def warm_up(self) -> None:
        """Finds the size of batches, and checks the device with it. Raises what a call raises."""
        self._fitting(lambda size: None)

    def __call__(self, windows: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name. Every size of batches is checked before it is used.

        Raises:
            DeviceError: the device computes wrongly in batches of this size.
            Exception: whatever ONNX Runtime raised that was not for lack of memory, or was for a single window.
        """
        return self._fitting(lambda size: self._score(windows, size))

    def _fitting(self, call: Callable[[int], T]) -> T:
        while True:
            size = self._batch_size
            try:
                if size != self._checked:
                    self._check(size)
                    self._checked = size
                return call(size)
            except Exception as error:  # ONNX Runtime has no exception class for lack of memory
                if size == 1 or not self._lacks_memory(error):
                    raise
                self._batch_size = min(self._batch_size, size // 2)
                batches = f"batches of {counted(size // 2, 'window')} instead of {size}"
                self._send(Notice(f"memory ran out; going on with {batches}"))


def lacks_memory(error: Exception, device: str) -> bool:
    """Whether an error is for lack of memory.

    cuDNN and cuBLAS need memory of their own, and do not always say what they lack: of cuDNN's plans ONNX Runtime
    reports CUDNN_BACKEND_API_FAILED, of their handles "not initialized".
    """
    said = str(error).lower()
    if any(words in said for words in OUT_OF_MEMORY):
        return True
    if device == "cpu" or not any(library in said for library in ("cudnn", "cublas")):
        return False
    free = cuda_calls.free_bytes(device)
    return free is not None and free < SCARCE


def main() -> None:
    """Serves batches until standard input closes."""
    receive, send_alone = serve()
    setup: RingSetup = pickle.load(receive)
    job = setup.job
    batches: queue.SimpleQueue[Batch] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(receive, batches.put), daemon=True).start()
    ring = Ring(setup.ring, setup.shape)
    lock = threading.Lock()

    def send(message: object) -> None:
        with lock:
            send_alone(message)

    try:
        if job.device != "cpu" and not job.tf32:
            cuda.forbid_tf32()
        session = open_models(job.models, job.device, job.setup.threads, job.tf32)
        if job.device != "cpu":
            cuda_calls.sleep_while_waiting(job.device)
        scorer = BatchScorer(
            score=lambda windows, size: session.run(windows, job.computed, size),
            check=lambda size: session.check(session.golden_rows(job.computed, size)),
            lacks_memory=lambda error: lacks_memory(error, job.device),
            batch_size=job.setup.batch_size,
            send=send,
        )
        scorer.warm_up()
    except Exception as error:
        send(Refused(refusal(error, job)))
        return
    if job.device != "cpu" and not cuda_calls.pin(ring.windows):
        send(Notice("the memory of the windows cannot be pinned, so they take longer to reach the GPU"))
    send(Ready())
    lanes = [
        threading.Thread(target=_lane, args=(batches, ring, session, scorer, job, send), daemon=True)
        for _ in range(LANES)
    ]
    for lane in lanes:
        lane.start()
    for lane in lanes:  # each ends with the process
        lane.join()


def _lane(
    batches: queue.SimpleQueue[Batch],
    ring: Ring,
    session: Session | Sessions,
    scorer: BatchScorer,
    job: Job,
    send: Callable[[object], None],
) -> None:
    try:
        while True:
            batch = batches.get()
            outputs = scorer(ring.windows[batch.slot, : batch.filled]) if batch.filled else {}
            send(Scored(batch.slot, list(_rows(batch, outputs, session.artifact, job))))
    except Exception as error:  # such as a GPU that fell off the bus: the parent starts all processes anew
        print(f"{type(error).__name__}: {message_of(error)}", file=sys.stderr, flush=True)
        os._exit(1)


def _rows(
    batch: Batch, outputs: dict[str, NDArray[np.float32]], artifact: Artifact, job: Job
) -> Iterator[tuple[int, Rows, bool]]:
    start = 0
    for span in batch.spans:
        readable = np.array(span.readable, bool)
        end = start + int(readable.sum())
        own = {name: values[start:end] for name, values in outputs.items()} if end > start else {}
        rows = rows_of(np.array(span.indices), readable, own, artifact, job)
        yield span.ticket, rows, bool((readable & ~rows.scored).any())
        start = end
