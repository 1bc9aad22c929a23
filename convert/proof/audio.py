"""The audio that models are compared on: the user's recordings, or synthetic soundscapes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert import SAMPLE_RATE, WINDOW_SAMPLES
from convert.proof import synthetic
from runtime.audio.paths import find_recordings
from runtime.audio.recording import Recording
from runtime.errors import InputError, counted

SYNTHETIC = "synthetic soundscapes"
"""How a converted file describes the audio it was compared on if there were no recordings."""
FIRST_SEED = 1000


@dataclass(frozen=True)
class ProofAudio:
    """Windows of 5 s at 32 kHz to compare on, from a recording or a folder of them; synthetic if `path` is None."""

    path: str | Path | None

    def description(self, windows: NDArray[np.float32]) -> str:
        """The audio in the words of a converted file; they say where some of the `windows` compared are the same."""
        if self.path is None:
            return SYNTHETIC
        different = len({window.tobytes() for window in windows})
        repeated = f" ({counted(different, 'different window')})" if different < len(windows) else ""
        return f"recordings of {Path(self.path).name}{repeated}"

    def exactly(self, count: int) -> NDArray[np.float32]:
        """`count` windows, `float32 [count, 160000]`, repeated if there are fewer.

        Raises:
            InputError: no recording can be read.
        """
        return np.resize(self.at_most(count), (count, WINDOW_SAMPLES))

    def at_most(self, count: int) -> NDArray[np.float32]:
        """`count` windows, or as many as there are: about equally many of each recording, from its start; where some
        are short, more of the others.

        Raises:
            InputError: no recording can be read.
        """
        if self.path is None:
            return synthetic.windows(FIRST_SEED, count, WINDOW_SAMPLES)
        recordings = find_recordings(self.path)
        if not recordings.paths:
            raise InputError(recordings.nothing(self.path))
        windows: list[NDArray[np.float32]] = []
        failures: list[str] = []
        taken = dict.fromkeys(recordings.paths, 0)  # windows of each recording that may have more
        while taken and len(windows) < count:
            share = max(1, (count - len(windows)) // len(taken))
            for path, before in list(taken.items()):
                recording = Recording(path, SAMPLE_RATE, WINDOW_SAMPLES)
                readable = (window.samples for window in recording.windows() if window.samples is not None)
                more = list(itertools.islice(readable, before, before + min(share, count - len(windows))))
                windows += more
                taken[path] += len(more)
                if len(more) < share:
                    del taken[path]
                if recording.failure:
                    failures.append(f"{path} {recording.failure}")
                if len(windows) >= count:
                    break
        if not windows:
            silent = f"{recordings.paths[0]} holds only stretches of silence that were not recorded"
            problem = failures[0] if failures else silent
            raise InputError(f"no recording in {self.path} could be read to compare on: {problem}")
        return np.stack(windows)
