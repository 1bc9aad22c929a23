"""A decoder: a process that turns recordings into windows in the ring, for another one to score."""

from __future__ import annotations

import pickle
import queue
import threading
from collections.abc import Callable
from typing import Any

from runtime.audio.recording import Window
from runtime.workers.child import listen, serve
from runtime.workers.protocol import (
    Batch,
    Decoded,
    Flush,
    Ready,
    RingSetup,
    SlotGrant,
    SlotRequest,
    Span,
    Ticket,
)
from runtime.workers.ring import Ring
from runtime.workers.task_windows import TaskWindows

MOST_UNREADABLE = 1024
"""Windows without samples that one batch reports at most."""


class Decoder:
    """Fills batches, which may hold windows of several recordings: one that is not full waits for the next.

    Args:
        setup: what all decoders have in common.
        ring: where windows go.
        send: sends a message to the parent.
        granted_slot: waits for a slot of the ring.
    """

    def __init__(
        self, setup: RingSetup, ring: Ring, send: Callable[[object], None], granted_slot: Callable[[], int]
    ) -> None:
        self._setup, self._ring, self._send, self._granted_slot = setup, ring, send, granted_slot
        self._slot: int | None = None
        self._filled = 0
        self._spans: list[Span] = []

    def decode(self, ticket: Ticket) -> None:
        """Puts a task's windows into the ring."""
        job, shape = self._setup.job, self._setup.shape
        windows = TaskWindows(ticket.task, job, self._setup.sample_rate, shape.samples, self._send)
        sent = 0
        try:
            for window in windows:
                self._put(ticket.number, window)
                sent += 1
            failure = windows.failure
        except Exception as error:  # whatever it is, it concerns this recording; the next may be well
            failure = f"{type(error).__name__}: {error}"
        self._send(
            Decoded(ticket.number, failure, windows.count(failure is not None), sent, windows.notes, windows.began)
        )

    def flush(self) -> None:
        """Sends off a batch that is not full."""
        if self._spans and self._slot is not None:
            self._send(Batch(self._slot, self._filled, self._spans))
            self._slot, self._filled, self._spans = None, 0, []

    def _put(self, ticket: int, window: Window) -> None:
        if self._slot is None:
            self._send(SlotRequest())
            self._slot = self._granted_slot()
        if not self._spans or self._spans[-1].ticket != ticket:
            self._spans.append(Span(ticket, [], []))
        self._spans[-1].indices.append(self._setup.job.place(window))
        self._spans[-1].readable.append(window.samples is not None)
        if window.samples is not None:
            self._ring.windows[self._slot, self._filled] = window.samples
            self._filled += 1
        if self._filled == self._setup.shape.batch or len(self._spans[-1].indices) >= MOST_UNREADABLE:
            self.flush()


def main() -> None:
    """Serves tickets until standard input closes."""
    receive, send = serve()
    setup: RingSetup = pickle.load(receive)
    ring = Ring(setup.ring, setup.shape)
    work: queue.SimpleQueue[Ticket | Flush] = queue.SimpleQueue()
    slots: queue.SimpleQueue[int] = queue.SimpleQueue()

    def sort(message: Any) -> None:
        if isinstance(message, SlotGrant):
            slots.put(message.slot)
        else:
            work.put(message)

    threading.Thread(target=listen, args=(receive, sort), daemon=True).start()
    decoder = Decoder(setup, ring, send, slots.get)
    send(Ready())
    while True:
        message = work.get()
        if isinstance(message, Flush):
            decoder.flush()
        else:
            decoder.decode(message)
