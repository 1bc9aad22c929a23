"""A decoder: a process that turns recordings into windows in the ring, for another one to score."""

from __future__ import annotations

import pickle
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from runtime.audio.peaks import PeakFinder
from runtime.audio.recording import Recording, Window
from runtime.workers.child import listen, serve
from runtime.workers.protocol import Asked, Batch, Decoded, Decoding, Flush, Granted, Opened, Ready, Span, Task, Ticket
from runtime.workers.ring import Ring

SEND_EVERY_S = 1.0
"""How often it shows that it is alive while it looks for events."""
MOST_UNREADABLE = 1024
"""Windows without samples that one batch reports at most."""


class Decoder:
    """Fills batches, which may hold windows of several recordings; one that is not full waits for the next recording.

    Args:
        decoding: what all decoders have in common.
        ring: where windows go.
        send: how to say something to the parent.
        grant: waits for a slot of the ring.
    """

    def __init__(
        self, decoding: Decoding, ring: Ring, send: Callable[[object], None], grant: Callable[[], int]
    ) -> None:
        self._decoding, self._ring, self._send, self._grant = decoding, ring, send, grant
        self._slot: int | None = None
        self._filled = 0
        self._spans: list[Span] = []

    def decode(self, ticket: Ticket) -> None:
        """Puts a task's windows into the ring."""
        task, common = ticket.task, self._decoding
        recording = Recording(
            task.path, common.sample_rate, common.shape.samples, common.hop, common.normalize, common.part_windows
        )
        visited = 0
        failure: str | None = None
        try:
            for window in self._windows(recording, task):
                if window.recorded:
                    self._put(ticket.number, window.index, window.samples)
                    visited += 1
            failure = recording.failure
        except Exception as error:  # whatever it is, it concerns this recording; the next may be well
            failure = f"{type(error).__name__}: {error}"
        unknown = recording.count is None and failure is not None
        windows = recording.promised_windows() if unknown else recording.count
        self._send(Decoded(ticket.number, failure, windows, visited, tuple(recording.notes)))

    def _windows(self, recording: Recording, task: Task) -> Iterator[Window]:
        if (most := self._decoding.max_peaks) is not None:
            finder = PeakFinder(recording.sample_rate, recording.window)
            sent = time.monotonic()
            for block in recording.samples():
                finder.add(block)
                if time.monotonic() - sent > SEND_EVERY_S:
                    self._send(Opened(1, None))  # a sign of life
                    sent = time.monotonic()
            return recording.windows_at(finder.starts(most))
        parts = task.parts
        if parts is None:
            parts, promised = recording.count_parts()
            self._send(Opened(parts, promised, recording.unrecorded))
        return recording.windows(recording.part(task.part, parts), task.offset, task.step)

    def flush(self) -> None:
        """Sends off a batch that is not full."""
        if self._spans and self._slot is not None:
            self._send(Batch(self._slot, self._filled, self._spans))
            self._slot, self._filled, self._spans = None, 0, []

    def _put(self, ticket: int, index: int, samples: Any) -> None:
        if self._slot is None:
            self._send(Asked())
            self._slot = self._grant()
        if not self._spans or self._spans[-1].ticket != ticket:
            self._spans.append(Span(ticket, [], []))
        self._spans[-1].indices.append(index)
        self._spans[-1].readable.append(samples is not None)
        if samples is not None:
            self._ring.windows[self._slot, self._filled] = samples
            self._filled += 1
        if self._filled == self._decoding.shape.batch or len(self._spans[-1].indices) >= MOST_UNREADABLE:
            self.flush()


def main() -> None:
    """Serves tickets until standard input closes."""
    receive, send = serve()
    decoding: Decoding = pickle.load(receive)
    ring = Ring(decoding.ring, decoding.shape)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    slots: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(receive, _sorted_into(inbox, slots)), daemon=True).start()
    decoder = Decoder(decoding, ring, send, slots.get)
    send(Ready(0.0))
    while True:
        message = inbox.get()
        if isinstance(message, Flush):
            decoder.flush()
        else:
            decoder.decode(message)


def _sorted_into(inbox: queue.SimpleQueue[Any], slots: queue.SimpleQueue[int]) -> Callable[[object], None]:
    def sort(message: object) -> None:
        if isinstance(message, Granted):
            slots.put(message.slot)
        else:
            inbox.put(message)

    return sort
