"""Work that Ctrl-C must not interrupt."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Shield:
    """Does work in a thread of its own: Ctrl-C raises KeyboardInterrupt in the main thread alone."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self.interrupted = False
        """Whether Ctrl-C came during `noting_interrupt` or `finish`."""

    def __enter__(self) -> Shield:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def __call__(self, work: Callable[[], T]) -> T:
        """Does the work to its end. Raises what the work raised, else KeyboardInterrupt if Ctrl-C came meanwhile."""
        future = self._thread.submit(work)
        interrupted = False
        while not future.done():
            try:
                future.exception()
            except KeyboardInterrupt:
                interrupted = True
        result = future.result()
        if interrupted:
            raise KeyboardInterrupt
        return result

    @contextlib.contextmanager
    def noting_interrupt(self) -> Iterator[None]:
        """Ctrl-C ends the `with` block and sets `interrupted`; what follows the block still runs."""
        try:
            yield
        except KeyboardInterrupt:
            self.interrupted = True

    def finish(self, work: Callable[[], T]) -> T:
        """Does the work once, to its end, however often Ctrl-C comes."""
        once = functools.cache(work)  # Ctrl-C may come when the work has begun and nothing waits for it yet
        while True:
            try:
                return self(once)
            except KeyboardInterrupt:
                self.interrupted = True
