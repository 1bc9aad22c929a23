"""Work that Ctrl-C must not break off in the middle."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Shield:
    """Does work in a thread, which signals do not reach: they raise KeyboardInterrupt in the main thread alone."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)

    def __enter__(self) -> Shield:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def __call__(self, work: Callable[[], None]) -> None:
        """Returns, or raises what the work raised, when it is over; then KeyboardInterrupt if one came meanwhile."""
        future = self._thread.submit(work)
        interrupted = False
        while not future.done():
            try:
                future.exception()
            except KeyboardInterrupt:
                interrupted = True
        future.result()
        if interrupted:
            raise KeyboardInterrupt
