"""A scorer: the process that owns a GPU's session and empties the ring."""

from __future__ import annotations

import gc
import os
import pickle
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

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
Outputs = dict[str, NDArray[np.float32]]


class BatchScorer:
    """Scores batches, and in smaller pieces once memory has run out. Several threads may call it at once.

    Args:
        open_session: loads the models.
        outputs: the outputs that are computed.
        batch_size: the size of batches at first.
        lacks_memory: whether an error is for lack of memory.
        send: sends a message to the parent.
    """

    def __init__(
        self,
        open_session: Callable[[], Session | Sessions],
        outputs: Sequence[str],
        batch_size: int,
        lacks_memory: Callable[[Exception], bool],
        send: Callable[[object], None],
    ) -> None:
        self._open, self._outputs, self._batch_size = open_session, outputs, batch_size
        self._lacks_memory, self._send = lacks_memory, send
        self._session: Session | Sessions | None = open_session()
        self.artifact = self._session.artifact
        self._lost: Exception | None = None
        """Why the models could not be loaded anew."""
        self._checked: int | None = None
        self._calls, self._changed = 0, threading.Condition()

    def warm_up(self) -> None:
        """Finds the size of batches, and checks the device with it. Raises what a call raises."""
        self(None)

    def __call__(self, windows: NDArray[np.float32] | None) -> Outputs:
        """Outputs by name; none for no windows. Every size of batches is checked before it is used.

        Raises:
            DeviceError: the device computes wrongly in batches of this size.
            Exception: whatever ONNX Runtime raised that was not for lack of memory, or was for a single window.
        """
        while True:
            size = self._begin_call()
            try:
                return self._computed(windows, size)
            except Exception as error:  # ONNX Runtime has no exception class for lack of memory
                if size == 1 or not self._lacks_memory(error):
                    raise
            finally:
                self._end_call()
            self._halve(size)

    def _computed(self, windows: NDArray[np.float32] | None, size: int) -> Outputs:
        assert self._session is not None, "it is there during a call"
        if size != self._checked:
            self._session.check(self._session.golden_rows(self._outputs, size))
            self._checked = size
        return {} if windows is None else self._session.run(windows, self._outputs, size)

    def _begin_call(self) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._session is not None or self._lost is not None)
            if self._lost is not None:
                raise self._lost
            self._calls += 1
            return self._batch_size

    def _end_call(self) -> None:
        with self._changed:
            self._calls -= 1
            self._changed.notify_all()

    def _halve(self, size: int) -> None:
        """Loads the models anew for smaller batches: ONNX Runtime gives no memory back before it unloads them."""
        with self._changed:
            if self._session is None or self._batch_size < size:  # another thread does it, or has done it
                return
            self._session = None
            self._changed.wait_for(lambda: self._calls == 0)
            gc.collect()  # a session refers to itself
            try:
                self._session, self._batch_size = self._open(), size // 2
            except Exception as error:
                self._lost = error
                raise
            finally:
                self._changed.notify_all()
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
        scorer = BatchScorer(
            open_session=lambda: open_models(job.models, job.device, job.setup.threads, job.tf32),
            outputs=job.computed,
            batch_size=job.setup.batch_size,
            lacks_memory=lambda error: lacks_memory(error, job.device),
            send=send,
        )
        if job.device != "cpu":
            cuda_calls.sleep_while_waiting(job.device)
        scorer.warm_up()
    except Exception as error:
        send(Refused(refusal(error, job)))
        return
    if job.device != "cpu" and not cuda_calls.pin(ring.windows):
        send(Notice("the memory of the windows cannot be pinned, so they take longer to reach the GPU"))
    send(Ready())
    lanes = [threading.Thread(target=_lane, args=(batches, ring, scorer, job, send), daemon=True) for _ in range(LANES)]
    for lane in lanes:
        lane.start()
    for lane in lanes:  # each ends with the process
        lane.join()


def _lane(
    batches: queue.SimpleQueue[Batch],
    ring: Ring,
    scorer: BatchScorer,
    job: Job,
    send: Callable[[object], None],
) -> None:
    try:
        while True:
            batch = batches.get()
            outputs = scorer(ring.windows[batch.slot, : batch.filled]) if batch.filled else {}
            send(Scored(batch.slot, list(_rows(batch, outputs, scorer.artifact, job))))
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
