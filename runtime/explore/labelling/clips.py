"""Clips for the page: spectrogram, sound and top classes of windows, made ahead of their time and kept for a while."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass

from runtime.cores import usable_cores
from runtime.errors import PerchError
from runtime.explore.labelling.windows import Windows
from runtime.explore.pictures.sound import RATE, encode, read_around
from runtime.explore.pictures.spectrogram import noise_db, power, spectrogram

CONTEXT_S = 2.5
STEP = 320
"""Samples from column to column of the picture: 100 columns a second."""
AGAIN_S = 60.0
"""After how long what failed is tried again: a disk or a network may be back."""
KEPT = 64
"""Most clips kept, of about 700 KB each."""
SOUND, MIME = "wav", "audio/wav"
"""Every browser plays it, exactly in time with the picture, and encoding as MP3 would take most of a clip's time."""


@dataclass(frozen=True)
class Clip:
    """What the page plays and shows of a window.

    picture: a PNG. sound: encoded as `MIME`. span_s: from where to where in the recording both reach, in seconds.
    top: the classes with the highest scores, and these.
    """

    picture: bytes
    sound: bytes
    span_s: tuple[float, float]
    top: list[tuple[str, float]]


class Clips:
    """Makes clips in threads of its own. It may be used by several threads."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._threads = ThreadPoolExecutor(min(2, usable_cores()), "clips")
        self._futures: OrderedDict[int, tuple[float, Future[Clip]]] = OrderedDict()
        self._lock = threading.Lock()

    def want(self, numbers: Iterable[int]) -> None:
        """Begins to make the clips of windows that are not there yet, in this order."""
        for number in numbers:
            self._future(number)

    def get(self, number: int, timeout_s: float) -> Clip:
        """The clip of a window.

        Raises:
            PerchError: it cannot be made; the message says why.
            TimeoutError: it is not there in time.
        """
        try:
            return self._future(number).result(timeout_s)
        except CancelledError:  # others were wanted more
            raise TimeoutError from None

    def close(self) -> None:
        """Stops making clips."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _future(self, number: int) -> Future[Clip]:
        now = time.monotonic()
        with self._lock:
            since, future = self._futures.get(number, (now, None))
            if future is None or (now - since > AGAIN_S and future.done() and future.exception()):
                since, future = now, self._threads.submit(self._make, number)
            self._futures[number] = since, future
            self._futures.move_to_end(number)
            for oldest in list(self._futures)[:-KEPT]:
                self._futures.pop(oldest)[1].cancel()
            return future

    def _make(self, number: int) -> Clip:
        recording = self._windows.find(number)
        if recording is None:
            path = self._windows.paths[number]
            raise PerchError(f"the recording {path} is not there; say where it is now with --audio FOLDER")
        (start_s, end_s), channel = self._windows.times(number), self._windows.channel(number)
        try:
            samples, begin_s = read_around(recording, start_s, end_s, CONTEXT_S, channel)
        except PerchError as error:
            raise PerchError(f"the recording {recording} cannot be played: it {error}") from None
        powers = power(samples, STEP)
        picture = spectrogram(powers, noise_db(powers), small=False)
        span_s = (begin_s, begin_s + len(samples) / RATE)
        return Clip(picture, encode(samples, SOUND), span_s, self._windows.top(number))
