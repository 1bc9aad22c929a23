"""How far a run is: shown where somebody looks, or told to whoever asks."""

from __future__ import annotations

import importlib
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

MODULE = "tqdm.auto"
_IMPORTING = threading.Lock()
BAR = "{l_bar}{bar}| {n:.1f}/{total} recordings [{elapsed}<{remaining}{postfix}]"


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    done: float
    """How many recordings are finished, in this run or before. A long one counts by the share that is finished."""
    recordings: int
    """How many recordings there are."""
    windows: int
    """How many windows this run has scored."""
    windows_per_s: float
    """How many windows a second it scores."""


Report = bool | Callable[[Progress], object]
"""Whether to show a bar, or what is called with each `Progress`."""


class ProgressReports:
    """Reports of a run's progress: to a bar, where `report` is true and somebody looks, or to `report` itself.

    Args:
        recordings: how many there are.
        done: how many an earlier run finished.
        report: whether to show a bar, or what is called with each `Progress`.
    """

    def __init__(self, recordings: int, done: float, report: Report) -> None:
        self._recordings, self._done, self._windows = recordings, float(done), 0
        self._report = report if callable(report) else None
        self._started: float | None = None
        self._bar = progress_bar(recordings, report is True, initial=done, bar_format=BAR)

    def __enter__(self) -> ProgressReports:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def start(self) -> None:
        """The first worker is ready: speed is measured from now on."""
        self._started = self._started or time.monotonic()

    def add(self, done: float = 0.0, windows: int = 0) -> None:
        """So many more recordings are finished, or windows are scored."""
        self._done, self._windows = self._done + done, self._windows + windows
        now = time.monotonic()
        speed = self._windows / (now - (self._started or now) + 1e-9)
        self._bar.set_postfix_str(f"{speed:.0f} windows/s", refresh=False)
        self._bar.update(done)
        if self._report is not None:
            self._report(Progress(self._done, self._recordings, self._windows, speed))


def progress_bar(total: int, shown: bool = True, **options: Any) -> tqdm[Any]:
    """A bar of `total` steps; it stays invisible where neither a terminal nor a notebook shows it."""
    if MODULE not in sys.modules:  # imported here, since workers show no bar and would start a tenth slower
        with _IMPORTING, warnings.catch_warnings():  # the filters are the whole process's: one thread at a time, once
            warnings.simplefilter("ignore")  # a notebook without ipywidgets gets a plain bar, which is well
            importlib.import_module(MODULE)
    from tqdm.auto import tqdm

    terminal = sys.stderr is not None and sys.stderr.isatty()
    bare = getattr(sys.stderr, "bare", sys.stderr)  # a bar steers the terminal
    return tqdm(total=total, disable=not (shown and (terminal or "ipykernel" in sys.modules)), file=bare, **options)
