"""Blocks of files that are far away, kept for a while in memory and read ahead."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

GRAIN = 2**17
"""Bytes that are kept together. A look at a header costs one grain or two."""
MOST_GRAINS = 32
"""Grains fetched at once (4 MiB), while a file is read from beginning to end."""
STEADY = 4
"""After this many grains one after another, the next ones are fetched before they are asked for."""
FAILED_S = 30.0
"""Until this much later, a file that could not be read fails at once: its reader asks more than once, and must not wait
long each time."""

K = TypeVar("K", bound=Hashable)


class BlockCache(Generic[K]):
    """The last `most_bytes` of all files that were read.

    The first look at a place fetches one grain. Reading on from there fetches more and more at once, the next ones in
    the background. Caches that fetch blocks of one size, as those of fsspec do, either read megabytes for each header,
    or send hundreds of requests for each recording.

    Args:
        fetch: gives bytes of a file, from the first number to before the second; may take long, and may fail.
        most_bytes: how much is kept.
    """

    def __init__(self, fetch: Callable[[K, int, int], bytes], most_bytes: int) -> None:
        self._fetch, self._most = fetch, most_bytes // GRAIN
        self._lock = threading.Lock()
        self._grains: OrderedDict[tuple[K, int], bytes] = OrderedDict()
        self._coming: dict[tuple[K, int], tuple[int, Future[bytes]]] = {}
        """Grains that are being fetched: the first one fetched with each, and their bytes."""
        self._failed: tuple[K, float, OSError] | None = None
        """The last file that could not be read, when that was, and why."""

    def read(self, file: K, start: int, end: int, size: int) -> bytes:
        """Bytes `start` to before `end` of a file of `size` bytes. Raises what `fetch` raises."""
        if self._failed is not None and self._failed[0] == file and time.monotonic() < self._failed[1] + FAILED_S:
            raise type(self._failed[2])(*self._failed[2].args)
        first, last = start // GRAIN, -(-end // GRAIN)
        grains = b"".join([self._grain(file, number, last, -(-size // GRAIN), size) for number in range(first, last)])
        return grains[start - first * GRAIN : end - first * GRAIN]

    def _grain(self, file: K, number: int, wanted: int, count: int, size: int) -> bytes:
        """A grain of a file that has `count` of them; those before `wanted` will be asked for next."""
        with self._lock:
            data = self._grains.get((file, number))
            first, coming = self._coming.get((file, number), (number, None))
            before = self._run(file, number - 1, -1)
            mine = None
            if data is None and coming is None:
                mine = self._announce(file, number, min(count, number + max(before * 2, wanted - number, 1)))
            elif data is not None:
                self._grains.move_to_end((file, number))
            ahead = None
            after = number + self._run(file, number, 1)
            if data is not None and before >= STEADY and after < count and self._is_missing(file, after):
                ahead = self._announce(file, after, min(count, after + MOST_GRAINS))
        if ahead is not None:
            threading.Thread(target=self._get, args=(file, *ahead, size), daemon=True).start()
        if data is not None:
            return data
        if mine is not None:
            self._get(file, *mine, size)
            first, coming = mine[0], mine[2]
        assert coming is not None
        at = (number - first) * GRAIN
        return coming.result()[at : at + GRAIN]

    def _is_missing(self, file: K, number: int) -> bool:
        return (file, number) not in self._grains and (file, number) not in self._coming

    def _run(self, file: K, number: int, step: int) -> int:
        """How many grains are there, one after another in a direction, as far as it matters."""
        length = 0
        while length < MOST_GRAINS and (file, number + step * length) in self._grains:
            length += 1
        return length

    def _announce(self, file: K, first: int, end: int) -> tuple[int, int, Future[bytes]]:
        """Notes that grains are being fetched: from `first` to before `end`, or fewer if others are there already."""
        end, future = min(end, first + MOST_GRAINS), Future[bytes]()
        for number in range(first, end):
            if not self._is_missing(file, number):
                end = number
                break
            self._coming[file, number] = first, future
        return first, end, future

    def _get(self, file: K, first: int, end: int, future: Future[bytes], size: int) -> None:
        """Fetches grains that were announced."""
        data, error = b"", None
        try:
            data = self._fetch(file, first * GRAIN, min(end * GRAIN, size))
        except BaseException as caught:
            error = caught
            if isinstance(caught, OSError):
                self._failed = file, time.monotonic(), caught
        with self._lock:
            for number in range(first, end):
                del self._coming[file, number]
                if error is None:
                    self._grains[file, number] = data[(number - first) * GRAIN : (number - first + 1) * GRAIN]
            while len(self._grains) > self._most:
                self._grains.popitem(last=False)
        if error is None:
            future.set_result(data)
        else:
            future.set_exception(error)
